"""What evidence costs: ``python -m tests.bench.evidence [records]``. One thread; records are decisions with outcomes.

Sealed and opened in bundles of 4096, without any store; then bytes a record beside what the spool takes for it.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy import commitment, records
from proxy.anchor.evidence import AuditorKey, FolderStore, Header, Sealed, open_bundle, seal_bundle
from proxy.decide.example import example_input
from proxy.model import Action, DecisionId, JsonObject, OutcomeStatus, RecordRow, wire_time
from proxy.record import origin_file
from tests.anchor.spools import SpoolFile

BUNDLE = 4096
NOW = datetime.now(UTC)


def made(count: int) -> list[JsonObject]:
    """Decisions of 200 devices on as many studies as there are decisions, and their outcomes."""
    asked = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)
    devices = [secrets.token_hex(32) for _ in range(200)]
    found: list[JsonObject] = []
    for number in range(count // 2 + 1):
        moment = NOW + timedelta(milliseconds=20 * number)
        identity, time_ = records.new_decision_id(moment), wire_time(moment)
        study = f"1.2.826.0.1.3680043.8.498.{secrets.randbelow(10**38)}"
        own = {
            **asked,
            "time": time_,
            "request": {**asked["request"], "id": identity, "study": study},  # type: ignore[dict-item]
            "device": {**asked["device"], "id": secrets.choice(devices)},  # type: ignore[dict-item]
        }
        http: JsonObject = {"method": "GET", "target_sha256": secrets.token_hex(32)}
        decision: JsonObject = {"v": 1, "kind": "decision", "time": time_, "id": identity, "input": own, "http": http}
        outcome = records.outcome(
            DecisionId(identity), OutcomeStatus.COMPLETE, 200, 1024, secrets.token_hex(32), moment
        )
        found += [decision, outcome]
    return found[:count]


def rows_of(bodies: list[JsonObject]) -> list[RecordRow]:
    found = []
    for index, record in enumerate(bodies):
        body, salt = commitment.encode(record), secrets.token_bytes(32)
        leaf = commitment.leaf_of(salt, body)
        found.append(RecordRow(index=index, kind=None, id="", salt=salt, body=body, leaf=leaf, head=None))
    return found


def spool_bytes(bodies: list[JsonObject]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        spool = SpoolFile(Path(folder), 1, bytes(20))
        spool.write(bodies)
        connection = origin_file.connect(spool.path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return spool.path.stat().st_size


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10 * BUNDLE
    bodies = made(count)
    rows, key = rows_of(bodies), AuditorKey.generate()
    size = sum(len(row.body) for row in rows)
    print(f"{count} records of {size / count:.0f} bytes")
    bundles: list[Sealed] = []
    cpu = time.process_time()
    for first in range(0, count, BUNDLE):
        part = rows[first : first + BUNDLE]
        head = Header(chain_id=1, contract=bytes(20), origin=bytes(32), first=first, count=len(part))
        bundles.append(seal_bundle(head, part, [key.auditor]))
    print(f"sealed: {count / (time.process_time() - cpu):9.0f} records/s")
    cpu = time.process_time()
    opened = sum(len(open_bundle(one.content, one.envelope, key).records) for one in bundles)
    print(f"opened: {opened / (time.process_time() - cpu):9.0f} records/s")
    with tempfile.TemporaryDirectory() as folder:
        store, began = FolderStore.prepared(Path(folder) / "evidence"), time.monotonic()
        for one in bundles:
            store.put(one.cid, one.content, one.envelope)
        print(f"stored in a folder, fsynced, read back: {count / (time.monotonic() - began):9.0f} records/s")
    evidence = sum(len(one.content) + len(one.envelope) for one in bundles)
    print(f"evidence: {evidence / count:.0f} bytes a record; spool: {spool_bytes(bodies) / count:.0f} bytes a record")


if __name__ == "__main__":
    main()
