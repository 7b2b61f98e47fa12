"""A thousand devices report their posture every minute while others work: nobody notices, and every report counts.

The reports come from the agent's own client, over a connection each. Devices, the load and the client whose latency is
measured are three processes, so that none waits for the interpreter of another.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from deploy.dev import posture
from deploy.dev.answers import Answer, session
from deploy.dev.layout import ROOT, Ports
from deploy.dev.pki import issue_client
from deploy.dev.stack import DevStack
from proxy.errors import DicomwardError
from proxy.model import DeviceId
from proxy.posture import PostureStore
from tests.conformance.wire import Caller, request
from tests.journey.conftest import FULL
from tests.journey.load import Load, load
from tests.laws import check_laws
from tests.stack import GENEROUS
from tests.workers import proxy_pid

DEVICES, PERIOD_S, QUIET_S = (1000, 60.0, 20.0) if FULL else (100, 6.0, 3.0)
LATE_S = 5.0
"""How much later than its period the last report may end: slower than that, another rate was tested than is said."""
THREADS = 8
ALONE = 100
"""Devices that report a second time, when nothing else goes on: what a report costs."""
PROBE_S = 0.02
SEARCH = "/dicom-web/studies?limit=3"
UNKNOWN = ["action-not-permitted", "purpose-not-permitted", "subject-unknown"]
"""Why a device that is nobody here may not search, in whatever order it is."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DevStack]:
    """It lets every device of its authority report, and knows none of them for anything else."""
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    path = policies / "data" / "limits.json"
    limits = json.loads(path.read_text("utf-8"))
    limits["limits"]["posture"]["reporting_authorities"] = ["dev"]
    path.write_text(json.dumps(limits), "utf-8")
    overrides = {"limits": dict(GENEROUS)}
    with DevStack(tmp_path / "stack", ports=Ports.free(), policies=policies, overrides=overrides) as running:
        yield running
        check_laws(running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What became of the reports of some devices."""

    accepted: int
    refused: tuple[str, ...]
    seconds: float


def report_all(url: str, pki: Path, names: Sequence[str], period_s: float) -> Reported:
    """One report of each device, evenly over ``period_s``, or as fast as may be for 0."""
    begun = time.monotonic()

    def refusal(number: int) -> str | None:
        time.sleep(max(0.0, begun + period_s * number / len(names) - time.monotonic()))
        try:
            taken = posture.report(url, pki, names[number])
        except DicomwardError as error:
            return f"{names[number]}: {error.detail}"
        return None if taken.attributes == len(posture.COMPLIANT) else f"{names[number]}: {taken}"

    with ThreadPoolExecutor(THREADS) as threads:
        refused = tuple(text for text in threads.map(refusal, range(len(names))) if text is not None)
    return Reported(accepted=len(names) - len(refused), refused=refused, seconds=time.monotonic() - begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How long each search of one client more took, in milliseconds, and what it was answered."""

    took: tuple[float, ...]
    statuses: frozenset[int]

    def __str__(self) -> str:
        late = sorted(self.took)[int(len(self.took) * 0.99)]
        return f"median {statistics.median(self.took):.1f} ms, p99 {late:.1f} ms of {len(self.took)} searches"


def probe(url: str, pki: Path, for_s: float) -> Probed:
    """:raises requests.RequestException: a connection failed"""
    answers: list[Answer] = []
    took: list[float] = []
    end = time.monotonic() + for_s
    credentials = str(pki / "radiologist.crt"), str(pki / "radiologist.key")
    with session("radiologist", credentials, str(pki / "ca.crt"), answers) as client:
        while time.monotonic() < end:
            begun = time.perf_counter()
            client.get(url + SEARCH, timeout=30)
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(PROBE_S)
    return Probed(took=tuple(took), statuses=frozenset(answer.status for answer in answers))


def test_a_thousand_devices_report_each_minute_and_no_request_fails(stack: DevStack) -> None:
    names = _enrolled(stack)
    told = stack.url, stack.layout.pki
    process = psutil.Process(proxy_pid(stack))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as others:
        for started in [others.submit(report_all, *told, [], 0.0) for _ in range(2)]:
            started.result(60)  # that is nobody's latency
        with load(stack) as seen:
            quiet = others.submit(probe, *told, QUIET_S).result(QUIET_S * 5)
            asked = len(seen.answers)
            probing = others.submit(probe, *told, PERIOD_S)
            reported = others.submit(report_all, *told, names, PERIOD_S).result(PERIOD_S * 5)
            answered = len(seen.answers) - asked
            busy = probing.result(PERIOD_S * 5)
        before = _processor_s(process)
        again = others.submit(report_all, *told, names[:ALONE], 0.0).result(120)
        cost = (_processor_s(process) - before) / ALONE
    print(f"\n{DEVICES} devices: {reported.accepted} reports in {reported.seconds:.1f} s", end=", ")
    print(f"{reported.accepted / reported.seconds:.1f}/s")
    print(f"without reports: {asked / QUIET_S:.0f} requests/s, {quiet}")
    print(f"with reports:    {answered / reported.seconds:.0f} requests/s, {busy}")
    print(f"a report, its nonce and handshake: {cost * 1000:.1f} ms of the proxy's processor", end=", ")
    print(f"{ALONE / again.seconds:.0f}/s from one client and nothing else")

    assert reported.refused == ()
    assert reported.accepted == DEVICES
    assert reported.seconds < PERIOD_S + LATE_S
    assert (again.refused, again.accepted) == ((), ALONE)
    assert quiet.statuses == busy.statuses == {200}
    _judge_load(seen)
    _judge_posture(stack, names)


def _enrolled(stack: DevStack) -> list[str]:
    """Names of devices to whom the site's authority has issued certificates."""
    now = datetime.now(UTC)
    names = [f"fleet-{number:04}" for number in range(DEVICES)]
    for name in [*names, "silent"]:
        issue_client(stack.pki.authority, name, now).write(stack.layout.pki, name)
    return names


def _processor_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _judge_load(seen: Load) -> None:
    """Each got what it gets without reports beside it."""
    assert seen.unanswered == 0
    got = {(answer.who, answer.status) for answer in seen.answers}
    assert got == {("radiologist", 200), ("technologist", 200), ("stale", 403)}
    assert {tuple(answer.reasons()) for answer in seen.answers if answer.status == 403} == {("posture-stale",)}


def _judge_posture(stack: DevStack, names: Sequence[str]) -> None:
    """What every device said is in force, and policy sees it: there is nothing against the device but who it is."""
    store = PostureStore(stack.layout.posture)
    try:
        now = datetime.now(UTC)
        known: Counter[bool] = Counter()
        for name in names:
            found = store.posture(DeviceId(stack.pki.device_id(name)), now).attributes
            fresh = all(claim.expires_at > now for claim in found.values())
            known[fresh and {key: claim.value for key, claim in found.items()} == dict(posture.COMPLIANT)] += 1
    finally:
        store.close()
    assert known == {True: DEVICES}
    caller = Caller(stack.ports.proxy, stack.ca, stack.layout.pki)
    for name in names[:: DEVICES // 20]:
        assert caller.ask(request("GET", SEARCH), name).reasons == UNKNOWN, name
    assert set(caller.ask(request("GET", SEARCH), "silent").reasons) == {"posture-missing", *UNKNOWN}
