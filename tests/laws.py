"""The laws that hold after every suite: requests = decisions + suppressed; leaves = records; all of it on the chain.

Judged from three sides that share no code path with what wrote them: the admin port's numbers, the spool's rows
recomputed from their content, and the verifier's own command over the chain. What policy was asked with is held to the
contract's schema besides.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import requests
import rfc8785

from deploy.dev.chain import CHAIN_ID
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack, dicomward
from proxy import commitment
from proxy.anchor.chain_client import ChainClient
from proxy.model import Kind, RecordRow
from proxy.record.reader import OriginReader, current_reader, open_readers
from tests.schemas import validator

SETTLE_S: Final = 30.0
"""For windows of suppressed requests and outcomes under way to become records."""
ANCHOR_S: Final = 120.0
SETTLED_S: Final = 0.4


class BrokenLawError(AssertionError):
    """The message is every violation found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The two sides of the first law, and what the running process says against what its spool holds."""

    requests: int
    decisions: int
    suppressed: int
    durable_decisions: int
    durable_suppressed: int
    lost: int

    def violations(self) -> list[str]:
        found = []
        if self.requests != self.decisions + self.suppressed:
            found.append(f"{self.requests} requests, {self.decisions} decisions and {self.suppressed} suppressed")
        if self.decisions != self.durable_decisions:
            found.append(f"{self.decisions} decisions are counted, the spool holds {self.durable_decisions}")
        if self.suppressed != self.durable_suppressed:
            found.append(f"{self.suppressed} suppressed are counted, records tell of {self.durable_suppressed}")
        if self.lost:
            found.append(f"{self.lost} records were lost")
        return found


def check_laws(stack: DevStack, *, chain: bool = True, outcomes: bool = True) -> Balance:
    """
    :param chain: also wait until every record is anchored, and run the verifier
    :param outcomes: every decision must have its outcome; ``False`` where the proxy was killed
    :raises BrokenLawError: anything does not hold
    """
    deadline = time.monotonic() + SETTLE_S
    while (balance := _balance(stack)).violations() and time.monotonic() < deadline:
        time.sleep(0.25)
    violations = balance.violations()
    for reader in open_readers(stack.layout.spool):
        try:
            violations += _spool_violations(reader)
        finally:
            reader.close()
    if chain:
        violations += _chain_violations(stack, outcomes)
    if violations:
        raise BrokenLawError("; ".join(violations))
    return balance


def _balance(stack: DevStack) -> Balance:
    """Of the process that runs now: its counters begin with its own start record."""
    text = requests.get(f"{stack.admin_url}/metrics", timeout=10).text
    bodies = [json.loads(row.body) for row in _current_rows(stack)]
    started = max(number for number, body in enumerate(bodies) if body.get("event") == "start")
    own = bodies[started:]
    return Balance(
        requests=total(text, "dicomward_requests_total"),
        decisions=total(text, "dicomward_records_total", kind=Kind.DECISION.value),
        suppressed=total(text, "dicomward_suppressed_total"),
        durable_decisions=sum(body["kind"] == Kind.DECISION for body in own),
        durable_suppressed=sum(body["count"] for body in own if body["kind"] == Kind.SUPPRESSED),
        lost=total(text, "dicomward_records_lost_total"),
    )


def _current_rows(stack: DevStack) -> list[RecordRow]:
    """Every record once, over all origins: a successor carries some of its predecessor's."""
    rows: dict[bytes, RecordRow] = {}
    for reader in open_readers(stack.layout.spool):
        try:
            rows |= {row.leaf: row for row in reader.rows(0, reader.count())}
        finally:
            reader.close()
    return list(rows.values())


def _spool_violations(reader: OriginReader) -> list[str]:
    """Leaves and heads from content, indices without a gap, bodies in canonical form, kinds in their order."""
    rows = reader.rows(0, reader.count())
    found: list[str] = []
    head = commitment.genesis(reader.chain_id, reader.contract, reader.origin)
    bodies: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        body = json.loads(row.body)
        bodies.append(body)
        leaf = commitment.leaf_of(row.salt, row.body)
        head = commitment.next_head(head, leaf)
        if row.index != number:
            found.append(f"index {row.index} stands at place {number}")
        if (row.leaf, row.head) != (leaf, head):
            found.append(f"record {number} has another leaf or head than its content gives")
        if row.body != rfc8785.dumps(body):
            found.append(f"record {number} is not in canonical form")
        if (row.kind, row.id) != (body["kind"], body.get("id", "")):
            found.append(f"record {number} is filed under another kind or decision")
    return found + _order_violations(bodies) + _input_violations(bodies)


def _input_violations(bodies: list[dict[str, Any]]) -> list[str]:
    """What policy was asked with satisfies the contract's schema, every time."""
    faults = validator()
    asked = (
        (number, body["input"])
        for number, body in enumerate(bodies)
        if body.get("asked") or (body["kind"] == Kind.PART and body["input"] is not None)
    )
    return [f"the input of record {number}: {fault}" for number, value in asked for fault in faults(value)][:10]


def _order_violations(bodies: list[dict[str, Any]]) -> list[str]:
    """One decision an id, at most one outcome a decision, and never a part or an outcome before its decision."""
    found: list[str] = []
    decided: set[str] = set()
    outcomes: Counter[str] = Counter()
    for number, body in enumerate(bodies):
        kind, identity = body["kind"], body.get("id", "")
        if kind == Kind.DECISION:
            if identity in decided:
                found.append(f"record {number} decides a second time on {identity}")
            decided.add(identity)
        elif kind in (Kind.PART, Kind.OUTCOME):
            if identity not in decided:
                found.append(f"record {number} is a {kind} of no decision")
            outcomes[identity] += kind == Kind.OUTCOME
    return found + [f"decision {identity} has {count} outcomes" for identity, count in outcomes.items() if count > 1]


def _chain_violations(stack: DevStack, outcomes: bool) -> list[str]:
    found = _unanchored(stack)
    done = subprocess.run(
        [*dicomward(), "ledger", "verify", "--dir", str(stack.layout.directory), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if not done.stdout.startswith("{"):
        return [*found, f"the verifier ended with {done.returncode}: {done.stderr.strip()[-500:]}"]
    report = json.loads(done.stdout)
    found += [f"the verifier: {one['sentence']}" for one in report["findings"] if outcomes or not one["informational"]]
    if done.returncode or not report["clean"]:
        found.append(f"the verifier ended with {done.returncode}")
    return found


def _unanchored(stack: DevStack) -> list[str]:
    """Wait for the chain; what it still lacks then."""
    reader = current_reader(stack.layout.spool)
    client = ChainClient(rpc_urls=[stack.rpc_url], chain_id=CHAIN_ID, contract=stack.contract, timeout_s=10)
    try:
        deadline = time.monotonic() + ANCHOR_S
        while True:
            count = reader.count()
            state = client.origin(reader.origin)
            anchored = 0 if state is None else state.count
            if anchored >= count:
                time.sleep(SETTLED_S)  # outcomes follow their answers, and nobody waits for them
                if reader.count() == count:
                    return []
            if time.monotonic() > deadline:
                return [f"{anchored} of {count} records are on chain after {ANCHOR_S:g} s"]
            time.sleep(0.25)
    finally:
        client.close()
        reader.close()
