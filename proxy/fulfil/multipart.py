"""Writing multipart/related (RFC 2387) under a boundary of our own. Pure.

The boundary is 128 random bits for each answer, so that no content of an archive can hold it.
"""

from __future__ import annotations

import secrets


def new_boundary() -> str:
    return secrets.token_hex(16)


def content_type(media_type: str, boundary: str) -> str:
    return f'multipart/related; type="{media_type}"; boundary={boundary}'


def opening(boundary: str, first: bool, content_type: str, length: int | None, location: str | None = None) -> bytes:
    """Delimiter and head of a part, up to its first byte."""
    head = f"{'' if first else chr(13) + chr(10)}--{boundary}\r\nContent-Type: {content_type}\r\n"
    if length is not None:
        head += f"Content-Length: {length}\r\n"
    if location is not None:
        head += f"Content-Location: {location}\r\n"
    return f"{head}\r\n".encode("ascii")


def closing(boundary: str) -> bytes:
    """What stands after the last part's bytes."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")
