"""``dicomward dev`` where it must refuse, and the life of a stack on real parts."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from typer.testing import CliRunner

from deploy.dev import DevStack, Ports, StackError, posture, webhook
from deploy.dev.answers import session
from proxy.agent import ReportRefusedError
from proxy.cli.dev import app


@pytest.mark.parametrize("flags", [["--seal", "always"], ["--seal", "policy"], ["--viewer"]], ids=" ".join)
def test_what_is_not_built_yet_says_so_and_exits_2(flags: list[str]) -> None:
    result = CliRunner().invoke(app, ["up", *flags])
    assert result.exit_code == 2
    assert "not built yet" in result.output


def test_installed_package_without_the_repository_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deploy.dev", None)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert "checkout" in result.output


def test_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    ports = Ports.free()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports.proxy))
        holder.listen()
        with pytest.raises(StackError, match=str(ports.proxy)) as refused:
            DevStack(tmp_path, ports=ports).start()
    assert refused.value.status == 2
    assert not (tmp_path / "pki" / "ca.crt").exists()


def test_opa_that_is_not_set_up_says_what_to_do_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.dev.layout.TOOLS", tmp_path / "tools")
    result = CliRunner().invoke(app, ["up", "--policy-engine", "opa", "--dir", str(tmp_path / "stack")])
    assert result.exit_code == 2
    assert "deploy/tools.sh opa" in result.output
    assert not (tmp_path / "stack" / "pki" / "ca.crt").exists()


def test_archive_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="No DICOMweb archive"):
        DevStack(tmp_path, ports=Ports.free(), archive_url="http://127.0.0.1:9/dicom-web").start()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevStack]:
    with DevStack(tmp_path_factory.mktemp("stack"), ports=Ports.free(), block_s=0.2) as stack:
        yield stack


def studies(stack: DevStack) -> int:
    answer = requests.get(
        f"{stack.url}/dicom-web/studies", cert=stack.client("radiologist"), verify=stack.ca, timeout=30
    )
    return len(answer.json()) if answer.ok else answer.status_code


@pytest.mark.real
def test_stack_serves_what_it_was_filled_with(running: DevStack) -> None:
    assert studies(running) == 19


def refused(stack: DevStack, name: str) -> list[str]:
    answer = requests.get(f"{stack.url}/dicom-web/studies", cert=stack.client(name), verify=stack.ca, timeout=30)
    assert answer.status_code == 403
    return [reason["code"] for reason in answer.json()["reasons"]]


@pytest.mark.real
def test_identities_are_what_they_are_called_as_soon_as_it_is_ready(running: DevStack) -> None:
    assert refused(running, "stale") == ["posture-stale"]
    assert set(refused(running, "rooted")) == {"posture-disk-unencrypted", "posture-malware-protection-off"}
    assert refused(running, "revoked") == ["certificate-revoked"]


@pytest.mark.real
def test_revoked_identity_cannot_report(running: DevStack) -> None:
    with pytest.raises(ReportRefusedError, match="certificate-revoked"):
        posture.report(running.url, running.layout.pki, "revoked")


@pytest.mark.real
def test_reports_through_the_proxy_are_the_only_way_in(running: DevStack) -> None:
    off = {**posture.COMPLIANT, "firewall": False}
    posture.report(running.url, running.layout.pki, "researcher", off)
    assert refused(running, "researcher") == ["posture-firewall-off"]
    posture.report(running.url, running.layout.pki, "researcher")
    assert posture.report(running.url, running.layout.pki, "researcher").attributes == len(posture.COMPLIANT)


@pytest.mark.real
def test_management_tells_of_a_device_that_says_otherwise(running: DevStack) -> None:
    with session("manager", running.client("manager"), running.ca, []) as made:
        for passes, reasons in ((False, ["posture-firewall-off"]), (True, [])):
            told = webhook.send(made, running.url, running.layout, "technologist", {"Firewall": passes})
            assert told.status_code == 200, told.text
            assert (refused(running, "technologist") if reasons else []) == reasons
    answer = requests.get(
        f"{running.url}/dicom-web/studies", cert=running.client("technologist"), verify=running.ca, timeout=30
    )
    assert answer.status_code == 200


@pytest.mark.real
@pytest.mark.parametrize("part", ["archive", "chain", "issuer", "proxy", "anchor"])
def test_part_that_was_killed_can_be_started_again(running: DevStack, part: str) -> None:
    running.kill(part)
    assert not running.part(part).alive()
    running.restart(part)
    assert studies(running) == 19


@pytest.mark.real
def test_second_stack_in_the_same_folder_is_refused(running: DevStack) -> None:
    with pytest.raises(StackError, match="already"):
        DevStack(running.layout.directory, ports=Ports.free()).start()


@pytest.mark.real
def test_stack_started_again_in_its_folder_reports_anew_and_keeps_reporting(tmp_path: Path) -> None:
    for _ in range(2):
        with DevStack(tmp_path, ports=Ports.free(), block_s=0.2, posture_valid_s=6) as stack:
            assert refused(stack, "stale") == ["posture-stale"]
            assert studies(stack) == 19
    with DevStack(tmp_path, ports=Ports.free(), block_s=0.2, posture_valid_s=6) as stack:
        time.sleep(7)
        assert studies(stack) == 19
        assert refused(stack, "stale") == ["posture-stale"]


@pytest.mark.real
def test_command_stops_all_it_started_even_what_a_killed_run_left(tmp_path: Path) -> None:
    ports = Ports.free()
    command = [sys.executable, "-m", "proxy", "dev", "up", "--no-large-study", "--dir", str(tmp_path)]
    command += ["--port-base", str(ports.archive)]
    first = ready(command)
    left = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.communicate()
    assert len(left) >= 5
    second = ready(command)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in left)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert ports.taken() == []


def ready(command: list[str]) -> subprocess.Popen[str]:
    """Start the command and read on until its line ``ready``."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    seen, deadline = [], time.monotonic() + 120
    for line in process.stdout:
        seen.append(line)
        if line == "ready\n":
            return process
        assert time.monotonic() < deadline, "".join(seen)
    raise AssertionError("".join(seen))
