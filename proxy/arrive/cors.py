"""Web pages (Fetch 3.2, CORS): which origins may use a person's certificate, and what their browser is told.

A browser presents the certificate of whoever sits before it to any page that asks. So a request that another page
than the site's own, or a listed viewer, made the browser send is *foreign*, and refused in step 3 like other input that
is not in the grammar. A preflight carries no certificate: it is answered to anybody, and only says this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

_SHOWN: Final = "Content-Length, Decision-Id, Decision-Receipt, Warning, X-Total-Count"
_PREFLIGHT: Final = (
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST"),
    ("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Purpose-Of-Use, Seal-Nonce"),
    ("Access-Control-Max-Age", "600"),
)
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    foreign: bool
    headers: Headers
    """What the answer carries for the browser."""


PLAIN: Final = Judged(False, ())


class Cors:
    def __init__(self, origins: Iterable[str], public_url: str) -> None:
        self._own = public_url.lower()
        self._origins = frozenset(origins)
        self._vary: Headers = (("Vary", "Origin"),) if self._origins else ()

    def judge(self, request: web.BaseRequest) -> Judged:
        """Who made the browser ask. A client that is no browser sends neither of the fields, and is no page."""
        origins = request.headers.getall("Origin", ())
        if not origins:
            return self._without_origin(request)
        origin = origins[0]
        if len(origins) == 1 and origin in self._origins:
            allowed: Headers = (
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", _SHOWN),
                *self._vary,
            )
            return Judged(False, allowed + _PREFLIGHT if request.method == "OPTIONS" else allowed)
        return Judged(len(origins) > 1 or origin.lower() != self._own, self._vary)

    def _without_origin(self, request: web.BaseRequest) -> Judged:
        site = request.headers.get("Sec-Fetch-Site")
        if site is None:
            return Judged(False, self._vary) if self._vary else PLAIN
        # An image, frame or script of another page; a link that a person follows fills a window of its own.
        followed = request.headers.get("Sec-Fetch-Dest") == "document"
        return Judged(site in ("cross-site", "same-site") and not followed, self._vary)
