"""The grammar of requests: one table of routes, and the order in which a request is read against it.

Routes are those of PS3.18 10.4 (Retrieve), 10.5 (Store) and 10.6 (Search), under ``/dicom-web``. A resource that
the standard has and this proxy does not serve yet is in ``LATER``; whatever stands in neither table does not exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.interpret.headers import Head, read_head
from proxy.interpret.media_types import negotiate_dicom, negotiate_json, store_boundary
from proxy.interpret.query import NO_QUERY, read_query
from proxy.interpret.refused import RefusedError
from proxy.interpret.uid import is_uid
from proxy.model import (
    Action,
    Arrival,
    DicomRequest,
    InstanceUid,
    Level,
    Query,
    Reason,
    Refusal,
    Representation,
    SeriesUid,
    StudyUid,
)

PREFIX: Final = "/dicom-web/"
MAX_TARGET_CHARS: Final = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    template: str
    action: Action
    level: Level


def _route(method: str, template: str, action: Action, level: Level) -> Route:
    return Route(method=method, template=template, action=action, level=level)


_STUDY: Final = "studies/{study}"
_SERIES: Final = "studies/{study}/series/{series}"
_INSTANCE: Final = "studies/{study}/series/{series}/instances/{instance}"

ROUTES: Final = (
    _route("GET", "studies", Action.SEARCH, Level.STUDY),
    _route("GET", "series", Action.SEARCH, Level.SERIES),
    _route("GET", "instances", Action.SEARCH, Level.INSTANCE),
    _route("GET", f"{_STUDY}/series", Action.SEARCH, Level.SERIES),
    _route("GET", f"{_STUDY}/instances", Action.SEARCH, Level.INSTANCE),
    _route("GET", f"{_SERIES}/instances", Action.SEARCH, Level.INSTANCE),
    _route("GET", _STUDY, Action.RETRIEVE, Level.STUDY),
    _route("GET", _SERIES, Action.RETRIEVE, Level.SERIES),
    _route("GET", _INSTANCE, Action.RETRIEVE, Level.INSTANCE),
    _route("GET", f"{_STUDY}/metadata", Action.METADATA, Level.STUDY),
    _route("GET", f"{_SERIES}/metadata", Action.METADATA, Level.SERIES),
    _route("GET", f"{_INSTANCE}/metadata", Action.METADATA, Level.INSTANCE),
    _route("POST", "studies", Action.STORE, Level.STUDY),
    _route("POST", _STUDY, Action.STORE, Level.STUDY),
)

LATER: Final = tuple(
    f"{resource}/{tail}"
    for resource in (_STUDY, _SERIES, _INSTANCE)
    for tail in ("rendered", "thumbnail", "pixeldata", "bulkdata", "bulkdata/{rest}", "bulk/{rest}")
) + tuple(f"{_INSTANCE}/frames/{{frames}}{tail}" for tail in ("", "/rendered", "/thumbnail"))
"""Resources that will be served; ``{rest}`` is one segment or more. ``/wado`` (PS3.18 9) is the other one."""

Shape = tuple[int | str, ...]


def _shape(segments: list[str]) -> Shape:
    """What tells routes apart: how many segments, and the words between the UIDs (every second segment)."""
    return (len(segments), *segments[::2])


def _table() -> dict[Shape, dict[str, Route]]:
    table: dict[Shape, dict[str, Route]] = {}
    for route in ROUTES:
        table.setdefault(_shape(route.template.split("/")), {})[route.method] = route
    return table


_TABLE: Final = _table()
_LATER: Final = tuple(template.split("/") for template in LATER)

# A segment may begin with one dot (``/.dicomward``) but cannot be ``.`` or ``..``. No %, \, ;, //, # or control.
_PATH: Final = re.compile(r"(?:/\.?[A-Za-z0-9_~,-][A-Za-z0-9._~,-]*)+", re.ASCII)


def interpret(arrival: Arrival) -> DicomRequest | Refusal:
    """Read one request head against the grammar. Total: whatever a peer sends gives one of the two values."""
    try:
        return _interpret(arrival)
    except RefusedError as refused:
        return Refusal(reason=refused.reason, detail=refused.rule)


def _interpret(arrival: Arrival) -> DicomRequest:
    if arrival.parser_error is not None:
        raise RefusedError(Reason.MALFORMED_REQUEST, "the request head is not HTTP/1.1")
    path, mark, query_string = _split_target(arrival.target)
    segments = path[len(PREFIX) :].split("/") if path.startswith(PREFIX) else []
    methods = _TABLE.get(_shape(segments))
    if methods is None:
        raise _no_route(arrival.method, path, segments)
    uids = segments[1::2]
    for uid in uids:
        if not is_uid(uid):
            raise RefusedError(Reason.INVALID_UID, "a UID has digits and dots, no leading zeros, 64 characters")
    route = methods.get(arrival.method)
    if route is None:
        raise _wrong_method(arrival.method)
    head = read_head(arrival.headers, with_body=route.action is Action.STORE)
    if route.action is Action.SEARCH:
        query = read_query(query_string, route.level, len(uids))
    elif mark:
        raise RefusedError(Reason.INVALID_QUERY, "only a search has a query")
    else:
        query = NO_QUERY
    return _build(route, uids, query, head)


def _split_target(target: str) -> tuple[str, str, str]:
    if len(target) > MAX_TARGET_CHARS:
        raise RefusedError(Reason.INVALID_PATH, f"a request target has at most {MAX_TARGET_CHARS} characters")
    path, mark, query_string = target.partition("?")
    if path != "/" and _PATH.fullmatch(path) is None:
        raise RefusedError(
            Reason.INVALID_PATH, "a path is absolute, plain ASCII, without escapes, empty or dot segments"
        )
    return path, mark, query_string


def _build(route: Route, uids: list[str], query: Query, head: Head) -> DicomRequest:
    transfer_syntax, boundary = "*", None
    representation = Representation.JSON
    if route.action is Action.RETRIEVE:
        representation = Representation.DICOM
        transfer_syntax = negotiate_dicom(head.accept)
    else:
        negotiate_json(head.accept)
        if route.action is Action.STORE:
            boundary = store_boundary(head.content_type)
    depth = len(uids)
    return DicomRequest(
        action=route.action,
        level=route.level,
        method=route.method,
        representation=representation,
        study=StudyUid(uids[0]) if depth else None,
        series=SeriesUid(uids[1]) if depth > 1 else None,
        instance=InstanceUid(uids[2]) if depth > 2 else None,
        query=query,
        transfer_syntax=transfer_syntax,
        boundary=boundary,
        bytes=head.length,
        purpose=head.purpose,
        purpose_source=None if head.purpose is None else "header",
        expect_continue=head.expect_continue,
    )


def _no_route(method: str, path: str, segments: list[str]) -> RefusedError:
    if path == "/wado" or any(_is_later(segments, template) for template in _LATER):
        if method in ("GET", "HEAD", "OPTIONS"):
            return RefusedError(Reason.NOT_YET, "this resource of DICOMweb is not served yet")
        return _wrong_method(method)
    return RefusedError(Reason.UNKNOWN_ROUTE, "no such resource")


def _is_later(segments: list[str], template: list[str]) -> bool:
    if template[-1] == "{rest}":
        if len(segments) < len(template):
            return False
        segments, template = segments[: len(template) - 1], template[:-1]
    return len(segments) == len(template) and all(
        word == segment or word.startswith("{") for word, segment in zip(template, segments, strict=True)
    )


def _wrong_method(method: str) -> RefusedError:
    if method in ("HEAD", "OPTIONS"):
        return RefusedError(Reason.NOT_YET, "HEAD and OPTIONS are not served yet")
    return RefusedError(Reason.METHOD_NOT_ALLOWED, "this resource does not have that method")
