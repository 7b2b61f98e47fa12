"""Naming stored evidence on the chain. What was published, of which origin, is asked of the contract each time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_values import OriginState

_MAX_PREDECESSORS: Final = 1000
_LOOK_BACK_S: Final = 60.0


class Ready(Protocol):
    """A bundle that is stored and was read back: records ``[first, first + count)``."""

    @property
    def first(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def cid(self) -> str: ...


class Publisher(Protocol):
    """Who makes bundles, in a thread of its own."""

    @property
    def status(self) -> str:
        """``ok``, or what is wrong, without a word of a record."""
        ...

    def next(self, origin: bytes, published: int, final: int) -> Ready | None:
        """The bundle that continues ``published``, of leaves below ``final``. Never waits, never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where evidence of one origin goes on."""

    origin: bytes
    published: int
    final: int


class Owing:
    """Which origin's evidence comes next: the oldest predecessor that still owes some, then the origin in use."""

    def __init__(self, client: ChainClient, writer: str) -> None:
        self._client = client
        self._writer = writer
        self._quiet: tuple[bytes, float] | None = None

    def place(self, origin: bytes, state: OriginState, final: int, *, block: int, final_block: int) -> Place:
        """:raises ChainError: a predecessor could not be asked for"""
        own = place = Place(origin=origin, published=state.published, final=final)
        moment = time.monotonic()
        if self._quiet is not None and self._quiet[0] == origin and moment < self._quiet[1]:
            return own
        newer = state
        for _ in range(_MAX_PREDECESSORS):
            # A succession that may yet be undone says nothing about its predecessor.
            if newer.predecessor is None or newer.opened > final_block:
                break
            older = self._client.origin(newer.predecessor, block)
            if older is None:
                break
            # Leaves beyond what the site stands by were lost: no spool has their records.
            limit = min(older.count, newer.agreed)
            if older.published < limit and older.writer == self._writer:
                place = Place(origin=newer.predecessor, published=older.published, final=limit)
            newer = older
        if place is own:
            # Asked anew now and then: a reorganisation may take a publication back.
            self._quiet = (origin, moment + _LOOK_BACK_S)
        return place
