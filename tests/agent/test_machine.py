"""The real machine: bounds on what is run and read, and one collection of form only."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from proxy.agent import LinuxMachine, collect, known
from proxy.agent.findings import UnknownError
from proxy.model import ATTRIBUTES


def script(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> LinuxMachine:
    return LinuxMachine(path=f"{tmp_path}:/usr/bin:/bin", timeout_s=1, longest=1000)


def test_callers_variables_and_path_reach_no_command(
    machine: LinuxMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "show", "env")
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "evil")
    monkeypatch.setenv("PATH", "/somewhere/else")
    lines = machine.run(("show",)).splitlines()
    names = {line.split("=")[0] for line in lines} - {"PWD", "SHLVL", "_", "OLDPWD"}
    assert names == {"PATH", "LC_ALL", "HOME", "XDG_RUNTIME_DIR"}
    assert "LC_ALL=C" in lines
    assert not any("/somewhere/else" in line for line in lines)


def test_command_of_the_callers_path_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "findmnt-of-mine", "echo mine")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnknownError, match="missing"):
        LinuxMachine().run(("findmnt-of-mine",))


def test_arguments_reach_no_shell(machine: LinuxMachine, tmp_path: Path) -> None:
    script(tmp_path, "say", 'printf "%s" "$1"')
    assert machine.run(("say", "$(id); `id` > x")) == "$(id); `id` > x"


def test_command_that_hangs_is_ended_with_all_it_started(machine: LinuxMachine, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script(tmp_path, "hang", f"sleep 60 & echo $! > {note}; sleep 60")
    began = time.monotonic()
    with pytest.raises(UnknownError, match="no answer within 1 s"):
        machine.run(("hang",))
    assert time.monotonic() - began < 5
    pid = int(note.read_text())
    while _runs(pid):
        assert time.monotonic() - began < 5
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_child_that_left_the_group_and_holds_the_pipe_is_not_waited_for(machine: LinuxMachine, tmp_path: Path) -> None:
    script(tmp_path, "leave", "setsid sleep 4 & echo said; exit 0")
    began = time.monotonic()
    with pytest.raises(UnknownError, match="no answer within 1 s"):
        machine.run(("leave",))
    assert time.monotonic() - began < 3


def test_command_that_floods_is_ended(machine: LinuxMachine, tmp_path: Path) -> None:
    script(tmp_path, "flood", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
    with pytest.raises(UnknownError, match="more than 1000 bytes"):
        machine.run(("flood",))


@pytest.mark.parametrize(("body", "why"), [("exit 3", "status 3"), (r"printf '\377'", "not text")])
def test_command_that_fails_or_prints_no_text_is_unknown(
    machine: LinuxMachine, tmp_path: Path, body: str, why: str
) -> None:
    script(tmp_path, "fail", body)
    with pytest.raises(UnknownError, match=why):
        machine.run(("fail",))


def test_status_that_means_something_is_taken(machine: LinuxMachine, tmp_path: Path) -> None:
    script(tmp_path, "state", "echo not running; exit 252")
    assert machine.run(("state",), accepted=(0, 252)) == "not running\n"


def test_files_are_bounded_and_missing_ones_are_unknown(machine: LinuxMachine, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 1001)
    (tmp_path / "short").write_bytes(b"x" * 1000)
    assert len(machine.read(str(tmp_path / "short"))) == 1000
    for name in ("long", "none"):
        with pytest.raises(UnknownError):
            machine.read(str(tmp_path / name))
    with pytest.raises(UnknownError):
        machine.read(str(tmp_path))
    assert machine.names(str(tmp_path / "none")) == ()
    assert machine.names(str(tmp_path)) == ["long", "short"]


def test_this_very_machine_is_told_in_the_right_form() -> None:
    machine = LinuxMachine()
    assert machine.user == os.geteuid()
    findings = collect(machine, datetime.now(UTC))
    assert [finding.name for finding in findings] == sorted(ATTRIBUTES)
    for finding in findings:
        assert finding.value is None or type(finding.value) is ATTRIBUTES[finding.name]
        assert finding.how
    assert known(findings)["os_name"]
    assert None not in known(findings).values()
