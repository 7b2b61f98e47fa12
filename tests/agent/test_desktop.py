"""Screen locks by what loginctl of systemd 252, gsettings of GNOME 43 and kreadconfig of Plasma print."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent.desktop import parse_boolean, parse_seconds, parse_session, parse_sessions, screen_lock
from proxy.agent.findings import Finding, UnknownError
from tests.agent.machine import RecordedMachine

SHOW = "loginctl show-session --property=User --property=Type --property=Class --property=State --property=Desktop --"
LIST = "loginctl list-sessions --no-legend --no-pager"


def session(*, user: int = 1000, kind: str = "wayland", cls: str = "user", state: str = "active", desktop: str) -> str:
    return f"User={user}\nType={kind}\nClass={cls}\nState={state}\nDesktop={desktop}\n"


GNOME = session(desktop="gnome")
LOCKING = {
    "gsettings get org.gnome.desktop.screensaver lock-enabled": "true\n",
    "gsettings get org.gnome.desktop.session idle-delay": "uint32 300\n",
    "gsettings get org.gnome.desktop.screensaver lock-delay": "uint32 0\n",
}


def found(sessions: dict[str, str], settings: dict[str, str], **more: Any) -> Finding:
    lines = "".join(f"{name:>7} 1000 ada seat0 tty2 active no -\n" for name in sessions)
    shown = {f"{SHOW} {name}": said for name, said in sessions.items()}
    return screen_lock(RecordedMachine(commands={LIST: lines, **shown, **settings}, **more))


def test_gnome_that_locks_in_time_does() -> None:
    assert found({"2": GNOME}, LOCKING).value is True
    assert found({"2": session(desktop="ubuntu:GNOME", kind="x11")}, LOCKING).value is True


@pytest.mark.parametrize(
    "change",
    [
        {"gsettings get org.gnome.desktop.screensaver lock-enabled": "false\n"},
        {"gsettings get org.gnome.desktop.session idle-delay": "uint32 0\n"},
        {"gsettings get org.gnome.desktop.session idle-delay": "uint32 1200\n"},
        {"gsettings get org.gnome.desktop.screensaver lock-delay": "uint32 3600\n"},
    ],
)
def test_gnome_that_never_locks_or_late_does_not(change: dict[str, str]) -> None:
    assert found({"2": GNOME}, {**LOCKING, **change}).value is False


@pytest.mark.parametrize("version", ["5", "6"])
@pytest.mark.parametrize(("autolock", "minutes", "locks"), [("true", 5, True), ("false", 5, False), ("true", 0, False)])
def test_plasma(version: str, autolock: str, minutes: int, locks: bool) -> None:
    group = f"kreadconfig{version} --file kscreenlockerrc --group Daemon --key"
    settings = {
        f"{group} Autolock --default true": f"{autolock}\n",
        f"{group} Timeout --default 5": f"{minutes}\n",
        f"{group} LockGrace --default 5": "5\n",
    }
    assert found({"3": session(desktop="KDE")}, settings).value is locks


@pytest.mark.parametrize(
    ("sessions", "why"),
    [
        ({}, "nobody has a graphical session"),
        ({"1": session(desktop="", kind="tty")}, "nobody has a graphical session"),
        ({"c1": session(desktop="gnome", cls="greeter", user=110)}, "nobody has a graphical session"),
        ({"2": GNOME, "5": session(desktop="gnome", user=1001)}, "another user"),
        ({"2": session(desktop="sway")}, "sway"),
        ({"2": session(desktop="")}, "without a name"),
    ],
)
def test_what_has_no_screen_or_another_owner_is_unknown(sessions: dict[str, str], why: str) -> None:
    answer = found(sessions, LOCKING)
    assert answer.value is None
    assert why in answer.how


def test_root_does_not_take_its_own_settings_for_the_users() -> None:
    assert found({"2": GNOME}, LOCKING, user=0).value is None


def test_without_settings_or_logind_it_is_unknown() -> None:
    assert found({"2": GNOME}, {}).value is None
    assert screen_lock(RecordedMachine()).value is None


@pytest.mark.parametrize("parse", [parse_boolean, parse_seconds, parse_session])
@given(
    text=st.text().filter(lambda text: text.strip().lower() not in ("true", "false") and not text.strip().isdecimal())
)
def test_anything_else_is_unknown(parse: Any, text: str) -> None:
    with pytest.raises(UnknownError):
        parse(text)


def test_session_ids_cannot_be_options() -> None:
    with pytest.raises(UnknownError):
        parse_sessions("--help 1000 ada\n")
