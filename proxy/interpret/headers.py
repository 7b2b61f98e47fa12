"""Which request headers are read, and which make a request impossible to read in one way only.

Clients' headers never travel on: the archive gets what ``serialize.headers_of`` builds. So a header that nobody
reads is ignored, and refused are those that some other reader on the way could take for one that counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.interpret.refused import RefusedError
from proxy.model import Reason

Headers = tuple[tuple[bytes, bytes], ...]

MAX_VALUE_BYTES: Final = 2048
MAX_AUTHORIZATION_BYTES: Final = 8000
"""Access tokens carry signatures and roles."""

_SINGLE: Final = frozenset(
    {
        b"host",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"purpose-of-use",
        b"authorization",
        b"seal-nonce",
        b"webhook-id",
        b"webhook-timestamp",
        b"webhook-signature",
    }
)
"""Read here or by a later step, and not lists: a second one is refused."""

_LISTS: Final = frozenset({b"accept", b"connection"})
"""Lists, which RFC 9110 5.3 lets a reader join with commas."""

_FORBIDDEN: Final = frozenset(
    {
        b"upgrade",
        b"http2-settings",
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-method",
        b"x-original-url",
        b"x-rewrite-url",
    }
)

_OURS: Final = frozenset({b"decision-id", b"decision-receipt", b"purpose-of-use", b"seal-nonce", b"authorization"})

_IMITABLE: Final = (
    _SINGLE
    | _LISTS
    | _FORBIDDEN
    | _OURS
    | {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"te", b"trailer"}
)
_SEPARATORS: Final = bytes.maketrans(b"_.", b"--")

# RFC 9110 7.6.1: a sender names here what the next hop must drop. What decides about the request is not droppable.
_NOT_DROPPABLE: Final = _SINGLE | _OURS | {b"accept", b"date", b"cookie"}

_VALUE: Final = re.compile(rb"[\x20-\x7e]*")
_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,15}")
_PURPOSE: Final = re.compile(rb"[A-Z]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the headers say that anybody asks for."""

    accept: str | None
    content_type: str | None
    length: int | None
    """Announced length of the body; ``None`` where there is none or it comes chunked."""
    purpose: str | None
    expect_continue: bool


def read_head(headers: Headers, *, with_body: bool, bodiless: Reason = Reason.MULTIPART_MALFORMED) -> Head:
    """
    :param bodiless: the reason to refuse for where a body belongs and none comes
    :raises RefusedError: a header is forbidden, doubled or malformed, or a body comes where none belongs
    """
    seen: dict[bytes, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in _SINGLE:
            if name in seen:
                raise RefusedError(Reason.MALFORMED_REQUEST, "a header that has one value was sent twice")
            seen[name] = _checked(value, MAX_AUTHORIZATION_BYTES if name == b"authorization" else MAX_VALUE_BYTES)
        elif name in _LISTS:
            value = _checked(value)
            seen[name] = seen[name] + b"," + value if name in seen else value
        elif name in _FORBIDDEN:
            raise RefusedError(Reason.FORBIDDEN_HEADER, "a header that changes method, target or protocol")
        elif (b"_" in name or b"." in name) and name.translate(_SEPARATORS) in _IMITABLE:
            raise RefusedError(Reason.FORBIDDEN_HEADER, "a header whose name imitates one that counts")
    if b"connection" in seen:
        _check_connection(seen[b"connection"])
    length = _body_length(seen, with_body, bodiless)
    expect = seen.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise RefusedError(Reason.MALFORMED_REQUEST, "the only expectation is 100-continue")
    purpose = seen.get(b"purpose-of-use")
    if purpose is not None and _PURPOSE.fullmatch(purpose) is None:
        raise RefusedError(Reason.MALFORMED_REQUEST, "Purpose-Of-Use is 1 to 16 capital letters")
    return Head(
        accept=_text(seen.get(b"accept")),
        content_type=_text(seen.get(b"content-type")),
        length=length,
        purpose=_text(purpose),
        expect_continue=with_body and expect is not None,
    )


def _checked(value: bytes, most: int = MAX_VALUE_BYTES) -> bytes:
    value = value.strip(b" \t")
    if len(value) > most or _VALUE.fullmatch(value) is None:
        raise RefusedError(Reason.MALFORMED_REQUEST, f"header values are at most {most} printable ASCII")
    return value


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")


def _check_connection(value: bytes) -> None:
    for token in value.lower().split(b","):
        name = token.strip(b" \t").translate(_SEPARATORS)
        if name in _NOT_DROPPABLE or name == b"upgrade":
            raise RefusedError(Reason.FORBIDDEN_HEADER, "Connection names a header that must not be dropped")


def _body_length(seen: dict[bytes, bytes], with_body: bool, bodiless: Reason) -> int | None:
    coding = seen.get(b"transfer-encoding")
    announced = seen.get(b"content-length")
    if coding is not None and coding.lower() != b"chunked":
        raise RefusedError(Reason.MALFORMED_REQUEST, "the only transfer coding is chunked")
    if coding is not None and announced is not None:
        raise RefusedError(Reason.MALFORMED_REQUEST, "Content-Length and Transfer-Encoding exclude each other")
    if announced is not None and _LENGTH.fullmatch(announced) is None:
        raise RefusedError(Reason.MALFORMED_REQUEST, "Content-Length is a decimal number")
    if seen.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RefusedError(Reason.UNSUPPORTED_MEDIA_TYPE, "bodies are read unencoded only")
    length = None if announced is None else int(announced)
    if not with_body:
        if coding is not None or length:
            raise RefusedError(Reason.UNEXPECTED_BODY, "this method has no body")
        return None
    if coding is None and not length:
        raise RefusedError(bodiless, "this method has a body")
    return length
