"""``dicomward posture`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.model import ATTRIBUTES
from tests.agent.site import FakeSite, fake_site, make_device, refusal

COMMAND = [sys.executable, "-m", "proxy", "posture"]
WIDE = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
VALUES = '{"disk_encryption": true, "firewall": false}'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    with fake_site(tmp_path) as running:
        yield running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=WIDE)


def flags(site: FakeSite, folder: Path, *more: str) -> list[str]:
    certificate, key = make_device().write(folder)
    values = folder / "values.json"
    values.write_text(VALUES)
    given = ["report", "--url", site.url, "--certificate", str(certificate), "--key", str(key), "--ca", str(site.ca)]
    return [*given, "--values", str(values), *more]


def test_help_names_every_flag() -> None:
    said = run("report", "--help").stdout
    assert [
        flag
        for flag in ("--url", "--certificate", "--key", "--ca", "--site", "--every", "--values", "--json")
        if flag not in said
    ] == []
    assert {"collect", "report"} <= set(run("--help").stdout.split())


def test_collect_prints_each_attribute_or_why_it_is_unknown() -> None:
    done = run("collect", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert sorted([*told["posture"], *told["unknown"]]) == sorted(ATTRIBUTES)
    table = run("collect")
    assert all(name in table.stdout for name in ATTRIBUTES)


def test_one_report_is_one_line(site: FakeSite, tmp_path: Path) -> None:
    done = run(*flags(site, tmp_path, "--site", "north"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert "north accepted 2 attributes, until 2026-11-22T12:15:00.000Z" in done.stdout
    assert [method for method, *_ in site.asked] == ["GET", "POST"]


def test_report_of_what_is_collected(site: FakeSite, tmp_path: Path) -> None:
    arguments = flags(site, tmp_path)
    at = arguments.index("--values")
    done = run(*arguments[:at], "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["accepted"], told["site"]) == (0, True, "north")


def test_refusal_is_shown_with_its_remedy(site: FakeSite, tmp_path: Path) -> None:
    site.answer = refusal(
        403, {"code": "report-not-current", "title": "Not now", "remedy": "Check the device's clock."}
    )
    done = run(*flags(site, tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "report-not-current: Not now. Check the device's clock." in done.stderr
    as_json = run(*flags(site, tmp_path, "--json"))
    told = json.loads(as_json.stdout)
    assert (as_json.returncode, told["accepted"], told["status"]) == (1, False, 403)
    assert told["reasons"][0]["remedy"] == "Check the device's clock."


def test_site_that_is_not_there_says_what_to_check(site: FakeSite, tmp_path: Path) -> None:
    arguments = flags(site, tmp_path)
    arguments[arguments.index("--url") + 1] = "https://127.0.0.1:9"
    done = run(*arguments)
    assert done.returncode == 1
    assert "could not be reached" in done.stderr
    assert "check --url" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("{", "not JSON"),
        ('{"firewall": "on"}', "firewall is not of type bool"),
        ('{"x": "' + "y" * 70_000 + '"}', "longer"),
    ],
)
def test_values_that_are_none_end_with_status_2(site: FakeSite, tmp_path: Path, values: str, why: str) -> None:
    arguments = flags(site, tmp_path)
    (tmp_path / "values.json").write_text(values)
    done = run(*arguments)
    assert done.returncode == 2
    assert why in done.stderr
    assert site.asked == []


def test_key_that_others_can_read_says_what_to_do_and_sends_nothing(site: FakeSite, tmp_path: Path) -> None:
    arguments = flags(site, tmp_path)
    (tmp_path / "device.key").chmod(0o644)
    done = run(*arguments)
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert site.connections == 0


def test_every_goes_on_through_failures_until_it_is_stopped(site: FakeSite, tmp_path: Path) -> None:
    site.answer = refusal(503, {"code": "posture-unavailable", "title": "Down", "remedy": "Try again later."})
    process = subprocess.Popen(
        [*COMMAND, *flags(site, tmp_path, "--every", "1")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    _until(lambda: len(site.asked) >= 4)
    site.answer = FakeSite(url="", ca=tmp_path).answer
    before = len(site.asked)
    _until(lambda: len(site.asked) >= before + 4)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "posture-unavailable" in err
    assert "accepted 2 attributes" in out


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
