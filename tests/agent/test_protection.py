"""Malware protection by ``systemctl show`` of systemd 252, secure boot by its EFI variable and mokutil 0.6."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent.findings import Finding, UnknownError
from proxy.agent.protection import (
    EFI,
    SECURE_BOOT,
    SERVICES,
    malware_protection,
    parse_mokutil,
    parse_secure_boot,
    parse_units,
    secure_boot,
)
from tests.agent.machine import RecordedMachine


def units(**states: tuple[str, str]) -> str:
    every = {name: states.get(name.split(".")[0].replace("-", "_"), ("not-found", "inactive")) for name in SERVICES}
    return (
        "\n\n".join(f"Id={name}\nLoadState={load}\nActiveState={active}" for name, (load, active) in every.items())
        + "\n"
    )


def protected(text: str) -> Finding:
    return malware_protection(RecordedMachine(commands={"systemctl": text}))


def test_known_service_that_runs_is_protection() -> None:
    found = protected(units(falcon_sensor=("loaded", "active"), clamav_daemon=("loaded", "inactive")))
    assert found.value is True
    assert "CrowdStrike Falcon" in found.how


@pytest.mark.parametrize("state", ["inactive", "failed", "activating"])
def test_known_service_that_does_not_run_is_none(state: str) -> None:
    assert protected(units(mdatp=("loaded", state))).value is False


def test_no_known_service_is_unknown_and_not_none() -> None:
    assert protected(units()).value is None
    assert protected(units(mdatp=("masked", "inactive"))).value is None
    assert malware_protection(RecordedMachine()).value is None


@given(st.text().filter(lambda text: "Id=" not in text))
def test_anything_else_of_systemctl_is_unknown(text: str) -> None:
    with pytest.raises(UnknownError):
        parse_units(text)


def test_unit_that_was_not_asked_for_counts_for_nothing() -> None:
    assert parse_units("Id=cron.service\nLoadState=loaded\nActiveState=active\n") == {}


def booted(content: bytes | None, mokutil: str | None = None, **more: Any) -> bool | int | str | None:
    files = {} if content is None else {SECURE_BOOT: content}
    commands = {} if mokutil is None else {"mokutil --sb-state": mokutil}
    folders = {EFI: ("efivars", "fw_platform_size")}
    return secure_boot(RecordedMachine(files=files, commands=commands, folders=folders, **more)).value


def test_secure_boot_by_its_variable() -> None:
    assert booted(b"\x06\x00\x00\x00\x01") is True
    assert booted(b"\x06\x00\x00\x00\x00") is False


def test_secure_boot_by_mokutil_where_the_variable_cannot_be_read() -> None:
    assert booted(None, "SecureBoot enabled\n") is True
    assert booted(None, "SecureBoot disabled\n") is False
    assert booted(None, "SecureBoot enabled\nPlatform is in Setup Mode\n") is False
    assert booted(None, "EFI variables are not supported on this system\n") is None
    assert booted(None) is None


def test_machine_without_efi_is_unknown() -> None:
    assert secure_boot(RecordedMachine(commands={"mokutil --sb-state": "SecureBoot enabled\n"})).value is None


@given(st.binary().filter(lambda content: len(content) != 5 or content[4] > 1))
def test_anything_else_in_the_variable_is_unknown(content: bytes) -> None:
    with pytest.raises(UnknownError):
        parse_secure_boot(content)


@given(st.text().filter(lambda text: "SecureBoot" not in text))
def test_anything_else_of_mokutil_is_unknown(text: str) -> None:
    with pytest.raises(UnknownError):
        parse_mokutil(text)
