"""Links in an answer: rebuilt with the public address, or left out. Pure."""

from __future__ import annotations

import re
from typing import Final

from proxy.fulfil.elements import Element
from proxy.fulfil.uids import INSTANCE, SERIES, STUDY, uid_of
from proxy.model import Level
from proxy.ports import Dataset

RETRIEVE_URL: Final = "00081190"
RETRIEVE_URI: Final = "0040E010"
"""The same by another name (PS3.3 C.12.1.3.2); of no use beside the one above."""

_PATH: Final = re.compile(r"[0-9a-f]{8}(?:/[1-9][0-9]*/[0-9a-f]{8})*", re.ASCII | re.IGNORECASE)
_ROOTS: Final = ("/bulk/", "/bulkdata/")
_DEPTH: Final = {Level.STUDY: 1, Level.SERIES: 2, Level.INSTANCE: 3}
_SEGMENTS: Final = (("/studies/", STUDY), ("/series/", SERIES), ("/instances/", INSTANCE))


class Links:
    """Rebuilds what an archive links to under its own address.

    An archive makes its links from whatever ``Host`` it was asked by: nothing of them passes but the path of bulk data
    below its instance, and that only where it is tags and item numbers.
    """

    def __init__(self, public_url: str) -> None:
        self._base = f"{public_url}/dicom-web"

    def of(self, dataset: Dataset, level: Level) -> str | None:
        """Address of the object that a dataset is, as far down as ``level``; ``None`` where it does not name it."""
        link = self._base
        for segment, tag in _SEGMENTS[: _DEPTH[level]]:
            uid = uid_of(dataset, tag)
            if uid is None:
                return None
            link += segment + uid
        return link

    def retrieve(self, dataset: Dataset, level: Level) -> None:
        """Rebuild what an object says of where it is to be had, or leave it out."""
        dataset.pop(RETRIEVE_URI, None)
        if RETRIEVE_URL not in dataset:
            return
        own = self.of(dataset, level)
        if own is None:
            del dataset[RETRIEVE_URL]
        else:
            dataset[RETRIEVE_URL] = {"vr": "UR", "Value": [own]}

    def bulk(self, dataset: Dataset) -> BulkLinks:
        """For the bulk data of the instance that a dataset is."""
        return BulkLinks(self, dataset)


class BulkLinks:
    """Bulk data of one instance; its address is made when the first link is found."""

    def __init__(self, links: Links, dataset: Dataset) -> None:
        self._links = links
        self._dataset = dataset
        self._base: str | None = None

    def rebuild(self, element: Element) -> None:
        """Replace an element's link by ours, or take it out."""
        path = _path(element.pop("BulkDataURI"))
        if self._base is None:
            instance = self._links.of(self._dataset, Level.INSTANCE)
            self._base = "" if instance is None else f"{instance}/bulk/"
        if path is not None and self._base:
            element["BulkDataURI"] = self._base + path


def _path(uri: object) -> str | None:
    if type(uri) is not str:
        return None
    for root in _ROOTS:
        _, found, path = uri.rpartition(root)
        if found and _PATH.fullmatch(path):
            return path.lower()
    return None
