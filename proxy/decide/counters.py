"""How much a subject asks for: the ``counters`` of policy input. One worker's view, and approximate.

Each count is of a sliding window, told from the window under way and the one before it (what of that still lies within
the last period is taken to be spread evenly), so a subject costs a few numbers and no list of times. Patients are
counted once each, in the window under way and the whole one before: a count is rather too high than too low. What a
worker does not remember, after a restart or because others came since, counts as nothing: a signal, no quota.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cachetools import LRUCache

from proxy.model import Principal, ResourceContext

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
REMEMBERED: Final = 20_000
"""Subjects, and patients."""
MOST_DISTINCT: Final = 10_000
"""Of one subject or patient in one window; more are not told apart."""


@dataclass(slots=True)
class _Sum:
    period_s: float
    began: float = 0.0
    now: int = 0
    before: int = 0

    def add(self, amount: int, at: float) -> None:
        self._turn(at)
        self.now += amount

    def told(self, at: float) -> int:
        self._turn(at)
        return self.now + int(self.before * min(1.0, max(0.0, 1 - (at - self.began) / self.period_s)))

    def _turn(self, at: float) -> None:
        if at >= self.began + self.period_s:
            self.before = self.now if at < self.began + 2 * self.period_s else 0
            self.now, self.began = 0, at - at % self.period_s


@dataclass(slots=True)
class _Distinct:
    period_s: float
    began: float = 0.0
    now: set[str] = field(default_factory=set)
    before: set[str] = field(default_factory=set)

    def add(self, name: str, at: float) -> None:
        self._turn(at)
        if len(self.now) < MOST_DISTINCT:
            self.now.add(name)

    def told(self, at: float) -> int:
        self._turn(at)
        return len(self.now | self.before) if self.before else len(self.now)

    def _turn(self, at: float) -> None:
        if at >= self.began + self.period_s:
            self.before = self.now if at < self.began + 2 * self.period_s else set()
            self.now, self.began = set(), at - at % self.period_s


@dataclass(slots=True)
class _Subject:
    minute: _Sum = field(default_factory=lambda: _Sum(MINUTE_S))
    hour: _Sum = field(default_factory=lambda: _Sum(HOUR_S))
    sent: _Sum = field(default_factory=lambda: _Sum(HOUR_S))
    patients: _Distinct = field(default_factory=lambda: _Distinct(HOUR_S))


class Counters:
    """:class:`proxy.ports.Counting`. A subject is the user, and where no user is named the certificate's name."""

    def __init__(self) -> None:
        self._subjects: LRUCache[str, _Subject] = LRUCache(REMEMBERED)
        self._patients: LRUCache[str, _Distinct] = LRUCache(REMEMBERED)

    def before(self, principal: Principal, resource: ResourceContext | None, now: datetime) -> Mapping[str, int]:
        at = now.timestamp()
        subject = self._subjects.get(_name(principal))
        patient = None if resource is None or not resource.patient_id else self._patients.get(resource.patient_id)
        return {
            "requests_minute": 0 if subject is None else subject.minute.told(at),
            "requests_hour": 0 if subject is None else subject.hour.told(at),
            "bytes_hour": 0 if subject is None else subject.sent.told(at),
            "patients_hour": 0 if subject is None else subject.patients.told(at),
            "patient_subjects_hour": 0 if patient is None else patient.told(at),
        }

    def decided(self, principal: Principal, resource: ResourceContext | None, allowed: bool, now: datetime) -> None:
        at, name = now.timestamp(), _name(principal)
        subject = self._subject(name)
        subject.minute.add(1, at)
        subject.hour.add(1, at)
        if allowed and resource is not None and resource.patient_id:
            subject.patients.add(resource.patient_id, at)
            patient = self._patients.get(resource.patient_id)
            if patient is None:
                patient = self._patients[resource.patient_id] = _Distinct(HOUR_S)
            patient.add(name, at)

    def left(self, principal: Principal, sent: int, now: datetime) -> None:
        self._subject(_name(principal)).sent.add(sent, now.timestamp())

    def _subject(self, name: str) -> _Subject:
        subject = self._subjects.get(name)
        if subject is None:
            subject = self._subjects[name] = _Subject()
        return subject


def _name(principal: Principal) -> str:
    return principal.name if principal.user is None else principal.user.id
