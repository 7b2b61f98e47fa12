"""One dataset made fit to leave: of the object asked for, masked, linked, written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from proxy.errors import ArchiveError
from proxy.fulfil import dicom_xml
from proxy.fulfil.links import Links
from proxy.fulfil.masks import NOTHING, Mask
from proxy.fulfil.multipart import opening
from proxy.model import Level
from proxy.ports import Dataset

JSON: Final = "application/dicom+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    mask: Mask
    links: Links

    def apply_plain(self, dataset: Dataset, level: Level) -> None:
        """:meth:`apply` for a dataset of a page that is :meth:`plain`."""
        self.links.retrieve(dataset, level)

    def plain(self, page: bytes) -> bool:
        """Whether nothing is masked and no element of a page links to its value: then no element need be looked at.

        Two searches for a few bytes instead of a walk over every element, which is most of what a search costs. A page
        with escapes is walked: they could spell the member that is searched for.
        """
        return self.mask is NOTHING and b"BulkDataURI" not in page and b"\\u" not in page

    def apply(self, dataset: Dataset, level: Level) -> None:
        """Mask one object's dataset in place, and make its links ours.

        :raises ArchiveError: it is not DICOM JSON
        """
        self.links.retrieve(dataset, level)
        try:
            self.mask.apply(dataset, self.links.bulk(dataset).rebuild)
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
