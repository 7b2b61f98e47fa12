"""One legal request for each route of the proxy's own table, and how to bend it.

The table below is written by hand; a test holds it against the proxy's, so that a new route is tried like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from deploy.dev import dataset
from proxy.interpret.routes import ROUTES
from tests.conformance.files import content_type
from tests.conformance.wire import request

ENTRY: Final = dataset.study("us-colour")
OTHER: Final = dataset.study("mr-brain")
UIDS: Final = (ENTRY.uid, ENTRY.series[0].uid, ENTRY.series[0].instances[0].uid)
STUDY: Final = f"/dicom-web/studies/{UIDS[0]}"
SERIES: Final = f"{STUDY}/series/{UIDS[1]}"
INSTANCE: Final = f"{SERIES}/instances/{UIDS[2]}"
NAMED: Final = dict(zip(("study", "series", "instance"), UIDS, strict=True))

SEARCHES: Final = "search"
IMAGES: Final = "image"
PLAIN: Final = "plain"
"""What a route's query may be: of a search, of a rendered image, none."""

_ATTRIBUTES: Final = ("application/dicom+json", 'multipart/related; type="application/dicom+xml"')
_OBJECTS: Final = ('multipart/related; type="application/dicom"',)
_OBJECT: Final = (*_OBJECTS, "application/dicom")
_PIXELS: Final = (
    'multipart/related; type="application/octet-stream"',
    'multipart/related; type="image/jpeg"',
    "application/octet-stream",
    "image/jpeg",
)
_BULK: Final = ('multipart/related; type="application/octet-stream"', "application/octet-stream")
_IMAGES: Final = ("image/jpeg", "image/png")
TYPES: Final = (
    "application/dicom",
    "application/dicom+json",
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "image/gif",
    "image/jpeg",
    "image/png",
    "text/html",
    "text/*",
    'multipart/related; type="application/dicom"',
    'multipart/related; type="application/dicom+xml"',
    'multipart/related; type="application/octet-stream"',
    'multipart/related; type="image/jpeg"',
    'multipart/related; type="text/html"',
    "multipart/mixed",
    "*/*;q=0",
)
"""What clients might ask for; each route has some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Legal:
    """A request that is allowed as it stands."""

    method: str
    template: str
    path: str
    query: str = ""
    fields: tuple[str, ...] = ()
    accepts: tuple[str, ...]
    """The types of ``TYPES`` that it can be given as."""
    kind: str = PLAIN
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def segments(self) -> list[str]:
        return self.path.split("/")[1:]

    def raw(self, *fields: str, path: str | None = None, query: str | None = None, method: str | None = None) -> bytes:
        """As bytes; ``query`` instead of its own, and ``fields`` besides its own."""
        asked = self.query if query is None else query
        target = (self.path if path is None else path) + (f"?{asked}" if asked else "")
        return request(method or self.method, target, *self.fields, *fields, body=self.body)

    def with_query(self, query: str) -> bytes:
        """Its own query, and this behind it."""
        return self.raw(query=f"{self.query}&{query}" if self.query else query)


def _get(template: str, accepts: tuple[str, ...], kind: str = PLAIN, **more: str) -> Legal:
    path = template.format(**NAMED, frames="1", frame="1", attribute="7fe00010")
    return Legal(method="GET", template=template, path=path, accepts=accepts, kind=kind, **more)


_STUDY: Final = "/dicom-web/studies/{study}"
_SERIES: Final = f"{_STUDY}/series/{{series}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance}}"
_FRAME: Final = f"{_INSTANCE}/frames/{{frame}}"
WADO_QUERY: Final = f"requestType=WADO&studyUID={UIDS[0]}&seriesUID={UIDS[1]}&objectUID={UIDS[2]}"
_STORE: Final = Legal(
    method="POST",
    template="/dicom-web/studies",
    path="/dicom-web/studies",
    fields=(content_type("x"),),
    accepts=("application/dicom+json",),
    body=b"--x\r\n",
)

LEGAL: Final = (
    _get("/dicom-web/studies", _ATTRIBUTES, SEARCHES),
    _get("/dicom-web/series", _ATTRIBUTES, SEARCHES),
    _get("/dicom-web/instances", _ATTRIBUTES, SEARCHES),
    _get(f"{_STUDY}/series", _ATTRIBUTES, SEARCHES),
    _get(f"{_STUDY}/instances", _ATTRIBUTES, SEARCHES),
    _get(f"{_SERIES}/instances", _ATTRIBUTES, SEARCHES),
    _get(_STUDY, _OBJECTS),
    _get(_SERIES, _OBJECTS),
    _get(_INSTANCE, _OBJECT),
    _get(f"{_INSTANCE}/frames/{{frames}}", _PIXELS),
    _get(f"{_STUDY}/metadata", _ATTRIBUTES),
    _get(f"{_SERIES}/metadata", _ATTRIBUTES),
    _get(f"{_INSTANCE}/metadata", _ATTRIBUTES),
    _get(f"{_STUDY}/rendered", _IMAGES, IMAGES),
    _get(f"{_SERIES}/rendered", _IMAGES, IMAGES),
    _get(f"{_INSTANCE}/rendered", _IMAGES, IMAGES),
    _get(f"{_FRAME}/rendered", _IMAGES, IMAGES),
    _get(f"{_STUDY}/thumbnail", _IMAGES, IMAGES),
    _get(f"{_SERIES}/thumbnail", _IMAGES, IMAGES),
    _get(f"{_INSTANCE}/thumbnail", _IMAGES, IMAGES),
    _get(f"{_FRAME}/thumbnail", _IMAGES, IMAGES),
    _get(f"{_INSTANCE}/bulk/{{attribute}}", _BULK),
    _get("/wado", TYPES, query=WADO_QUERY),
    _STORE,
    replace(_STORE, template=_STUDY, path=STUDY),
)
GETS: Final = tuple(legal for legal in LEGAL if legal.method == "GET")
POSTS: Final = tuple(legal for legal in LEGAL if legal.method == "POST")
WADO: Final = next(legal for legal in LEGAL if legal.path == "/wado")
FRAMES: Final = next(legal for legal in LEGAL if legal.template.endswith("{frames}"))
BULK: Final = next(legal for legal in LEGAL if legal.template.endswith("{attribute}"))

METHODS: Final = {
    path: {legal.method for legal in LEGAL if legal.path == path} | {"OPTIONS"}
    for path in {legal.path for legal in LEGAL}
}


def missing() -> set[tuple[str, str]]:
    """Routes that stand in one of the two tables only."""
    ours = {(legal.method, legal.template) for legal in LEGAL}
    return ours ^ {(route.method, route.path) for route in ROUTES}


def other_types(legal: Legal) -> Iterator[str]:
    """Types that this route cannot be given as."""
    yield from (name for name in TYPES if name not in legal.accepts)
