"""Arrivals, DICOM objects and multipart bodies for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite

from proxy.interpret import MultipartReader, PartEvent, interpret
from proxy.model import Arrival, Capabilities, DicomRequest, Peer, Reason, Refusal

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PEER = Peer(certificate=None, address="192.0.2.1", connection=1)
STUDY, SERIES, INSTANCE = "1.2.840.1", "1.2.840.1.2", "1.2.840.1.2.3"
INSTANCE_PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
BOUNDARY = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
STORE_TYPE = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
STORE_HEADERS = (("Content-Type", STORE_TYPE), ("Content-Length", "1000"))

Headers = Sequence[tuple[str, str]]


def arrival(target: str, *, method: str = "GET", headers: Headers = (), foreign: bool = False) -> Arrival:
    raw = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in (("Host", "proxy"), *headers))
    return Arrival(peer=PEER, method=method, target=target, headers=raw, at=AT, foreign=foreign)


def accepted(target: str, *, method: str = "GET", headers: Headers = ()) -> DicomRequest:
    result = interpret(arrival(target, method=method, headers=headers))
    assert isinstance(result, DicomRequest), result
    return result


def asked_about(target: str, *, method: str = "OPTIONS", headers: Headers = (), foreign: bool = False) -> Capabilities:
    result = interpret(arrival(target, method=method, headers=headers, foreign=foreign))
    assert isinstance(result, Capabilities), result
    return result


def refused(target: str, *, method: str = "GET", headers: Headers = (), foreign: bool = False) -> Reason:
    result = interpret(arrival(target, method=method, headers=headers, foreign=foreign))
    assert isinstance(result, Refusal), result
    return result.reason


def dicom(syntax: str = EXPLICIT, *, meta: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    """A DICOM file, also one that breaks rules; attributes given as ``None`` are left out."""
    with disable_value_validation():
        return _dicom(syntax, meta, attributes)


def _dicom(syntax: str, meta: dict[str, Any] | None, attributes: dict[str, Any]) -> bytes:
    values: dict[str, Any] = {
        "SOPClassUID": CT_IMAGE,
        "SOPInstanceUID": INSTANCE,
        "StudyDate": "20200131",
        "AccessionNumber": "A1",
        "Modality": "CT",
        "InstitutionName": "North Hospital",
        "InstitutionalDepartmentName": "Radiology",
        "PatientName": "Doe^Jane",
        "PatientID": "P1",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "InstanceNumber": "1",
        "PixelData": b"\x00\x01" * 64,
    }
    values.update(attributes)
    dataset = Dataset()
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    about = {
        "MediaStorageSOPClassUID": CT_IMAGE,
        "MediaStorageSOPInstanceUID": INSTANCE,
        "TransferSyntaxUID": syntax,
        "ImplementationClassUID": "1.2.3.4",
    } | (meta or {})
    for name, value in about.items():
        setattr(dataset.file_meta, name, value)
    out = BytesIO()
    dataset.preamble = bytes(128)
    dataset.file_meta.FileMetaInformationGroupLength = 0
    implicit, little = syntax == IMPLICIT, syntax != BIG_ENDIAN
    dcmwrite(out, dataset, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return out.getvalue()


def body(*parts: bytes, head: bytes = b"Content-Type: application/dicom") -> bytes:
    """A multipart body the way dicomweb-client writes it."""
    mark = b"\r\n--" + BOUNDARY.encode()
    return b"".join(mark + b"\r\n" + head + b"\r\n\r\n" + part for part in parts) + mark + b"--"


def read(data: bytes, *, slice_bytes: int | None = None, **limits: int) -> list[PartEvent]:
    reader = MultipartReader(BOUNDARY, **limits)
    size = slice_bytes or len(data) or 1
    events: list[PartEvent] = []
    for start in range(0, len(data), size):
        events += reader.feed(data[start : start + size])
    reader.end()
    return events


def parts(events: Sequence[PartEvent]) -> list[tuple[Any, bytes]]:
    """Header and whole content of each part; asserts the order of events."""
    found: list[tuple[Any, bytes]] = []
    open_part = False
    for event in events:
        if event.header is not None:
            assert not open_part
            found.append((event.header, b""))
            open_part = True
        assert open_part
        found[-1] = (found[-1][0], found[-1][1] + event.data)
        open_part = not event.ends
    assert not open_part
    return found
