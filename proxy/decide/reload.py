"""Keeps the policies of a folder in force: an edit takes effect without a restart, a broken one takes none.

1. Look at the folder. The same digest as in force, or one that was refused: nothing to do.
2. A new digest must be seen twice in a row: a file half written may well parse, and say less than the whole one.
3. A child process compiles and tries it, with a deadline.
4. The engine is built from those very bytes and replaces the old one in a single assignment. A verdict carries the
   digest of the engine that gave it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proxy.decide.candidate import try_in_child
from proxy.decide.embedded import EmbeddedEngine
from proxy.decide.policies import PolicySet, read_policies
from proxy.decide.prepared import Prepared, prepare
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyUnavailableError
from proxy.model import JsonObject, PolicyDigest, PolicyReason, Verdict
from proxy.ports import Observer

_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ReloadingEngine:
    """The ``PolicyEngine`` of a worker. Start :meth:`watch` as a task; without it the first policies stay."""

    def __init__(
        self,
        folder: Path,
        observer: Observer,
        *,
        deadline_s: float = 10.0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Load and try the folder's policies; blocks, for start-up.

        :raises ConfigurationError: they are not valid, so the process must not start
        """
        self._folder = folder
        self._observer = observer
        self._deadline_s = deadline_s
        self._clock = clock
        try:
            policies = read_policies(folder)
            try_in_child(policies, deadline_s)
            self._take(prepare(policies, clock()))
        except (PolicyInvalidError, PolicyUnavailableError) as error:
            raise ConfigurationError(f"policies in {folder}: {error.detail}") from error
        self._generation = 1
        self._loaded_at = clock()
        self._last_error: str | None = None
        self._pending = self._refused = ""
        observer.count("policy_reload", {"result": "loaded"})

    def _take(self, prepared: Prepared) -> None:
        self._engine = EmbeddedEngine(prepared)
        self._prepared = prepared

    @property
    def reasons(self) -> Mapping[str, PolicyReason]:
        return self._prepared.reasons

    @property
    def generation(self) -> int:
        """Counts up with every set of policies that comes into force."""
        return self._generation

    @property
    def digest(self) -> PolicyDigest:
        return self._prepared.digest

    @property
    def loaded_at(self) -> datetime:
        return self._loaded_at

    @property
    def last_error(self) -> str | None:
        """Why the folder's present content is not in force; ``None`` where it is."""
        return self._last_error

    async def decide(self, policy_input: JsonObject) -> Verdict:
        """See ``ports.PolicyEngine``."""
        return self._engine.decide_now(policy_input)

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        """Indices into ``rows`` of the objects whose metadata the subject may have.

        :raises PolicyUnavailableError: as for :meth:`decide`
        """
        return self._engine.visible_now(policy_input)

    async def watch(self, interval_s: float = 1.0) -> None:
        """Look at the folder again and again, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once: steps 1 to 4."""
        policies = await asyncio.to_thread(_read, self._folder)
        if isinstance(policies, str):
            if self._settled(policies):
                self._refuse(policies, policies)
        elif policies.digest == self._prepared.digest:
            self._pending = self._refused = ""
            self._last_error = None
        elif self._settled(policies.digest):
            await self._replace(policies)

    def _settled(self, seen: str) -> bool:
        """Seen for the second time in a row, and not refused before."""
        settled = seen == self._pending and seen != self._refused
        self._pending = seen
        return settled

    async def _replace(self, policies: PolicySet) -> None:
        fault = await asyncio.to_thread(_fault, policies, self._deadline_s)
        if fault is not None:
            self._refuse(policies.digest if fault.final else "", fault.detail)
            return
        try:
            self._take(prepare(policies, self._clock()))  # here: an engine belongs to the thread that made it
        except PolicyInvalidError as error:
            self._refuse(policies.digest, error.detail)
            return
        self._generation += 1
        self._loaded_at = self._clock()
        self._last_error = None
        self._refused = ""
        self._observer.count("policy_reload", {"result": "loaded"})
        _log.info("policies %s are in force", self._prepared.digest)

    def _refuse(self, seen: str, detail: str) -> None:
        self._refused = seen
        self._last_error = detail
        self._observer.count("policy_reload", {"result": "rejected"})
        _log.error("policies in %s refused, %s stay in force: %s", self._folder, self._prepared.digest, detail)


# What follows runs on another thread. It gives faults back as values: an exception would carry frames of the loop, and
# with them an engine, to a thread on which that may not be dropped.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    detail: str
    final: bool
    """Whether the policies are at fault, so that trying them again is of no use."""


def _read(folder: Path) -> PolicySet | str:
    try:
        return read_policies(folder)
    except PolicyInvalidError as error:
        return error.detail


def _fault(policies: PolicySet, deadline_s: float) -> _Fault | None:
    try:
        try_in_child(policies, deadline_s)
    except PolicyInvalidError as error:
        return _Fault(detail=error.detail, final=True)
    except PolicyUnavailableError as error:
        return _Fault(detail=error.detail, final=False)
    return None
