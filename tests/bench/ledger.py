"""The ledger from end to end: ``python -m tests.bench.ledger [--records 100000] [--json]``.

Makes records in a real spool, anchors their leaves on anvil with the worker, closes them to an auditor and publishes
them with the publisher, then verifies from the spool and from the bundles. Each step is a process of its own, so that
its CPU time and its peak memory are its own. Rates are of wall time; ``cpu`` is what one core would do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from proxy import commitment, records
from proxy.anchor import AnchorSettings, AnchorWorker, ChainClient, ChainSender, collect_facts, trust_as_found, verify
from proxy.anchor.chain_client import reviewed_code_hash
from proxy.anchor.evidence import AuditorKey, EvidencePublisher, FolderStore, PublisherSettings
from proxy.anchor.findings import Report
from proxy.anchor.status import AnchorStatus
from proxy.anchor.verifier import verify_evidence
from proxy.decide.example import example_input
from proxy.model import Action, DecisionId, JsonObject, Kind, OutcomeStatus, wire_time
from proxy.ports import SpoolReader
from proxy.record import Spool
from proxy.record.reader import OriginReader, current_reader
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID

Figures = dict[str, float]

_CHUNK: Final = 4096
_BUNDLE: Final = 16_384
_LIMIT_S: Final = 7200
_DEVICES: Final = 200
_STUDIES: Final = 20_000


def _bodies(number: int) -> Iterator[tuple[Kind, JsonObject]]:
    """Retrieves that were allowed, each a decision and its outcome, a request each 5 ms up to now."""
    devices = [_device(number) for number in range(_DEVICES)]
    studies = [_study() for _ in range(_STUDIES)]
    moment = datetime.now(UTC) - timedelta(milliseconds=5 * number)
    for place in range(number // 2):
        now = moment + timedelta(milliseconds=5 * place)
        identity = records.new_decision_id(now)
        asked = secrets.choice(devices)
        request, resource = secrets.choice(studies)
        yield Kind.DECISION, _decision(identity, _merged(asked, request, resource), wire_time(now))
        digest = secrets.token_hex(32)
        yield (
            Kind.OUTCOME,
            records.outcome(DecisionId(identity), OutcomeStatus.COMPLETE, 200, 524_288 + place, digest, now),
        )


def _device(number: int) -> JsonObject:
    """What a device asks with, without its rows."""
    asked: dict[str, Any] = example_input(f"urn:dicomward:device:workstation-{number}", Action.RETRIEVE) | {"rows": []}
    asked["device"] = asked["device"] | {"id": secrets.token_hex(32)}
    certificate = {"fingerprint": secrets.token_hex(32), "serial": secrets.token_hex(16)}
    asked["subject"] = asked["subject"] | {"certificate": asked["subject"]["certificate"] | certificate}
    return asked


def _study() -> tuple[JsonObject, JsonObject]:
    """What is asked for, in ``request`` and in ``resource``."""
    study = f"2.25.{secrets.randbits(127)}"
    patient, accession = str(secrets.randbelow(10**8)), str(secrets.randbelow(10**10))
    date = f"20{secrets.randbelow(26):02}{1 + secrets.randbelow(12):02}{1 + secrets.randbelow(28):02}"
    return {"study": study}, {"patient_id": patient, "accession_number": accession, "study_date": date}


def _merged(asked: JsonObject, request: JsonObject, resource: JsonObject) -> JsonObject:
    was: Any = asked
    return asked | {"request": was["request"] | request, "resource": was["resource"] | resource}


def _decision(identity: str, asked: JsonObject, time_: str) -> JsonObject:
    request: Any = asked["request"]
    return {
        "v": 1,
        "kind": Kind.DECISION.value,
        "id": identity,
        "time": time_,
        "http": {
            "method": "GET",
            "target_sha256": secrets.token_hex(32),
            "address": "10.1.2.3",
            "connection": identity[:16],
        },
        "input": asked | {"time": time_, "request": request | {"id": identity}},
        "asked": True,
        "verdict": {
            "allow": True,
            "reasons": [],
            "obligations": [],
            "policy": "ab" * 32,
            "policy_as_of": time_,
        },
    }


def write(folder: Path, contract: str, number: int) -> Figures:
    """Through the spool itself, batch by batch."""

    async def run() -> int:
        spool = Spool(folder, chain_id=CHAIN_ID, contract=bytes.fromhex(contract[2:]), batch=256, limit=2 * _CHUNK)
        size = waiting = 0
        for kind, body in _bodies(number):
            size += len(commitment.encode(body))
            spool.record_later(kind, body)
            waiting += 1
            if waiting == _CHUNK:
                await spool.drain()
                waiting = 0
        await spool.drain()
        await spool.close()
        return size

    size = asyncio.run(run())
    return {"bytes_a_record": size / number, "spool_mib": _mib(folder)}


def anchor(folder: Path, contract: str, url: str, key: str, number: int) -> Figures:
    """The worker, until every leaf is in a block."""
    with _worker(folder, contract, url, key, None) as (worker, _):
        _until(worker, lambda status: status.included >= number)
    return {}


def publish(folder: Path, contract: str, url: str, key: str, number: int, evidence: Path, auditor: bytes) -> Figures:
    """The publisher and the worker, until evidence of every leaf is published."""
    store = FolderStore.prepared(evidence)
    publisher = EvidencePublisher(
        reader=lambda origin: OriginReader(folder, origin),
        store=lambda: store,
        auditors=[AuditorKey(auditor).auditor],
        settings=PublisherSettings(max_records=_BUNDLE, max_wait_s=1),
    )
    try:
        with _worker(folder, contract, url, key, publisher) as (worker, _):
            _until(worker, lambda status: status.published >= number)
    finally:
        publisher.close()
    return {"evidence_mib": _mib(evidence), "bundles": float(len(store.cids()))}


def verify_spool(folder: Path, contract: str, url: str, number: int) -> Figures:
    with _client(contract, url) as client:
        facts = collect_facts(client)
        reader = current_reader(folder)
        report = verify(trust_as_found(facts, reviewed_code_hash()), facts, {reader.origin: reader})
        reader.close()
    _whole(report, number)
    return {}


def verify_bundles(contract: str, url: str, number: int, evidence: Path, auditor: bytes) -> Figures:
    with _client(contract, url) as client:
        facts = collect_facts(client)
        trust = trust_as_found(facts, reviewed_code_hash())
        report = verify_evidence(trust, facts, FolderStore(evidence), AuditorKey(auditor))
    _whole(report, number)
    return {}


def _whole(report: Report, number: int) -> None:
    if not report.clean or report.records != number:
        raise RuntimeError(f"{report.records} of {number} records, found {report.counts}")


class _client:  # noqa: N801 - a context
    def __init__(self, contract: str, url: str) -> None:
        self._client = ChainClient(rpc_urls=[url], chain_id=CHAIN_ID, contract=contract, timeout_s=60)

    def __enter__(self) -> ChainClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


class _worker:  # noqa: N801 - a context
    def __init__(self, folder: Path, contract: str, url: str, key: str, publisher: EvidencePublisher | None) -> None:
        from eth_account import Account

        self._client = ChainClient(rpc_urls=[url], chain_id=CHAIN_ID, contract=contract, timeout_s=60)
        self._reader: SpoolReader = current_reader(folder)
        self._worker = AnchorWorker(
            client=self._client,
            sender=ChainSender(self._client, Account.from_key(key)),
            current=lambda: self._reader,
            report=lambda status: None,
            publisher=publisher,
            settings=AnchorSettings(max_wait_s=0.05, finality=0),
        )

    def __enter__(self) -> tuple[AnchorWorker, ChainClient]:
        return self._worker, self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._reader.close()


def _until(worker: AnchorWorker, done: Callable[[AnchorStatus], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not done(status := worker.cycle()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done in {_LIMIT_S} s: {status}")
        time.sleep(0.02)


def _mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def _alone(step: Callable[..., Figures], arguments: tuple[Any, ...], queue: Any) -> None:
    begun, cpu = time.monotonic(), time.process_time()
    more = step(*arguments)
    figures = {
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    queue.put(figures | more)


def measured(step: Callable[..., Figures], number: int, *arguments: Any) -> Figures:
    """One step in a process of its own.

    :raises RuntimeError: it failed; what went wrong is on stderr
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_alone, args=(step, arguments, queue))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{step.__name__} ended with {process.exitcode}")
    figures: Figures = queue.get(timeout=10)
    return figures | {
        "a_second": number / figures["seconds"],
        "a_second_of_cpu": number / max(figures["cpu_seconds"], 1e-9),
    }


def run(number: int, folder: Path, say: Callable[[str, Figures], None]) -> None:
    from eth_account import Account

    spool, evidence, auditor = folder / "spool", folder / "evidence", AuditorKey.generate().raw
    anvil = Anvil(block_s=1).start()
    try:
        registrar, writer = secrets.token_hex(32), secrets.token_hex(32)
        for key in (registrar, writer):
            anvil.fund(Account.from_key(key).address)
        with _client("0x" + "00" * 20, anvil.url) as client:
            contract = str(ChainSender(client, Account.from_key(registrar)).deploy()["contractAddress"])
        say("write", measured(write, number, spool, contract, number))
        reader = current_reader(spool)
        with _client(contract, anvil.url) as client:
            ChainSender(client, Account.from_key(registrar)).execute(
                "open_origin", reader.origin, Account.from_key(writer).address, reader.receipt_key
            )
        reader.close()
        say("anchor", measured(anchor, number, spool, contract, anvil.url, writer, number))
        say("publish", measured(publish, number, spool, contract, anvil.url, writer, number, evidence, auditor))
        say("verify spool", measured(verify_spool, number, spool, contract, anvil.url, number))
        say("verify bundles", measured(verify_bundles, number, contract, anvil.url, number, evidence, auditor))
    finally:
        anvil.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where spool and evidence go; without it a temporary folder")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    number = arguments.records // 2 * 2
    every: dict[str, Figures] = {}

    def say(step: str, figures: Figures) -> None:
        every[step] = figures
        if not arguments.json:
            text = ", ".join(f"{name} {value:,.1f}" for name, value in figures.items())
            print(f"{step:>14}: {text}", flush=True)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        run(number, Path(folder), say)
    if arguments.json:
        print(json.dumps({"records": number, "steps": every}, indent=2))


if __name__ == "__main__":
    main()
