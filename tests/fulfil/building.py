"""Requests, obligations and datasets for this room's tests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from proxy.model import (
    Action,
    DicomRequest,
    InstanceUid,
    Level,
    Obligation,
    Query,
    Representation,
    ResourceContext,
    SeriesContext,
    SeriesUid,
    StudyContext,
    StudyUid,
)

PUBLIC = "https://pacs.example:8443"
STUDY, SERIES, INSTANCE = StudyUid("1.2.3"), SeriesUid("1.2.3.4"), InstanceUid("1.2.3.4.5")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARCHIVE = "http://10.0.0.7:8042/dicom-web"


def obligation(kind: str, **body: Any) -> Obligation:
    return Obligation(type=kind, body={"type": kind, **body})


def mask(*attributes: str, blank: Sequence[str] = ()) -> Obligation:
    return obligation("mask", attributes=list(attributes), **({"blank": list(blank)} if blank else {}))


def search(
    level: Level = Level.STUDY,
    *,
    match: dict[str, str] | None = None,
    include: tuple[str, ...] = (),
    representation: Representation = Representation.JSON,
    **path: Any,
) -> DicomRequest:
    query = Query(match=tuple(sorted((match or {}).items())), include=include)
    return DicomRequest(
        action=Action.SEARCH, level=level, method="GET", representation=representation, query=query, **path
    )


def read(action: Action, representation: Representation, **more: Any) -> DicomRequest:
    path = {"study": STUDY, "series": SERIES, "instance": INSTANCE} | more
    level = Level.INSTANCE if path["instance"] else Level.SERIES if path["series"] else Level.STUDY
    return DicomRequest(action=action, level=level, method="GET", representation=representation, **path)


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def dataset(instance: str = INSTANCE, **more: Any) -> dict[str, Any]:
    """Keyword arguments are tags after an underscore."""
    return {
        "00080018": element("UI", instance),
        "0020000D": element("UI", STUDY),
        "0020000E": element("UI", SERIES),
    } | {tag.removeprefix("_"): value for tag, value in more.items()}


@dataclass
class Answer:
    """:class:`proxy.ports.ArchiveAnswer` as far as a recoder looks at it."""

    content_type: str = "application/dicom+json"
    boundary: str = ""
    length: int | None = None
    status: int = 200
    more: bool = False

    def chunks(self) -> AsyncIterator[bytes]:
        raise NotImplementedError


def resource(patient: str | None = "PATIENT-1", modalities: tuple[str, ...] = ()) -> ResourceContext:
    return ResourceContext(known=True, as_of=NOW, patient_id=patient, modalities=modalities)


def study_context(**series: tuple[str, int | None]) -> StudyContext:
    """Series by name ``s1`` (UID ``1.2.3.1``) with modality and number of instances."""
    return StudyContext(
        resource=resource(modalities=tuple(sorted({modality for modality, _ in series.values()}))),
        series={
            SeriesUid(f"1.2.3.{name[1:]}"): SeriesContext(resource=resource(modalities=(modality,)), instances=count)
            for name, (modality, count) in series.items()
        },
    )


def cut(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The body in chunks of these sizes, over and over."""
    position, turn = 0, 0
    while position < len(body):
        size = sizes[turn % len(sizes)] if sizes else len(body)
        yield body[position : position + size]
        position += size
        turn += 1


# ------------------------------------------------------------------------------------------ arbitrary datasets

_VRS = ["LO", "PN", "DA", "UI", "US", "FD", "OB", "UN", "AS", "CS"]
_TAGS = ["00100010", "00100030", "00101010", "00080060", "00080061", "00080090", "00091001", "00090010", "60003000"]
tags = st.sampled_from(_TAGS) | st.from_regex(re.compile(r"[0-9A-F]{8}"), fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def _values(vr: str) -> st.SearchStrategy[dict[str, Any]]:
    single: st.SearchStrategy[Any]
    if vr == "PN":
        single = st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), texts, max_size=3)
    elif vr == "US":
        single = st.integers(0, 65535)
    elif vr == "FD":
        single = st.floats(allow_nan=False, allow_infinity=False)
    else:
        single = texts
    return st.lists(single | st.none(), max_size=3).map(
        lambda found: {"vr": vr, "Value": found} if found else {"vr": vr}
    )


_leaves = st.sampled_from(_VRS).flatmap(_values)
_flat = st.dictionaries(tags, _leaves, max_size=5)
datasets: st.SearchStrategy[dict[str, Any]] = st.recursive(
    _flat,
    lambda inner: st.dictionaries(
        tags, _leaves | st.lists(inner, max_size=2).map(lambda items: {"vr": "SQ", "Value": items}), max_size=5
    ),
    max_leaves=6,
)
