"""Through the proxy against the archive itself: equal bytes, and equal JSON but for whose address its links carry."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from deploy.dev.dataset import DevStudy
from tests.stack import RelayedStack

ARCHIVE: Final = re.compile(r"http://127\.0\.0\.1(?::[0-9]+)?/dicom-web/")
"""A client may name no port in ``Host``, and the archive builds its links from that."""


def same(stack: RelayedStack, ours: Any, theirs: Any) -> None:
    """Equal rows, in whatever order, once the archive's address in links is replaced by the proxy's."""
    moved = ARCHIVE.sub(f"{stack.dev.url}/dicom-web/", json.dumps(theirs))
    assert _sorted(ours) == _sorted(json.loads(moved))


def _sorted(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def links(value: Any) -> Iterator[str]:
    """Every link in DICOM JSON: attributes of VR UR, and BulkDataURI."""
    if isinstance(value, list):
        for each in value:
            yield from links(each)
    elif isinstance(value, dict):
        if value.get("vr") == "UR":
            yield from value.get("Value", [])
        elif "BulkDataURI" in value:
            yield value["BulkDataURI"]
        else:
            for each in value.values():
                yield from links(each)


def bulk_links(value: Any) -> list[str]:
    """Every BulkDataURI, each once."""
    return sorted({link for link in links(value) if "/bulk/" in link})


def paths(study: DevStudy) -> Iterator[tuple[str, str, str]]:
    """UIDs of study, series and instance of each of its instances."""
    for series in study.series:
        for instance in series.instances:
            yield study.uid, series.uid, instance.uid
