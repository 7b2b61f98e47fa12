"""One page of memory that a worker and its supervisor share: whether the worker lives, and what it evaluates.

The embedded engine holds the interpreter's lock and cannot be interrupted. While a rule loops no other code of the
worker runs, so what has to be known about it stands here before it begins. Both sides are the same program on the
same machine and trust each other; each number has one writer, and is written by one store of eight bytes.

======  =======================================================================  ==========
offset  what                                                                     written by
======  =======================================================================  ==========
0       beat: monotonic ns of the loop's last turn, 0 before the first           worker
8       began: monotonic ns since when the engine evaluates, 0 while it does not  worker
16      heartbeat: ns without a beat after which the worker is to be ended       worker
24      start: ns that a start may take until the first beat                     worker
32      process id of the supervisor                                             supervisor
40, 48  workers started again since the supervisor began: ``looping``, ``stuck``  supervisor
64      digest of the policies last asked, 32 bytes                              worker
96      digest of the policies whose rule looped in the life before, or zeros    supervisor
======  =======================================================================  ==========
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic_ns
from typing import Final

from proxy.errors import ConfigurationError
from proxy.model import PolicyDigest

SIZE: Final = 4096
_BEAT, _BEGAN, _HEARTBEAT, _START, _SUPERVISOR, _RESTARTS = range(6)
_ASKED: Final = slice(64, 96)
_LOOPED: Final = slice(96, 128)
_NONE: Final = bytes(32)
_NS: Final = 1_000_000_000


class Ended(StrEnum):
    """Why a supervisor ended a worker."""

    LOOPING = "looping"
    """One evaluation did not end."""
    STUCK = "stuck"
    """The loop did not turn, and no evaluation was under way all that time."""


_KINDS: Final = tuple(Ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a supervisor sees. ``heartbeat_s`` and ``start_s`` are ``None`` as long as the worker has not said them."""

    beat: int
    began: int
    asked: PolicyDigest
    heartbeat_s: float | None
    start_s: float | None


class Pulse:
    """:class:`proxy.decide.engine.Pulse` of a worker, and what its supervisor reads."""

    def __init__(self, descriptor: int) -> None:
        """:raises OSError: it is no page"""
        self._page = mmap.mmap(descriptor, SIZE)
        self._numbers = memoryview(self._page).cast("q")
        self._asked = PolicyDigest("")

    # ---------------------------------------------------------------------------------------- the worker's side

    @classmethod
    def joined(cls, descriptor: int) -> Pulse:
        """The page that a supervisor left to this process under ``descriptor``, which is closed.

        :raises ConfigurationError: there is none
        """
        try:
            pulse = cls(descriptor)
            os.close(descriptor)
        except (OSError, ValueError) as error:
            raise ConfigurationError("--worker is for the supervisor alone, which leaves a page of memory") from error
        return pulse

    def expect(self, heartbeat_s: float, start_s: float) -> None:
        """Say how long this worker may be without a beat, and how long its start may take."""
        self._numbers[_HEARTBEAT] = int(heartbeat_s * _NS)
        self._numbers[_START] = int(start_s * _NS)

    def began(self, digest: PolicyDigest) -> None:
        """The engine evaluates now, by these policies."""
        if digest is not self._asked:
            self._page[_ASKED] = bytes.fromhex(digest)
            self._asked = digest
        self._numbers[_BEGAN] = monotonic_ns()  # last: a digest counts only while this stands

    def ended(self) -> None:
        self._numbers[_BEGAN] = 0

    def beat(self) -> None:
        self._numbers[_BEAT] = monotonic_ns()

    @property
    def supervisor(self) -> int:
        """The process id that the worker's parent has as long as it lives."""
        return self._numbers[_SUPERVISOR]

    @property
    def restarts(self) -> Mapping[str, int]:
        """Workers that were ended and started again since the supervisor began, by reason; all reasons are there."""
        return {kind.value: self._numbers[_RESTARTS + place] for place, kind in enumerate(_KINDS)}

    @property
    def looped(self) -> PolicyDigest | None:
        """The policies for which the worker before this one was ended."""
        looped = self._page[_LOOPED]
        return None if looped == _NONE else PolicyDigest(looped.hex())

    # ---------------------------------------------------------------------------------------- the supervisor's side

    @classmethod
    def made(cls) -> tuple[Pulse, int]:
        """A new page, and the descriptor by which workers get it."""
        descriptor = os.memfd_create("dicomward-pulse")
        os.ftruncate(descriptor, SIZE)
        pulse = cls(descriptor)
        pulse._numbers[_SUPERVISOR] = os.getpid()
        return pulse, descriptor

    def reading(self) -> Reading:
        beat, began, heartbeat, start = self._numbers[:_SUPERVISOR].tolist()
        return Reading(
            beat=beat,
            began=began,
            asked=PolicyDigest(self._page[_ASKED].hex()),
            heartbeat_s=heartbeat / _NS if heartbeat else None,
            start_s=start / _NS if start else None,
        )

    def again(self, ended: Ended, looped: PolicyDigest | None) -> None:
        """Make the page ready for the next worker, and tell it why it is there."""
        for place in (_BEAT, _BEGAN, _HEARTBEAT, _START):
            self._numbers[place] = 0
        self._numbers[_RESTARTS + _KINDS.index(ended)] += 1
        self._page[_LOOPED] = _NONE if looped is None else bytes.fromhex(looped)
