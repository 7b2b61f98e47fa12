"""The table of routes: PS3.18 9 (URI service), 10.4 (Retrieve), 10.5 (Store), 10.6 (Search).

What stands in no row does not exist. ``HEAD`` is wherever ``GET`` is, and every resource has ``OPTIONS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.interpret import offers
from proxy.interpret.offers import Offers
from proxy.model import Action, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    """``GET`` or ``POST``."""
    path: str
    action: Action
    """Of WADO-URI the one without ``contentType=application/dicom``."""
    level: Level
    offers: Offers
    single: Offers
    """What can be given where exactly one frame is asked for; elsewhere the same."""
    uids: int
    """How many UIDs the path names: study, series and instance, in this order."""
    tail: str
    """The variable behind the UIDs, ``frames``, ``frame`` or ``attribute``; empty where there is none."""


def _route(method: str, path: str, action: Action, level: Level, choice: Offers, single: Offers | None = None) -> Route:
    tail = next((name for name in ("frames", "frame", "attribute") if f"{{{name}}}" in path), "")
    return Route(
        method=method,
        path=path,
        action=action,
        level=level,
        offers=choice,
        single=single or choice,
        uids=path.count("{") - bool(tail),
        tail=tail,
    )


_ROOT: Final = "/dicom-web"
_STUDY: Final = f"{_ROOT}/studies/{{study}}"
_SERIES: Final = f"{_STUDY}/series/{{series}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance}}"
_FRAME: Final = f"{_INSTANCE}/frames/{{frame}}"

ROUTES: Final = (
    _route("GET", f"{_ROOT}/studies", Action.SEARCH, Level.STUDY, offers.ATTRIBUTES),
    _route("GET", f"{_ROOT}/series", Action.SEARCH, Level.SERIES, offers.ATTRIBUTES),
    _route("GET", f"{_ROOT}/instances", Action.SEARCH, Level.INSTANCE, offers.ATTRIBUTES),
    _route("GET", f"{_STUDY}/series", Action.SEARCH, Level.SERIES, offers.ATTRIBUTES),
    _route("GET", f"{_STUDY}/instances", Action.SEARCH, Level.INSTANCE, offers.ATTRIBUTES),
    _route("GET", f"{_SERIES}/instances", Action.SEARCH, Level.INSTANCE, offers.ATTRIBUTES),
    _route("GET", _STUDY, Action.RETRIEVE, Level.STUDY, offers.OBJECTS),
    _route("GET", _SERIES, Action.RETRIEVE, Level.SERIES, offers.OBJECTS),
    _route("GET", _INSTANCE, Action.RETRIEVE, Level.INSTANCE, offers.OBJECT),
    _route("GET", f"{_INSTANCE}/frames/{{frames}}", Action.RETRIEVE, Level.INSTANCE, offers.FRAMES, offers.FRAME),
    _route("GET", f"{_STUDY}/metadata", Action.METADATA, Level.STUDY, offers.ATTRIBUTES),
    _route("GET", f"{_SERIES}/metadata", Action.METADATA, Level.SERIES, offers.ATTRIBUTES),
    _route("GET", f"{_INSTANCE}/metadata", Action.METADATA, Level.INSTANCE, offers.ATTRIBUTES),
    _route("GET", f"{_STUDY}/rendered", Action.RENDER, Level.STUDY, offers.IMAGES),
    _route("GET", f"{_SERIES}/rendered", Action.RENDER, Level.SERIES, offers.IMAGES),
    _route("GET", f"{_INSTANCE}/rendered", Action.RENDER, Level.INSTANCE, offers.IMAGES),
    _route("GET", f"{_FRAME}/rendered", Action.RENDER, Level.INSTANCE, offers.IMAGES),
    _route("GET", f"{_STUDY}/thumbnail", Action.RENDER, Level.STUDY, offers.IMAGES),
    _route("GET", f"{_SERIES}/thumbnail", Action.RENDER, Level.SERIES, offers.IMAGES),
    _route("GET", f"{_INSTANCE}/thumbnail", Action.RENDER, Level.INSTANCE, offers.IMAGES),
    _route("GET", f"{_FRAME}/thumbnail", Action.RENDER, Level.INSTANCE, offers.IMAGES),
    _route("GET", f"{_INSTANCE}/bulk/{{attribute}}", Action.BULKDATA, Level.INSTANCE, offers.BULK),
    _route("POST", f"{_ROOT}/studies", Action.STORE, Level.STUDY, offers.JSON),
    _route("POST", _STUDY, Action.STORE, Level.STUDY, offers.JSON),
    _route("GET", "/wado", Action.RENDER, Level.INSTANCE, offers.WADO),
)
"""``{attribute}`` is a tag, or tags with an item number after each sequence; every other variable is one segment."""

ROOTS: Final = frozenset({"/", _ROOT, f"{_ROOT}/"})
"""The service itself, which answers with this table."""

READS: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Resource:
    routes: Mapping[str, Route]
    """By method."""
    methods: tuple[str, ...]
    """Sorted, with ``OPTIONS``."""


Shape = tuple[int | str, ...]


def _shape(segments: list[str]) -> Shape:
    """What tells resources apart: how many segments, and the words between the variables."""
    return (len(segments), segments[1], *segments[2::2])


def _table() -> dict[Shape, Resource]:
    found: dict[Shape, dict[str, Route]] = {}
    for route in ROUTES:
        methods = found.setdefault(_shape(route.path.split("/")), {})
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            methods[method] = route
    return {shape: Resource(routes, tuple(sorted({*routes, "OPTIONS"}))) for shape, routes in found.items()}


_TABLE: Final = _table()
_BULK_SEGMENTS: Final = len(f"{_INSTANCE}/bulk/x".split("/"))


def resource_of(segments: list[str]) -> Resource | None:
    """The resource a path names, by the path's segments, of which the first is empty."""
    resource = _TABLE.get(_shape(segments))
    if resource is None and len(segments) > _BULK_SEGMENTS:
        resource = _TABLE.get(_shape(segments[:_BULK_SEGMENTS]))
        if resource is not None and resource.routes["GET"].tail != "attribute":
            return None
    return resource
