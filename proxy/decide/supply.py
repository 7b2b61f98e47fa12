"""Keeps the policies of a source in force: what is newly offered takes effect without a restart, what is broken never.

1. Look at the source: a folder, or a server of signed bundles. Nothing is done about the set in force, or one that was
   refused.
2. What stands in quarantine is not taken: the most recent set that was in force and does not stand there serves.
3. A child process prepares, compiles and tries a candidate, with a deadline.
4. It is kept, and entered in the history, before it decides: nothing may decide that cannot be shown later.
5. The engine is given what the child prepared. A verdict carries the digest of the policies that gave it.
6. Signed policies have an age. Beyond what the site allows every decision fails; a bundle with the same content and a
   higher serial renews the age, and nothing is built anew.

Each fault is told once: by one line of the log, by one count, and by ``last_error`` as long as it lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from proxy.decide.candidate import try_in_child
from proxy.decide.engine import Engine
from proxy.decide.policies import Fault, InForce, Kept, Offer, PolicySet, Serials, Source
from proxy.decide.prepared import Prepared
from proxy.errors import ConfigurationError, PolicyInvalidError, PolicyStaleError, PolicyUnavailableError
from proxy.model import JsonObject, PolicyDigest, PolicyReason, Verdict, wire_time
from proxy.model.base import NO_POLICY
from proxy.ports import Observer

_log = logging.getLogger(__name__)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_MOST_TRIED: Final = 8
"""Sets of the history that are tried where the source's own may not decide."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Supply:
    """The ``PolicyEngine`` of a worker. :meth:`start` it, then run :meth:`watch` as a task."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        kept: Kept,
        observer: Observer,
        *,
        compile_s: float = 20.0,
        max_age_s: float | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """
        :param max_age_s: of policies of a signed source; what is not signed has no age
        """
        self._source, self._engine, self._kept, self._observer = source, engine, kept, observer
        self._serials = Serials(kept.folder)
        self._compile_s = compile_s
        self._max_age_s = max_age_s if source.signed else None
        self._clock = clock
        self._prepared: Prepared | None = None
        self._as_of = self._loaded_at = _NEVER
        self._serial: int | None = None
        self._generation = 0
        self._fault: Fault | None = None
        self._refused: tuple[PolicyDigest, int | None, Fault] | None = None
        self._passed_over: dict[PolicyDigest, Fault] = {}
        self._quarantined = False

    @property
    def reasons(self) -> Mapping[str, PolicyReason]:
        return {} if self._prepared is None else self._prepared.reasons

    @property
    def generation(self) -> int:
        """Another with every set of policies that comes into force, and once they are older than the site allows:
        streams under way are judged again then."""
        return -self._generation if self._too_old(self._as_of) else self._generation

    @property
    def digest(self) -> PolicyDigest:
        """Of the policies in force; empty before the start."""
        return NO_POLICY if self._prepared is None else self._prepared.digest

    @property
    def as_of(self) -> datetime:
        """When the policies in force were signed, or read where nobody signed them."""
        return self._as_of

    def age_s(self, now: datetime) -> float:
        return (now - self._as_of).total_seconds()

    @property
    def loaded_at(self) -> datetime:
        return self._loaded_at

    @property
    def last_error(self) -> str | None:
        """Why what the source has is not in force; ``None`` where it is."""
        return None if self._fault is None else self._fault.detail

    @property
    def quarantined(self) -> bool:
        """Whether what the source has stands in quarantine."""
        return self._quarantined

    async def decide(self, policy_input: JsonObject) -> Verdict:
        """See ``ports.PolicyEngine``.

        :raises PolicyStaleError: the policies are older than the site allows
        """
        self._check()
        verdict = await self._engine.decide(policy_input)
        if verdict.policy_as_of != self._as_of and verdict.policy == self.digest:
            return replace(verdict, policy_as_of=self._as_of)  # renewed since they were loaded
        return verdict

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        """Indices into ``rows`` of the objects whose metadata the subject may have.

        :raises PolicyUnavailableError: as for :meth:`decide`
        """
        self._check()
        return await self._engine.visible(policy_input)

    def _check(self) -> None:
        if self._prepared is None:
            raise PolicyUnavailableError("there are no policies that may decide")
        if self._too_old(self._as_of):
            raise PolicyStaleError(f"policies were signed at {wire_time(self._as_of)}, too long ago")

    def _too_old(self, as_of: datetime) -> bool:
        return self._max_age_s is not None and (self._clock() - as_of).total_seconds() > self._max_age_s

    async def start(self) -> None:
        """Put into force what the source has; where that may not be or a server is not reached, what was in force last.

        :raises ConfigurationError: nothing can be served, so the process must not start
        """
        offer = await self._source.first(self._clock())
        fault = offer if isinstance(offer, Fault) else await self._consider(offer)
        if self._prepared is None and self._source.signed:
            await self._fall_back()
        if self._prepared is None:
            detail = "nothing can be served" if fault is None else fault.detail
            raise ConfigurationError(f"policies of {self._source.name}: {detail}")
        self._tell(fault)

    async def watch(self, interval_s: float = 1.0) -> None:
        """Look at the source again and again, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.look()

    async def look(self) -> None:
        """Look once: steps 1 to 6."""
        if self.digest in await asyncio.to_thread(self._kept.quarantined):
            await self._fall_back()
        offer = await self._source.look(self._clock())
        if offer is not None:
            self._tell(offer if isinstance(offer, Fault) else await self._consider(offer))

    async def close(self) -> None:
        await self._source.close()
        await self._engine.close()

    async def _consider(self, offer: Offer) -> Fault | None:
        """Why the offer is not in force when this returns; ``None`` where it is."""
        digest = offer.policies.digest
        self._quarantined = digest in await asyncio.to_thread(self._kept.quarantined)
        if self._quarantined:
            if self._prepared is None:
                await self._fall_back()
            return Fault(
                detail=f"policies {digest} stand in quarantine: a worker did not come back from asking them",
                result="quarantined",
            )
        if digest == self.digest:
            return await self._renew(offer)
        if self._refused is not None and self._refused[:2] == (digest, offer.serial):
            return self._refused[2]
        if self._too_old(offer.as_of):
            return Fault(detail=f"policies were signed at {wire_time(offer.as_of)}, too long ago: sign them anew")
        fault = await self._take(offer, self._serials)
        if fault is not None and fault.final:
            self._refused = (digest, offer.serial, fault)  # signed anew it is another offer
        return fault

    async def _take(self, offer: Offer, serials: Serials | None) -> Fault | None:
        """Steps 3 to 5.

        :param serials: ``None`` for what was in force before, which may well be older
        """
        prepared = await asyncio.to_thread(_tried, offer, self._compile_s)
        if isinstance(prepared, Fault):
            return prepared
        fault = await asyncio.to_thread(_entered, offer, self._kept, serials, self._clock())
        if fault is not None:
            return fault
        try:
            await self._engine.load(prepared)
        except (PolicyInvalidError, PolicyUnavailableError) as error:
            return Fault(detail=error.detail, final=isinstance(error, PolicyInvalidError))
        self._prepared, self._as_of, self._serial = prepared, offer.as_of, offer.serial
        self._generation += 1
        self._loaded_at = self._clock()
        self._refused = None
        self._passed_over.clear()
        self._observer.count("policy_reload", {"result": "loaded"})
        _log.info("policies %s are in force", prepared.digest)
        return None

    async def _renew(self, offer: Offer) -> Fault | None:
        """Step 6. A folder says nothing of when it was issued, so nothing of it is renewed."""
        if offer.serial is None or (offer.serial, offer.as_of) == (self._serial, self._as_of):
            return None
        fault = await asyncio.to_thread(_entered, offer, self._kept, self._serials, self._clock())
        if fault is None:
            self._as_of, self._serial = offer.as_of, offer.serial
            _log.info("policies %s were signed anew at %s", self.digest, wire_time(offer.as_of))
        return fault

    async def _fall_back(self) -> None:
        """Put the most recent set of the history into force that may decide; where there is none, nothing decides."""
        for told in await asyncio.to_thread(_earlier, self._kept, self._source.signed):
            as_of = _moment(told.as_of)
            if as_of is None or self._too_old(as_of):
                continue
            if told.digest == self.digest:
                return
            policies = await asyncio.to_thread(_kept_set, self._kept, told)
            fault = policies if isinstance(policies, Fault) else None
            if not isinstance(policies, Fault):
                fault = await self._take(Offer(policies=policies, as_of=as_of, serial=told.serial), None)
            if fault is None:
                return
            if self._passed_over.get(told.digest) != fault:
                self._passed_over[told.digest] = fault
                _log.error("policies %s were in force and cannot be again: %s", told.digest, fault.detail)
        if self._prepared is not None:
            self._prepared = None
            self._generation += 1

    def _tell(self, fault: Fault | None) -> None:
        """One alarm for a fault. A server may be out of reach for another reason each time: that is one fault too."""
        before, self._fault = self._fault, fault
        if fault is None or fault == before:
            return
        if before is not None and before.result == fault.result == "unreachable":
            return
        self._observer.count("policy_reload", {"result": fault.result})
        _log.error(
            "policies of %s are not taken, %s stay in force: %s", self._source.name, self.digest or "none", fault.detail
        )


# What follows runs on another thread. It gives faults back as values: an exception would carry frames of the loop, and
# with them an engine, to a thread on which that may not be dropped.


def _tried(offer: Offer, deadline_s: float) -> Prepared | Fault:
    try:
        return try_in_child(offer.policies, offer.as_of, deadline_s)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)
    except PolicyUnavailableError as error:
        return Fault(detail=error.detail, final=False)


def _entered(offer: Offer, kept: Kept, serials: Serials | None, at: datetime) -> Fault | None:
    """Step 4."""
    try:
        if serials is not None:
            serials.take(offer)
        kept.keep(offer.policies)
        kept.came_into_force(offer.policies.digest, offer.as_of, at, offer.serial)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)
    except OSError as error:
        return Fault(detail=f"policy.store: {error.strerror}, and what is not kept may not decide", final=False)
    return None


def _earlier(kept: Kept, signed: bool) -> list[InForce]:
    """What was in force, the latest first, each set once and none that stands in quarantine."""
    barred = kept.quarantined()
    found: dict[PolicyDigest, InForce] = {}
    for told in reversed(kept.history()):
        if told.digest not in barred and signed == (told.serial is not None):
            found.setdefault(told.digest, told)
    return list(found.values())[:_MOST_TRIED]


def _kept_set(kept: Kept, told: InForce) -> PolicySet | Fault:
    try:
        return kept.read(told.digest)
    except PolicyInvalidError as error:
        return Fault(detail=error.detail)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
