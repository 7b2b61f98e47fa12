"""One dataset made fit to leave: of the object asked for, masked, linked, written. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from proxy.errors import ArchiveError
from proxy.fulfil import dicom_xml
from proxy.fulfil.links import Links
from proxy.fulfil.masks import Mask
from proxy.fulfil.multipart import opening
from proxy.model import Level
from proxy.ports import Dataset

JSON: str = "application/dicom+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    mask: Mask | None
    links: Links

    def apply(self, dataset: Dataset, level: Level) -> None:
        """Mask first, so that no link is made to what is hidden; then hold all that is left to its form.

        :raises ArchiveError: it is not DICOM JSON
        """
        try:
            if self.mask is not None:
                self.mask.apply(dataset)
            self.links.apply(dataset, level)
        except RecursionError as error:
            raise ArchiveError("a dataset of the archive's answer is nested too deeply") from error


def written_json(dataset: Dataset) -> bytes:
    """:raises ArchiveError: a number or text that JSON cannot carry"""
    try:
        return orjson.dumps(dataset)
    except orjson.JSONEncodeError as error:
        raise ArchiveError("a value of the archive's answer has no form in JSON") from error


def written_xml(dataset: Dataset, boundary: str, first: bool) -> bytes:
    """One part of a multipart answer.

    :raises ArchiveError: a value has no form in XML
    """
    document = dicom_xml.native(dataset)
    return opening(boundary, first, dicom_xml.MEDIA_TYPE, len(document)) + document
