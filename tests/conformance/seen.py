"""Everything that the archive ever saw, against everything that was ever allowed: the last word on a whole session.

Two sides that share no code path: what went over the wire to the archive, as the relay read it, and durable records.
Each request on the wire must be canonical, and there must be a decision that allows just that:

- a read: by action, object, frames and place of bulk data, and no more answered ones than decisions;
- a search: by level and path, with every attribute that the client matched;
- a store: by study, and each of its instances by the record of a part;
- a look-up of context: a search for the series of studies that somebody asked for, stored or could find.
"""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pydicom

from deploy.dev.answers import Answer
from proxy.interpret.grammar import interpret
from proxy.interpret.serialize import headers_of, target_of, upstream
from proxy.model import Action, Arrival, DicomRequest, Kind, Level, Peer
from proxy.record.reader import open_readers
from tests.simulators.relay import Seen
from tests.stack import RelayedStack

_LOOKUP: Final = {"00080020", "00080050", "00080060", "00080080", "00081040", "00100020", "00201209", "00403001"}
"""What the context of a study is made of."""
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_NOBODY: Final = Peer(certificate=None, address="127.0.0.1", connection=0)

Read = tuple[str, str | None, str | None, str | None, tuple[int, ...], str | None]
"""Action, study, series, instance, frames, bulk."""


class UnlawfulError(AssertionError):
    """The message is every request that the archive should not have seen so."""


class Allowed:
    """What records allow, by their bodies."""

    def __init__(self, bodies: Iterable[dict[str, Any]]) -> None:
        self.reads: Counter[Read] = Counter()
        self.searches: list[dict[str, Any]] = []
        self.stores: set[str | None] = set()
        self.instances: set[str] = set()
        """Of parts that were allowed."""
        self.stored: set[str] = set()
        """Of parts, allowed or not."""
        self.studies: set[str] = set()
        """Named by somebody who asked, stored or found."""
        self.series: set[str] = set()
        for body in bodies:
            if body["kind"] == Kind.DECISION:
                self._add_decision(body)
            elif body["kind"] == Kind.PART and body["uids"]:
                self.studies.add(body["uids"]["study"])
                self.series.add(body["uids"]["series"])
                self.stored.add(body["uids"]["instance"])
                if body["verdict"]["allow"]:
                    self.instances.add(body["uids"]["instance"])

    def _add_decision(self, body: dict[str, Any]) -> None:
        self.studies.update(row[0] for row in body.get("rows", ()))
        if not body["asked"]:
            # A denial of a certificate or of the grammar, or by a failure: its look-up may have been under way.
            return
        asked = body["input"]["request"]
        self.studies.update({asked["study"]} - {None})
        self.series.update({asked["series"]} - {None})
        if not body["verdict"]["allow"]:
            return
        if asked["action"] == Action.SEARCH:
            self.searches.append(asked)
        elif asked["action"] == Action.STORE:
            self.stores.add(asked["study"])
        else:
            self.reads[_read_of(asked)] += 1


def check_seen(stack: RelayedStack) -> int:
    """How many requests were judged.

    :raises UnlawfulError: one of them was allowed by nobody
    """
    held = {row[_STUDY]["Value"][0] for row in stack.archived("/studies?limit=10000").json()}
    seen = stack.relay.settled(0)
    if found := unlawful(seen, Allowed(_bodies(stack)), held):
        raise UnlawfulError("\n".join(found[:50]))
    return len(seen)


def unlawful(seen: Iterable[Seen], allowed: Allowed, held: set[str]) -> list[str]:
    """What is wrong with these requests. ``held``: the studies of the archive, which a search may find."""
    answered: Counter[Read] = Counter()
    found = []
    for each in seen:
        asked = _read_again(each)
        if isinstance(asked, str):
            found.append(f"{each.method} {each.target}: {asked}")
            continue
        if asked.action not in (Action.SEARCH, Action.STORE):
            answered[_read_of(asked.to_wire())] += each.answered
        found += [f"{each.method} {each.target}: {fault}" for fault in _faults(each, asked, allowed, held)]
    return found + [f"{key}: answered {count} times" for key, count in answered.items() if count > allowed.reads[key]]


def _bodies(stack: RelayedStack) -> Iterator[dict[str, Any]]:
    for reader in open_readers(stack.dev.layout.spool):
        try:
            yield from (json.loads(row.body) for row in reader.rows(0, reader.count()))
        finally:
            reader.close()


def _read_again(seen: Seen) -> DicomRequest | str:
    """The request as the grammar reads what was sent, or what is wrong with it."""
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in seen.fields)
    arrival = Arrival(peer=_NOBODY, method=seen.method, target=seen.target, headers=headers, at=datetime.now(UTC))
    asked = interpret(arrival)
    if not isinstance(asked, DicomRequest):
        return "not in the grammar"
    if asked != upstream(asked) or asked.method not in ("GET", "POST"):
        return "not what an archive is asked"
    if seen.target != target_of(asked):
        return "not in its canonical spelling"
    sent = {name.lower(): value for name, value in seen.fields}
    if any(sent.get(name.lower()) != value for name, value in headers_of(asked)):
        return "not with the headers of its kind"
    return asked


def _faults(seen: Seen, asked: DicomRequest, allowed: Allowed, held: set[str]) -> Iterator[str]:
    match asked.action:
        case Action.SEARCH:
            if not _is_lookup(asked, allowed, held) and not any(_covers(each, asked) for each in allowed.searches):
                yield "no decision allows this search"
        case Action.STORE:
            if asked.study not in allowed.stores:
                yield "no decision allows a store there"
            yield from _strange_parts(seen, allowed)
        case _:
            if not allowed.reads[_read_of(asked.to_wire())]:
                yield "no decision allows this read"


def _is_lookup(asked: DicomRequest, allowed: Allowed, held: set[str]) -> bool:
    query = asked.query
    match = dict(query.match)
    if asked.level is Level.INSTANCE and asked.study is None and match.keys() == {_INSTANCE} and not query.include:
        return match[_INSTANCE] in allowed.stored
    if asked.level is not Level.SERIES or asked.series is not None or query.fuzzy:
        return False
    if asked.study is None and match.keys() == {_SERIES}:
        return match[_SERIES] in allowed.series
    if set(query.include) != _LOOKUP or not match.keys() <= {_STUDY}:
        return False
    named = {asked.study} if asked.study is not None else set(match.get(_STUDY, "").split(","))
    return named <= allowed.studies | held


def _covers(decided: dict[str, Any], asked: DicomRequest) -> bool:
    """Whether the decision is about this search: as wide or wider, since an obligation may have narrowed it."""
    same = (asked.level, asked.study, asked.series) == (decided["level"], decided["study"], decided["series"])
    return same and set(decided["query"]["match"]) <= {tag for tag, _ in asked.query.match}


def _strange_parts(seen: Seen, allowed: Allowed) -> Iterator[str]:
    if not seen.complete or seen.length > len(seen.body):
        return
    kind = seen.value("content-type") or ""
    store = Answer(who="", status=200, decision=None, receipt=None, content_type=kind, body=bytes(seen.body))
    for part in store.parts():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the files are bent on purpose
            head = pydicom.dcmread(io.BytesIO(part), stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
        if head.SOPInstanceUID not in allowed.instances:
            yield f"no record allows {head.SOPInstanceUID}"


def _read_of(asked: dict[str, Any]) -> Read:
    return (
        asked["action"],
        asked["study"],
        asked["series"],
        asked["instance"],
        tuple(asked["frames"]),
        asked["bulk"],
    )
