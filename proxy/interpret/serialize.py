"""What the archive is sent, built from the value alone: the inverse of :func:`proxy.interpret.grammar.interpret`.

Law, held by a property test: interpreting what is written here for a request gives ``upstream(request)``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from proxy.interpret.query import NO_QUERY, matchable, write_query
from proxy.interpret.rendering import write_rendering
from proxy.model import MEDIA_TYPES, Action, DicomRequest, Level, Rendering, Representation

THUMBNAIL_VIEWPORT: Final = "128,128"
"""Of a thumbnail for which the client names no size."""

_IDENTITY: Final = ("Accept-Encoding", "identity")
_JSON_HEADERS: Final = (("Accept", MEDIA_TYPES[Representation.JSON]), _IDENTITY)
_PLURAL: Final = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


def upstream(request: DicomRequest) -> DicomRequest:
    """The request that we make of the archive for a client's.

    It is never asked ``HEAD``, XML, one part by itself or a thumbnail, which archives answer in ways of their own or
    not at all: JSON, multipart and a small rendered image have one form. What it might not decode in a value it gets
    as wildcards. A store goes on as it is.
    """
    if request.action is Action.STORE:
        return request
    representation, media_type = request.representation, request.media_type
    if representation is Representation.XML:
        representation, media_type = Representation.JSON, MEDIA_TYPES[Representation.JSON]
    return replace(
        request,
        method="GET",
        representation=representation,
        media_type=media_type,
        bare=False,
        query=matchable(request.query),
        rendering=None if request.rendering is None else _rendered(request.rendering),
        boundary=None,
        bytes=None,
        purpose=None,
        purpose_source=None,
        expect_continue=False,
    )


def target_of(request: DicomRequest) -> str:
    """Path and query of ``upstream(request)``, for example ``/dicom-web/studies?limit=10``.

    Already escaped: whoever sends it must not normalise or escape it again.
    """
    path = "/dicom-web"
    if request.study is not None:
        path += f"/studies/{request.study}"
        if request.series is not None:
            path += f"/series/{request.series}"
            if request.instance is not None:
                path += f"/instances/{request.instance}"
    if request.frames:
        path += "/frames/" + ",".join(map(str, request.frames))
    match request.action:
        case Action.SEARCH:
            path += f"/{_PLURAL[request.level]}"
        case Action.METADATA:
            path += "/metadata"
        case Action.RENDER:
            path += "/rendered"
        case Action.BULKDATA:
            path += "/bulk/" + "/".join(request.bulk)
        case Action.STORE if request.study is None:
            path += "/studies"
    query = _query_of(request)
    return f"{path}?{query}" if query else path


def headers_of(request: DicomRequest) -> tuple[tuple[str, str], ...]:
    """``Accept`` and ``Accept-Encoding`` of ``upstream(request)``.

    A store's ``Content-Type`` belongs to whoever writes its body.
    """
    match request.representation:
        case Representation.JSON | Representation.XML:
            return _JSON_HEADERS
        case Representation.IMAGE:
            return (("Accept", request.media_type), _IDENTITY)
    accept = f'multipart/related; type="{request.media_type}"'
    if request.transfer_syntax is not None:
        accept += f"; transfer-syntax={request.transfer_syntax}"
    return (("Accept", accept), _IDENTITY)


def _query_of(request: DicomRequest) -> str:
    if request.rendering is not None:
        return write_rendering(_rendered(request.rendering))
    return "" if request.query is NO_QUERY or request.query == NO_QUERY else write_query(matchable(request.query))


def _rendered(rendering: Rendering) -> Rendering:
    """Orthanc 1.7 has no thumbnails."""
    if not rendering.thumbnail:
        return rendering
    return Rendering(parameters=rendering.parameters or (("viewport", THUMBNAIL_VIEWPORT),))
