"""The grammar of what is ours and not the archive's: resources below ``/.dicomward/v1/``.

None of them has a query, and ``Accept`` is not read: each answers in the one form it has. A decision is named by the id
that its answer came with; every other resource has one path.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proxy.interpret.headers import Headers, read_head
from proxy.interpret.refused import RefusedError
from proxy.model import (
    REPORT_MEDIA_TYPE,
    Action,
    Arrival,
    Capabilities,
    DecisionId,
    Reason,
    Signed,
    SiteRequest,
    SiteResource,
)

ROOT: Final = "/.dicomward/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRoute:
    method: str
    action: Action
    resource: SiteResource
    media_type: str | None = None
    """Of the body, without parameters; ``None``: there is none."""
    bodiless: Reason = Reason.REPORT_MALFORMED
    """Why it is refused without a body."""
    signed: bool = False
    """The headers of Standard Webhooks come with it."""


DECISIONS: Final = f"{ROOT}/decisions/"
OF_A_DECISION: Final = OwnRoute(method="GET", action=Action.READ_DECISION, resource=SiteResource.DECISION)
OWN_ROUTES: Final[Mapping[str, OwnRoute]] = {
    f"{ROOT}/posture/nonce": OwnRoute(method="GET", action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE_NONCE),
    f"{ROOT}/posture": OwnRoute(
        method="POST", action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE, media_type=REPORT_MEDIA_TYPE
    ),
    f"{ROOT}/posture/managed": OwnRoute(
        method="POST",
        action=Action.MANAGE_POSTURE,
        resource=SiteResource.MANAGED_POSTURE,
        media_type="application/json",
        bodiless=Reason.WEBHOOK_MALFORMED,
        signed=True,
    ),
}
"""By path."""

MAX_SIGNATURES: Final = 4

_DECISION: Final = re.compile(r"[0-9a-f]{32}")
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE: Final = re.compile(r"v1,([A-Za-z0-9+/]{43}=)")


def own_route(path: str) -> tuple[OwnRoute, DecisionId | None] | None:
    """What of ours a path names, and of which decision.

    :raises RefusedError: of no decision that could be
    """
    if not path.startswith(DECISIONS):
        route = OWN_ROUTES.get(path)
        return None if route is None else (route, None)
    identity = path.removeprefix(DECISIONS)
    if _DECISION.fullmatch(identity) is None:
        raise RefusedError(Reason.UNKNOWN_ROUTE, "a decision's id has 32 lower-case hexadecimal digits")
    return OF_A_DECISION, DecisionId(identity)


def read_own(
    route: OwnRoute, arrival: Arrival, mark: str, about: DecisionId | None = None
) -> SiteRequest | Capabilities:
    """:raises RefusedError: the request is not one that this resource takes"""
    if arrival.method == "OPTIONS":
        read_head(arrival.headers, with_body=False)
        return Capabilities(methods=("OPTIONS", route.method) if route.method == "POST" else ("GET", "OPTIONS"))
    if arrival.method != route.method:
        raise RefusedError(Reason.METHOD_NOT_ALLOWED, "this resource does not have that method")
    with_body = route.media_type is not None
    head = read_head(arrival.headers, with_body=with_body, bodiless=route.bodiless)
    if mark:
        raise RefusedError(Reason.INVALID_QUERY, "this resource has no query")
    if with_body and (head.content_type or "").lower() != route.media_type:
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, f"this resource takes {route.media_type}")
    return SiteRequest(
        action=route.action,
        resource=route.resource,
        method=route.method,
        bytes=head.length,
        expect_continue=head.expect_continue,
        signed=_signed(arrival.headers) if route.signed else None,
        about=about,
    )


def _signed(headers: Headers) -> Signed:
    """Standard Webhooks 1.0: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``."""
    identity = _ID.fullmatch(_one(headers, b"webhook-id"))
    moment = _SECONDS.fullmatch(_one(headers, b"webhook-timestamp"))
    signatures = _one(headers, b"webhook-signature").split(" ")
    if identity is None or moment is None or len(signatures) > MAX_SIGNATURES:
        raise RefusedError(Reason.WEBHOOK_MALFORMED, "a webhook names its id, its time and its signatures")
    return Signed(id=identity[0], timestamp=int(moment[0]), signatures=tuple(_signature(each) for each in signatures))


def _one(headers: Headers, name: bytes) -> str:
    values = [value for found, value in headers if found.lower() == name]
    if len(values) != 1 or not values[0].isascii():
        raise RefusedError(Reason.WEBHOOK_MALFORMED, "each header of a webhook comes once")
    return values[0].decode("ascii").strip(" \t")


def _signature(text: str) -> bytes:
    found = _SIGNATURE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        return base64.b64decode(found[1], validate=True)
    except (ValueError, binascii.Error) as error:
        raise RefusedError(Reason.WEBHOOK_MALFORMED, "a signature is v1 and the Base64 of 32 bytes") from error
