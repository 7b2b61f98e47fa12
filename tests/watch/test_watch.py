from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import ConfigurationError
from proxy.watch import Admin, Gauge, Tally, configure_logs
from proxy.watch.logs import JsonFormatter
from proxy.watch.tally import BUCKETS

ROOT = Path(__file__).parents[2]


def exposed(tally: Tally) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by sample name and labels, as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(tally)
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "a sample comes twice"
            found[sample.name][labels] = sample.value
    return found


# ---------------------------------------------------------------------------------------------- metrics


def test_counts_are_exposed_by_label() -> None:
    tally = Tally()
    for _ in range(3):
        tally.count("decisions", {"result": "deny", "reason": "posture-stale", "action": "retrieve"})
    tally.count("decisions", {"result": "allow", "reason": "", "action": "search"}, 2)
    assert exposed(tally)["dicomward_decisions_total"] == {
        (("action", "retrieve"), ("reason", "posture-stale"), ("result", "deny")): 3,
        (("action", "search"), ("reason", ""), ("result", "allow")): 2,
    }


def test_gauges_are_read_when_they_are_asked_for() -> None:
    tally, values = Tally(), {("event",): 1.0}
    tally.add(
        Gauge(name="records", help="By kind.", labels=("kind",), read=lambda: values, counter=True),
        Gauge(name="spool_waiting", help="Waiting.", read=lambda: {(): 7}),
        Gauge(name="anchor_lag_records", help="Nothing is known.", read=dict),
    )
    assert exposed(tally)["dicomward_records_total"] == {(("kind", "event"),): 1}
    values["event",] = 5
    found = exposed(tally)
    assert found["dicomward_records_total"] == {(("kind", "event"),): 5}
    assert found["dicomward_spool_waiting"] == {(): 7}
    assert "dicomward_anchor_lag_records" not in found


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=50))
def test_histogram_counts_every_observation_once(observed: list[float]) -> None:
    tally = Tally()
    for each in observed:
        tally.seconds("decide", each)
    found = exposed(tally)
    if not observed:
        assert "dicomward_room_seconds_count" not in found
        return
    assert found["dicomward_room_seconds_count"] == {(("room", "decide"),): len(observed)}
    assert found["dicomward_room_seconds_sum"][(("room", "decide"),)] == pytest.approx(sum(observed))
    for bound in BUCKETS:
        below = found["dicomward_room_seconds_bucket"][(("le", str(bound)), ("room", "decide"))]
        assert below == sum(each <= bound for each in observed)
    assert found["dicomward_room_seconds_bucket"][(("le", "+Inf"), ("room", "decide"))] == len(observed)


@given(st.text(max_size=20))
def test_label_value_cannot_break_the_exposition(value: str) -> None:
    tally = Tally()
    value = value.encode("utf-8", "replace").decode()
    tally.count("outcomes", {"status": value})
    tally.count("parts", {"result": "allow"})
    assert exposed(tally)["dicomward_parts_total"] == {(("result", "allow"),): 1}


def test_labels_are_from_closed_sets() -> None:
    """No label is an identifier: each name that code counts under is one of these."""
    closed = {"result", "reason", "action", "status", "room", "kind", "authority", "digest", "state", "le", "stage"}
    used: set[str] = set()
    for path in (ROOT / "proxy").rglob("*.py"):
        text = path.read_text("utf-8")
        for labels in re.findall(r"labels=\(([^)]*)\)", text):
            used |= set(re.findall(r'"([a-z_]+)"', labels))
        for labels in re.findall(r"\.count\(\s*\"[a-z_]+\",\s*\{(.*?)\}", text, re.DOTALL):
            used |= set(re.findall(r'"([a-z_]+)":', labels))
    assert used
    assert used <= closed


# ---------------------------------------------------------------------------------------------- admin


@pytest.fixture
async def admin_url() -> AsyncIterator[tuple[str, dict[str, bool], dict[str, bool], Tally]]:
    tally, ready, troubles = Tally(), {"spool": True, "policy": True}, {"anchor": False, "canary": False}
    admin = Admin(tally, lambda: ready, lambda: troubles)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await admin.start("127.0.0.1", port)
    yield f"http://127.0.0.1:{port}", ready, troubles, tally
    await admin.stop()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_metrics_are_served_for_prometheus(
    admin_url: tuple[str, dict[str, bool], dict[str, bool], Tally],
) -> None:
    url, _, _, tally = admin_url
    tally.count("outcomes", {"status": "complete"})
    status, text = await get(f"{url}/metrics")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert status == 200
    assert {"dicomward_outcomes", "process_resident_memory_bytes", "python_info"} <= names


async def test_health_and_readiness(admin_url: tuple[str, dict[str, bool], dict[str, bool], Tally]) -> None:
    url, ready, troubles, _ = admin_url
    status, text = await get(f"{url}/healthz")
    assert (status, json.loads(text)) == (200, {"status": "ok", "degraded": []})
    status, text = await get(f"{url}/readyz")
    assert (status, json.loads(text)) == (200, {"spool": True, "policy": True})
    ready["spool"] = False
    status, text = await get(f"{url}/readyz")
    assert (status, json.loads(text)) == (503, {"spool": False, "policy": True})
    assert (await get(f"{url}/healthz"))[0] == 200
    troubles["canary"] = True
    status, text = await get(f"{url}/healthz")
    assert (status, json.loads(text)) == (200, {"status": "degraded", "degraded": ["canary"]})


async def test_port_that_is_taken_names_the_key() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        admin = Admin(Tally(), dict, dict)
        with pytest.raises(ConfigurationError, match=r"listen\.admin_port"):
            await admin.start("127.0.0.1", taken.getsockname()[1])
        await admin.stop()


# ---------------------------------------------------------------------------------------------- logs


def logged(error: Exception | None = None, **extra: object) -> tuple[str, dict[str, object]]:
    record = logging.LogRecord("proxy.arrive", logging.ERROR, "x.py", 1, "request %s", ("failed",), None)
    vars(record).update(extra)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return line, json.loads(line)


def test_log_is_one_json_object_a_line() -> None:
    line, content = logged(records=3, detail="two\nlines")
    assert content | {"time": ""} == {
        "time": "",
        "level": "error",
        "logger": "proxy.arrive",
        "message": "request failed",
        "records": 3,
        "detail": "two\nlines",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(content["time"]))
    assert list(json.loads(line))[:4] == ["time", "level", "logger", "message"]


def fail_with_patient_data(patient: str) -> None:
    local = f"PatientID {patient}"
    try:
        raise KeyError(local)
    except KeyError as error:
        raise ValueError(f"cannot read {patient}") from error


def test_exception_is_told_by_type_and_place_without_message_or_locals() -> None:
    try:
        fail_with_patient_data("DOE^JANE")
    except ValueError as error:
        line, content = logged(error)
    assert content["error"] == "ValueError"
    assert "test_watch.py" in str(content["at"])
    assert "fail_with_patient_data" in str(content["at"])
    assert "DOE" not in line
    assert "cannot read" not in line


def test_deep_traceback_stays_short() -> None:
    def deeper(depth: int) -> None:
        if not depth:
            raise RuntimeError
        deeper(depth - 1)

    try:
        deeper(100)
    except RuntimeError as error:
        _, content = logged(error)
    assert len(content["at"]) == 8  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [Path("/x"), b"bytes", {1, 2}, 2**70, "\ud800", float("nan"), {2**70: 1}], ids=ascii)
def test_whatever_is_logged_is_a_line(value: object) -> None:
    _, content = logged(detail=value)
    assert "detail" in content


def test_third_parties_do_not_log_what_they_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("aiohttp", "pydicom", "asyncio", "web3", "urllib3")}
    try:
        configure_logs()
        logging.getLogger("pydicom").error("PatientName DOE^JANE")
        logging.getLogger("aiohttp.server").error("GET /dicom-web/studies?00100010=DOE^JANE")
        logging.getLogger("proxy").warning("kept")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)
    told = capsys.readouterr().err
    assert "DOE" not in told
    assert json.loads(told)["message"] == "kept"
