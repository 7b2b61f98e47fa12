"""DICOM files and multipart bodies to store. Identifiers follow from names, so each test has its own."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import pydicom

from deploy.dev import dataset

BOUNDARY = "conformance-0123456789"
PART_HEAD = b"Content-Type: application/dicom"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    study: str
    series: str
    instance: str
    data: bytes


@cache
def _template() -> bytes:
    return next(dataset.render(dataset.study("ct-small")))


def file(
    name: str, *, study: str = "", institution: str | None = dataset.NORTH, pixels: int = 0, instance: str = ""
) -> File:
    """A CT image called ``name``, of the study called ``study`` (its own by default). ``pixels``: bytes instead of
    the image's own."""
    made = pydicom.dcmread(io.BytesIO(_template()))
    uids = dataset.uid_for("conformance", study or name), dataset.uid_for("conformance", study or name, name)
    made.StudyInstanceUID, made.SeriesInstanceUID = uids
    made.SOPInstanceUID = instance or dataset.uid_for("conformance", name, "instance")
    made.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(made.SOPInstanceUID)
    if institution is None:
        del made.InstitutionName
    else:
        made.InstitutionName = institution
    if pixels:
        made.PixelData = bytes(pixels)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return File(study=uids[0], series=uids[1], instance=str(made.SOPInstanceUID), data=buffer.getvalue())


def body(*parts: bytes, head: bytes = PART_HEAD, boundary: str = BOUNDARY) -> bytes:
    """A body as PS3.18 8.6.1.2 has it."""
    mark = f"--{boundary}".encode()
    return b"".join(mark + b"\r\n" + head + b"\r\n\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def content_type(boundary: str = BOUNDARY) -> str:
    return f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}'
