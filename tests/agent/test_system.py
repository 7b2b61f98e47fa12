"""os-release, and how old the last upgrade of the whole system is, by logs of apt 2.6 and of dnf 4 and 5."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent.findings import UnknownError
from proxy.agent.system import (
    os_name,
    os_version,
    parse_apt_history,
    parse_dnf_history,
    parse_os_release,
    patch_age_days,
)
from tests.agent.machine import RecordedMachine

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEBIAN = b"""PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
ID=debian
# a comment
BUG_REPORT_URL="https://bugs.debian.org/"
"""
HISTORY = """
Start-Date: 2026-11-02  06:12:01
Commandline: /usr/bin/unattended-upgrade
Upgrade: libssl3:amd64 (3.0.15-1~deb12u1, 3.0.16-1~deb12u1), openssl:amd64 (3.0.15-1~deb12u1, 3.0.16-1~deb12u1)
End-Date: 2026-11-02  06:12:09

Start-Date: 2026-11-10  09:00:00
Commandline: apt-get install -y jq
Requested-By: ada (1000)
Install: jq:amd64 (1.6-2.1), libjq1:amd64 (1.6-2.1, automatic)
Upgrade: libonig5:amd64 (6.9.8-1, 6.9.8-2)
End-Date: 2026-11-10  09:00:04
"""
DNF4 = """ID     | Command line                       | Date and time    | Action(s)      | Altered
-----------------------------------------------------------------------------------------
    14 | install jq                         | 2026-11-20 10:11 | Install        |    2
    13 | upgrade -y                         | 2026-11-12 08:30 | I, U           |   41 EE
    12 | upgrade openssl                    | 2026-11-21 08:30 | Upgrade        |    2
"""
DNF5 = """ID Command line                 Date and time       Action(s) Altered
 3 dnf install jq               2026-11-20 10:11:12                 2
 2 dnf upgrade --refresh        2026-11-12 08:30:00                41
 1                              2026-01-01 00:00:00               500
"""


def logged(**logs: bytes) -> RecordedMachine:
    names = {name.replace("_", "."): content for name, content in logs.items()}
    return RecordedMachine(
        files={f"/var/log/apt/{name}": content for name, content in names.items()},
        folders={"/var/log/apt": sorted(names)},
    )


def block(command: str, *, upgraded: bool = True, end: str = "2026-11-02  06:12:09", more: str = "") -> str:
    upgrade = "Upgrade: a:amd64 (1, 2)\n" if upgraded else ""
    return f"Start-Date: 2026-11-02  06:12:01\nCommandline: {command}\n{upgrade}{more}End-Date: {end}\n"


def test_os_is_told_by_its_id() -> None:
    machine = RecordedMachine(files={"/etc/os-release": DEBIAN})
    assert (os_name(machine).value, os_version(machine).value) == ("debian", "12")


def test_other_place_of_os_release_is_looked_at() -> None:
    assert os_name(RecordedMachine(files={"/usr/lib/os-release": b"ID=arch\n"})).value == "arch"
    assert os_version(RecordedMachine(files={"/usr/lib/os-release": b"ID=arch\n"})).value is None
    assert os_name(RecordedMachine()).value is None


@pytest.mark.parametrize("content", [b"", b"ID=\n", b"ID='half\n", b"ID=\x1b[2J\n", b"ID=" + b"x" * 200, b"\xff\xfe"])
def test_os_release_that_tells_nothing_is_unknown(content: bytes) -> None:
    assert os_name(RecordedMachine(files={"/etc/os-release": content})).value is None


@given(st.binary())
def test_os_release_of_any_bytes_is_read_or_unknown(content: bytes) -> None:
    try:
        assert all(key.isupper() for key in parse_os_release(content))
    except UnknownError:
        assert not content.isascii()


def test_age_counts_from_the_last_upgrade_of_the_whole_system() -> None:
    found = patch_age_days(logged(history_log=HISTORY.encode()), NOW)
    assert (found.value, found.how) == (20, "log of apt: the system was upgraded on 2026-11-02")


def test_packed_logs_are_read_too() -> None:
    machine = RecordedMachine(
        files={
            "/var/log/apt/history.log": b"",
            "/var/log/apt/history.log.1.gz": gzip.compress(HISTORY.encode()),
            "/var/log/apt/term.log": b"not this one",
        },
        folders={"/var/log/apt": ("history.log", "history.log.1.gz", "term.log")},
    )
    assert patch_age_days(machine, NOW).value == 20


def test_packed_log_that_grows_without_end_is_unknown() -> None:
    bomb = RecordedMachine(
        files={"/var/log/apt/history.log.1.gz": gzip.compress(b"x" * (17 * 2**20))},
        folders={"/var/log/apt": ("history.log.1.gz",)},
    )
    found = patch_age_days(bomb, NOW)
    assert found.value is None
    assert "too long" in found.how


@pytest.mark.parametrize(
    "command",
    [
        "apt upgrade",
        "apt-get -y dist-upgrade",
        "apt-get -o Dpkg::Options::=--force-confold -y full-upgrade",
        "/usr/bin/unattended-upgrade --debug",
        "packagekit role='update-packages'",
        "aptitude safe-upgrade",
    ],
)
def test_upgrades_of_everything_count(command: str) -> None:
    assert parse_apt_history(block(command)) == [datetime(2026, 11, 2, 6, 12, 9)]


@pytest.mark.parametrize(
    "text",
    [
        block("apt-get install -y openssl"),
        block("apt upgrade openssl"),
        block("apt-get --only-upgrade install upgrade"),
        block("apt upgrade", upgraded=False),
        block("apt upgrade", more="Error: Sub-process /usr/bin/dpkg returned an error code (1)\n"),
        block("apt upgrade", end="2026-13-45  06:12:09"),
        block("apt upgrade").replace("End-Date", "Never"),
        block(""),
        "",
    ],
)
def test_other_runs_do_not_count(text: str) -> None:
    assert parse_apt_history(text) == []


def test_log_of_a_time_to_come_is_unknown() -> None:
    text = block("apt upgrade", end=f"{NOW + timedelta(days=3):%Y-%m-%d  %H:%M:%S}")
    assert patch_age_days(logged(history_log=text.encode()), NOW).value is None


def test_without_any_log_it_is_unknown() -> None:
    found = patch_age_days(RecordedMachine(), NOW)
    assert (found.value, found.how) == (None, "there is no log of apt; the command dnf is missing")
    only_installs = logged(history_log=block("apt install jq").encode())
    assert patch_age_days(only_installs, NOW).value is None


@pytest.mark.parametrize("output", [DNF4, DNF5])
def test_dnf_tells_when_everything_was_upgraded(output: str) -> None:
    assert parse_dnf_history(output) == [datetime(2026, 11, 12, 8, 30)]
    found = patch_age_days(RecordedMachine(commands={"dnf -C history list": output}), NOW)
    assert found.value == 10


@given(st.text())
def test_any_text_is_no_upgrade_or_one_with_its_time(text: str) -> None:
    for moment in [*parse_apt_history(text), *parse_dnf_history(text)]:
        assert f"{moment:%Y-%m-%d}" in text
