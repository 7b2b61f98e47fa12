"""The client's side of one request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

Clock = Callable[[], datetime]
"""Aware UTC now."""


class Body(Protocol):
    """The client's body, pulled: nothing is read that nobody asked for."""

    async def read(self) -> bytes:
        """Next bytes, ``b""`` at the end.

        :raises PeerGoneError: the connection was lost or the deadline passed
        :raises BodyTooLargeError: more came than the site accepts
        """
        ...


class Exchange(Protocol):
    """The client's side of one request. Whoever writes to it has a durable decision."""

    body: Body
    decided: bool
    """Set once a decision record is on its way: from then on this request is no longer to be counted as suppressed."""

    async def proceed(self) -> None:
        """Send ``100 Continue``."""
        ...

    async def start(self, status: int, headers: Sequence[tuple[str, str]], length: int | None) -> None:
        """Send status and headers.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    async def write(self, chunk: bytes) -> None:
        """Send body bytes, waiting for the peer to take them.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    async def finish(self) -> None:
        """End the body.

        :raises PeerGoneError: the connection was lost or the deadline passed
        """
        ...

    def abort(self) -> None:
        """Close the connection so that the peer sees the answer is not whole."""
        ...
