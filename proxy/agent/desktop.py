"""``screen_lock``: whether the screen of each graphical session locks by itself after at most a quarter of an hour.

Settings are those of the user who asks, so it is known only where every graphical session is that user's. GNOME and
KDE Plasma are read. A machine without a graphical session has no screen to lock: unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from proxy.agent.findings import Finding, Machine, UnknownError

NAME: Final = "screen_lock"
LONGEST_S: Final = 900
"""Seconds without a key touched until the lock holds."""
PROPERTIES: Final = ("User", "Type", "Class", "State", "Desktop")


def screen_lock(machine: Machine) -> Finding:
    try:
        sessions = _graphical(machine)
        if not sessions:
            raise UnknownError("nobody has a graphical session")
        if any(session["User"] != str(machine.user) for session in sessions):
            raise UnknownError("another user has a graphical session, whose settings are theirs")
        answers = [_locks(machine, session["Desktop"]) for session in sessions]
    except UnknownError as error:
        return Finding(name=NAME, value=None, how=str(error))
    open_ones = [how for locks, how in answers if not locks]
    return Finding(name=NAME, value=not open_ones, how=(open_ones or [answers[0][1]])[0])


def _graphical(machine: Machine) -> Sequence[Mapping[str, str]]:
    names = parse_sessions(machine.run(("loginctl", "list-sessions", "--no-legend", "--no-pager")))
    wanted = [f"--property={name}" for name in PROPERTIES]
    found = [parse_session(machine.run(("loginctl", "show-session", *wanted, "--", name))) for name in names]
    return [
        session
        for session in found
        if session["Type"] in ("x11", "wayland", "mir") and session["Class"] == "user" and session["State"] != "closing"
    ]


def _locks(machine: Machine, desktop: str) -> tuple[bool, str]:
    kind = desktop.lower()
    if any(word in kind for word in ("gnome", "ubuntu")):
        return _gnome(machine)
    if any(word in kind for word in ("kde", "plasma")):
        return _plasma(machine)
    raise UnknownError(f"the settings of the desktop {desktop[:32] or 'without a name'} are not known")


def _gnome(machine: Machine) -> tuple[bool, str]:
    def setting(schema: str, key: str) -> str:
        return machine.run(("gsettings", "get", f"org.gnome.desktop.{schema}", key))

    enabled = parse_boolean(setting("screensaver", "lock-enabled"))
    idle = parse_seconds(setting("session", "idle-delay"))
    delay = parse_seconds(setting("screensaver", "lock-delay"))
    locks = enabled and idle > 0 and idle + delay <= LONGEST_S
    return locks, f"gsettings: lock {'on' if enabled else 'off'}, idle {idle} s and {delay} s more"


def _plasma(machine: Machine) -> tuple[bool, str]:
    def setting(key: str, default: str) -> str:
        group = ("--file", "kscreenlockerrc", "--group", "Daemon", "--key", key, "--default", default)
        try:
            return machine.run(("kreadconfig6", *group))
        except UnknownError:
            return machine.run(("kreadconfig5", *group))

    # What is not written there is as Plasma has it by default: on, after five minutes and five seconds of grace.
    enabled = parse_boolean(setting("Autolock", "true"))
    idle = 60 * parse_seconds(setting("Timeout", "5"))
    grace = parse_seconds(setting("LockGrace", "5"))
    locks = enabled and idle > 0 and idle + grace <= LONGEST_S
    return locks, f"kreadconfig: lock {'on' if enabled else 'off'}, idle {idle} s and {grace} s more"


def parse_sessions(output: str) -> Sequence[str]:
    """Ids of ``loginctl list-sessions --no-legend``.

    :raises UnknownError: it is something else
    """
    names = [line.split()[0] for line in output.split("\n") if line.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9]{1,32}", name) for name in names):
        raise UnknownError("loginctl printed what is not a list of sessions")
    return names


def parse_session(output: str) -> Mapping[str, str]:
    """The properties asked for of ``loginctl show-session``.

    :raises UnknownError: one is missing
    """
    found = dict(line.split("=", 1) for line in output.split("\n") if "=" in line)
    if not set(PROPERTIES) <= found.keys():
        raise UnknownError("loginctl did not tell what a session is")
    return found


def parse_boolean(output: str) -> bool:
    """:raises UnknownError: it is neither"""
    match output.strip().lower():
        case "true":
            return True
        case "false":
            return False
    raise UnknownError("a setting is neither true nor false")


def parse_seconds(output: str) -> int:
    """``uint32 300`` of gsettings, or a bare number.

    :raises UnknownError: it is none
    """
    found = re.fullmatch(r"(?:uint32 )?([0-9]{1,9})", output.strip())
    if found is None:
        raise UnknownError("a setting is not a number")
    return int(found[1])
