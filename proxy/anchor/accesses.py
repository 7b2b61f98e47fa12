"""Who saw what: decisions, parts and outcomes of records put together as accesses. Pure over readers; two passes.

An access is *about* a patient or a study when its request, a row that it was shown, or a part that it stored is. Rows
name studies and not patients: which studies are a patient's is learned from the records that name both, in a pass
before. A study that no record ever named together with its patient has to be asked for by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy import commitment
from proxy.anchor.standing import ends
from proxy.model import JsonObject, Kind, RecordRow
from proxy.ports import SpoolReader

ROWS: Final = 1024
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that is given has to hold."""

    patient: str | None = None
    study: str | None = None
    subject: str | None = None
    """Name of the certificate, or the user's id."""
    since: str = ""
    """Records from this time on; texts as records have them."""
    until: str = "~"


@dataclass(slots=True, kw_only=True)
class Access:
    origin: bytes
    index: int
    leaf: bytes
    decision: str
    time: str
    subject: str
    user: str
    device: str
    address: str
    purpose: str
    action: str
    target: str
    allowed: bool
    reasons: tuple[str, ...]
    policy: str
    about: str
    """``request``, ``rows`` or ``part``: where the patient or study was; empty where nobody asked for one."""
    rows: int | None
    """How many rows were shown, of a search."""
    parts: list[str] = field(default_factory=list)
    """Instances stored, each with its verdict."""
    outcome: str = ""
    http_status: int | None = None
    bytes: int | None = None
    intact: bool = True
    block: int | None = None
    final: bool = False
    """Filled in from the chain."""

    def to_wire(self) -> JsonObject:
        return {
            "time": self.time,
            "decision": self.decision,
            "subject": self.subject,
            "user": self.user,
            "device": self.device,
            "address": self.address,
            "purpose": self.purpose,
            "action": self.action,
            "target": self.target,
            "about": self.about,
            "allowed": self.allowed,
            "reasons": list(self.reasons),
            "policy": self.policy,
            "rows": self.rows,
            "parts": list(self.parts),
            "outcome": self.outcome,
            "http_status": self.http_status,
            "bytes": self.bytes,
            "origin": self.origin.hex(),
            "index": self.index,
            "intact": self.intact,
            "block": self.block,
            "final": self.final,
        }


@dataclass(slots=True)
class Answer:
    accesses: list[Access]
    studies: frozenset[str]
    """Which the patient's were found to be."""
    unreadable: int
    """Records that could not be read: what they said is not in the answer."""


def accesses(question: Question, readers: Mapping[bytes, SpoolReader], progress: Progress) -> Answer:
    """``readers`` by origin, oldest first. Only what matches is held.

    :raises SpoolError: rows could not be read
    """
    studies = set() if question.study is None else {question.study}
    if question.patient is not None:
        wanted = orjson.dumps(question.patient)
        for _, row in _rows(readers, progress):
            if wanted in row.body and (body := _parsed(row)) is not None:
                studies |= _studies_of(question.patient, body)
    gathered = _Gathered(question, frozenset(studies))
    for origin, row in _rows(readers, progress):
        gathered.take(origin, row)
    return Answer(gathered.ended(), frozenset(studies), gathered.unreadable)


def _rows(readers: Mapping[bytes, SpoolReader], progress: Progress) -> Iterator[tuple[bytes, RecordRow]]:
    for origin, end in ends(readers).items():
        reader = readers[origin]
        for first in range(reader.floor(), end, ROWS):
            rows = reader.rows(first, min(ROWS, end - first))
            progress(len(rows))
            for row in rows:
                yield origin, row


def _parsed(row: RecordRow) -> dict[str, Any] | None:
    with suppress(orjson.JSONDecodeError):
        body = orjson.loads(row.body)
        if type(body) is dict:
            return body
    return None


def _patients(body: Mapping[str, Any]) -> set[str]:
    asked = _inner(body, "input")
    named = {
        _inner(asked, "resource").get("patient_id"),
        _inner(_inner(_inner(asked, "request"), "query"), "match").get("PatientID"),
    }
    return {each for each in named if type(each) is str}


def _asked_studies(body: Mapping[str, Any]) -> set[str]:
    request = _inner(_inner(body, "input"), "request")
    named = {
        request.get("study"),
        _inner(_inner(request, "query"), "match").get("StudyInstanceUID"),
        _inner(body, "uids").get("study"),
    }
    return {each for each in named if type(each) is str}


def _shown_studies(body: Mapping[str, Any]) -> set[str]:
    rows = body.get("rows")
    return {row[0] for row in rows if row and type(row) is list} if type(rows) is list else set()


def _studies_of(patient: str, body: Mapping[str, Any]) -> set[str]:
    known = _inner(_inner(body, "input"), "resource").get("patient_id") == patient
    return _asked_studies(body) if known else set()


def _inner(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if type(found) is dict else {}


class _Gathered:
    def __init__(self, question: Question, studies: frozenset[str]) -> None:
        self._question = question
        self._studies = studies
        self._open: dict[str, Access] = {}
        """Accesses that match, or may still through a part, until their outcome."""
        self._done: list[Access] = []
        self.unreadable = 0

    def take(self, origin: bytes, row: RecordRow) -> None:
        body = _parsed(row)
        kind = None if body is None else body.get("kind")
        if body is None or type(kind) is not str:
            self.unreadable += 1
            return
        try:
            if kind == Kind.DECISION:
                self._decision(origin, row, body)
            elif kind == Kind.PART:
                self._part(body)
            elif kind == Kind.OUTCOME:
                self._outcome(body)
        except (KeyError, TypeError, AttributeError):
            self.unreadable += 1

    def ended(self) -> list[Access]:
        self._done += [each for each in self._open.values() if self._matches(each)]
        return sorted(self._done, key=lambda each: (each.time, each.decision))

    def _matches(self, access: Access) -> bool:
        question = self._question
        return bool(access.about) or (question.patient is None and question.study is None)

    def _decision(self, origin: bytes, row: RecordRow, body: dict[str, Any]) -> None:
        question = self._question
        if not question.since <= str(body["time"]) < question.until:
            return
        access = _access(origin, row, body)
        if question.subject is not None and question.subject not in (access.subject, access.user):
            return
        if self._about(body):
            access.about = "request"
        elif question.patient is not None or question.study is not None:
            access.about = "rows" if self._studies & _shown_studies(body) else ""
        # Of a store the parts tell, which come later.
        if self._matches(access) or access.action == "store":
            self._open[access.decision] = access

    def _about(self, body: Mapping[str, Any]) -> bool:
        named = self._question.patient is not None and self._question.patient in _patients(body)
        return named or bool(self._studies & _asked_studies(body))

    def _part(self, body: dict[str, Any]) -> None:
        access = self._open.get(body["id"])
        if access is None:
            return
        about = self._about(body)
        if about and not access.about:
            access.about = "part"
        if about or (self._question.patient is None and self._question.study is None):
            uids = _inner(body, "uids")
            verdict = "stored" if body["verdict"]["allow"] else "refused: " + " ".join(body["verdict"]["reasons"])
            access.parts.append(f"{uids.get('instance', 'unreadable')} {verdict}")

    def _outcome(self, body: dict[str, Any]) -> None:
        access = self._open.pop(body["id"], None)
        if access is None or not self._matches(access):
            return
        why = f" ({body['reason']})" if body.get("reason") else ""
        access.outcome = f"{body['status']}{why}"
        access.http_status, access.bytes = body.get("http_status"), body.get("bytes")
        self._done.append(access)


def _access(origin: bytes, row: RecordRow, body: dict[str, Any]) -> Access:
    asked, verdict = _inner(body, "input"), body["verdict"]
    request, subject = _inner(asked, "request"), _inner(asked, "subject")
    certificate = subject.get("certificate", subject)
    names = ("study", "series", "instance") if request.get("level") else ("target",)
    return Access(
        origin=origin,
        index=row.index,
        leaf=commitment.leaf_of(row.salt, row.body),
        decision=body["id"],
        time=str(body["time"]),
        subject=str(_text(certificate, "name") or _text(certificate, "subject")),
        user=_text(_inner(subject, "user"), "id"),
        device=_text(_inner(asked, "device"), "id"),
        address=_text(_inner(body, "http"), "address"),
        purpose=_text(_inner(request, "purpose"), "code"),
        action=_text(request, "action") or _text(request, "method"),
        target=" ".join(str(request[name]) for name in names if request.get(name)),
        allowed=verdict["allow"] is True,
        reasons=tuple(str(each) for each in verdict["reasons"]),
        policy=_text(verdict, "policy"),
        about="",
        rows=len(body["rows"]) if type(body.get("rows")) is list else None,
        intact=commitment.leaf_of(row.salt, row.body) == row.leaf,
    )


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return "" if found is None else str(found)
