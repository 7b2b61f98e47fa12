"""Searches as a client sees them, page by page, and what the archive holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.judge import Judge
from tests.conformance.wire import Reply, Wire, request

STUDY: Final = "0020000D"
SERIES: Final = "0020000E"
INSTANCE: Final = "00080018"
LEVELS: Final = {"studies": (STUDY,), "series": (STUDY, SERIES), "instances": (STUDY, SERIES, INSTANCE)}
"""Word of the path -> the UIDs of its rows."""
MANY: Final = 1000
XML: Final = 'Accept: multipart/related; type="application/dicom+xml"'

Uids = tuple[str, ...]


def uids(row: dict[str, Any], level: str) -> Uids:
    return tuple(row[tag]["Value"][0] for tag in LEVELS[level])


def path(named: Uids) -> str:
    """Path of an object."""
    words = zip(("studies", "series", "instances"), named, strict=False)
    return "/dicom-web" + "".join(f"/{word}/{uid}" for word, uid in words)


def held(judge: Judge, level: str) -> list[Uids]:
    """Every object that the archive has."""
    rows = judge.stack.archived(f"/{level}?limit=10000").json()
    return [uids(row, level) for row in rows]


@dataclass(frozen=True, slots=True)
class Page:
    reply: Reply
    rows: list[dict[str, Any]]

    @property
    def more(self) -> bool:
        """Whether the answer says that rows are left (PS3.18 8.3.4.4)."""
        warning = self.reply.value("Warning")
        assert warning is None or warning.startswith("299 ")
        return warning is not None

    @property
    def total(self) -> int | None:
        value = self.reply.value("X-Total-Count")
        return None if value is None else int(value)


def search(wire: Wire, target: str, *fields: str) -> Page:
    """:param target: below ``/dicom-web``"""
    wire.send(request("GET", f"/dicom-web{target}", *fields))
    reply = wire.read()
    assert reply.status in (200, 204), (target, reply.status, reply.reasons)
    rows = reply.json if reply.body and reply.value("Content-Type") == "application/dicom+json" else []
    return Page(reply, rows)


def pages(wire: Wire, target: str, size: int) -> Iterator[Page]:
    """One after another, as long as the answers say that there is more."""
    offset = 0
    while True:
        page = search(wire, f"{target}?limit={size}&offset={offset}")
        yield page
        if not page.more:
            return
        offset += size


def datasets(value: Any) -> Iterator[dict[str, Any]]:
    """A dataset and every one in its sequences."""
    for dataset in value if isinstance(value, list) else [value]:
        yield dataset
        for element in dataset.values():
            if element.get("vr") == "SQ":
                yield from datasets([item for item in element.get("Value", []) if item])
