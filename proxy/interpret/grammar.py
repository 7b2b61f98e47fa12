"""How a request is read against the table of routes, and in which order its parts are looked at.

Path, then method, then headers, then the query, then ``Accept``: the first rule that is broken is the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from proxy.interpret.capabilities import OF_ROOT
from proxy.interpret.headers import Head, read_head
from proxy.interpret.media_types import store_boundary
from proxy.interpret.negotiate import negotiate
from proxy.interpret.own import own_route, read_own
from proxy.interpret.query import NO_QUERY, read_query
from proxy.interpret.refused import RefusedError
from proxy.interpret.rendering import read_rendering
from proxy.interpret.routes import READS, ROOTS, Resource, Route, resource_of
from proxy.interpret.tails import read_bulk, read_frame, read_frames
from proxy.interpret.uid import is_uid
from proxy.interpret.wado_uri import read_wado
from proxy.model import (
    Action,
    Arrival,
    Capabilities,
    DicomRequest,
    InstanceUid,
    Query,
    Reason,
    Refusal,
    Rendering,
    SeriesUid,
    SiteRequest,
    StudyUid,
)

MAX_TARGET_CHARS: Final = 8000

# A segment may begin with one dot (``/.dicomward``) but cannot be ``.`` or ``..``. No %, \, ;, //, # or control.
_PATH: Final = re.compile(r"(?:/\.?[A-Za-z0-9_~,-][A-Za-z0-9._~,-]*)+", re.ASCII)
_TAIL: Final = 9
"""Segment of a path at which stands what follows the word behind an instance's UID."""


def interpret(arrival: Arrival) -> DicomRequest | SiteRequest | Capabilities | Refusal:
    """Read one request head against the grammar. Total: whatever a peer sends gives one of these values."""
    try:
        return _interpret(arrival)
    except RefusedError as refused:
        return Refusal(reason=refused.reason, detail=refused.rule)


def _interpret(arrival: Arrival) -> DicomRequest | SiteRequest | Capabilities:
    if arrival.parser_error is not None:
        raise RefusedError(Reason.MALFORMED_REQUEST, "the request head is not HTTP/1.1")
    method = arrival.method
    if arrival.foreign and method != "OPTIONS":
        raise RefusedError(Reason.ORIGIN_NOT_PERMITTED, "this site does not list the page's origin")
    path, mark, query = _split_target(arrival.target)
    if path in ROOTS:
        return _root(arrival, mark)
    own = own_route(path)
    if own is not None:
        return read_own(own[0], arrival, mark, own[1])
    segments = path.split("/")
    resource = resource_of(segments)
    if resource is None:
        raise RefusedError(Reason.UNKNOWN_ROUTE, "no such resource")
    route = resource.routes.get(method)
    uids = segments[3:8:2]
    for uid in uids:
        if not is_uid(uid):
            raise RefusedError(Reason.INVALID_UID, "a UID has digits and dots, no leading zeros, 64 characters")
    if route is None:
        return _options(arrival, resource, segments)
    head = read_head(arrival.headers, with_body=method == "POST")
    if route.path == "/wado":
        request = read_wado(query, method, head.accept)
        return request if head.purpose is None else replace(request, purpose=head.purpose, purpose_source="header")
    return _build(route, method, segments, uids, (mark, query), head)


def _split_target(target: str) -> tuple[str, str, str]:
    if len(target) > MAX_TARGET_CHARS:
        raise RefusedError(Reason.INVALID_PATH, f"a request target has at most {MAX_TARGET_CHARS} characters")
    path, mark, query = target.partition("?")
    if _PATH.fullmatch(path) is None and path not in ROOTS:
        raise RefusedError(
            Reason.INVALID_PATH, "a path is absolute, plain ASCII, without escapes, empty or dot segments"
        )
    return path, mark, query


def _root(arrival: Arrival, mark: str) -> Capabilities:
    if arrival.method not in READS:
        raise RefusedError(Reason.METHOD_NOT_ALLOWED, "this resource does not have that method")
    read_head(arrival.headers, with_body=False)
    if mark and arrival.method != "OPTIONS":
        raise RefusedError(Reason.INVALID_QUERY, "the root has no query")
    return OF_ROOT


def _options(arrival: Arrival, resource: Resource, segments: list[str]) -> Capabilities:
    """A query is not read: browsers ask for leave with the address they are about to use (Fetch 4.8), query included,
    and the answer is the same for all of them. ``Accept`` is not read either.
    """
    if arrival.method != "OPTIONS":
        raise RefusedError(Reason.METHOD_NOT_ALLOWED, "this resource does not have that method")
    read_head(arrival.headers, with_body=False)
    _read_tail(next(iter(resource.routes.values())), segments)
    return Capabilities(methods=resource.methods)


def _build(
    route: Route, method: str, segments: list[str], uids: list[str], asked: tuple[str, str], head: Head
) -> DicomRequest:
    frames, bulk = _read_tail(route, segments) if route.tail else ((), ())
    query, rendering = _read_asked(route, len(uids), segments[-1] == "thumbnail", *asked)
    choice = negotiate(head.accept, route.single if len(frames) == 1 else route.offers)
    depth = len(uids)
    return DicomRequest(
        action=route.action,
        level=route.level,
        method=method,
        representation=choice.offer.representation,
        media_type=choice.offer.media_type,
        bare=choice.offer.bare,
        study=StudyUid(uids[0]) if depth else None,
        series=SeriesUid(uids[1]) if depth > 1 else None,
        instance=InstanceUid(uids[2]) if depth > 2 else None,
        frames=frames,
        bulk=bulk,
        rendering=rendering,
        query=query,
        transfer_syntax=choice.transfer_syntax,
        boundary=store_boundary(head.content_type) if route.action is Action.STORE else None,
        bytes=head.length,
        purpose=head.purpose,
        purpose_source=None if head.purpose is None else "header",
        expect_continue=head.expect_continue,
    )


def _read_tail(route: Route, segments: list[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Frames and bulk data's place, of which a path has one at most."""
    match route.tail:
        case "frames":
            return read_frames(segments[_TAIL]), ()
        case "frame":
            return read_frame(segments[_TAIL]), ()
        case "attribute":
            return (), read_bulk(segments[_TAIL:])
    return (), ()


def _read_asked(route: Route, depth: int, thumbnail: bool, mark: str, query: str) -> tuple[Query, Rendering | None]:
    if route.action is Action.SEARCH:
        return read_query(query, route.level, depth), None
    if route.action is Action.RENDER:
        return NO_QUERY, read_rendering(query, thumbnail)
    if mark:
        raise RefusedError(Reason.INVALID_QUERY, "only a search and an image have a query")
    return NO_QUERY, None
