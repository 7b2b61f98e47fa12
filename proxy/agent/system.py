"""``os_name``, ``os_version`` and ``patch_age_days``.

``patch_age_days`` are the whole days since packages were last upgraded by a run that was meant for the whole system:
``apt upgrade``, ``dist-upgrade``, ``full-upgrade``, unattended upgrades, ``dnf upgrade``. That somebody upgraded one
package makes a system no younger. A run that found nothing to do leaves no trace, so a system without news looks older
than it is, never younger. Without any such run in the logs it is unknown.
"""

from __future__ import annotations

import gzip
import re
import shlex
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Final

from proxy.agent.findings import LONGEST_TEXT, Finding, Machine, UnknownError

OS_RELEASE: Final = ("/etc/os-release", "/usr/lib/os-release")
APT_LOGS: Final = "/var/log/apt"
LONGEST_LOG: Final = 16 * 2**20
"""Bytes of a packed log once unpacked."""
LONGEST_LINE: Final = 1000
WHOLE: Final = frozenset({"upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "update", "distro-sync"})
WITH_VALUE: Final = frozenset({"-o", "--option", "-c", "--config-file", "-t", "--target-release", "--default-release"})
DNF_LINE: Final = re.compile(
    r"\s*\d+\s*\|?\s*(?P<command>.*?)\s*\|?\s+(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d)(?::\d\d)?\s.*"
)


def os_name(machine: Machine) -> Finding:
    """``ID`` of os-release, for example ``debian``."""
    return _release(machine, "os_name", "ID")


def os_version(machine: Machine) -> Finding:
    """``VERSION_ID`` of os-release, for example ``12``."""
    return _release(machine, "os_version", "VERSION_ID")


def _release(machine: Machine, name: str, key: str) -> Finding:
    why = ""
    for path in OS_RELEASE:
        try:
            value = parse_os_release(machine.read(path)).get(key, "")
        except UnknownError as error:
            why = why or str(error)
            continue
        if value and len(value) <= LONGEST_TEXT and value.isprintable():
            return Finding(name=name, value=value, how=f"{key} in {path}")
        return Finding(name=name, value=None, how=f"{path} has no {key}")
    return Finding(name=name, value=None, how=why)


def parse_os_release(content: bytes) -> Mapping[str, str]:
    """Assignments of os-release(5): ``KEY=value``, quoted as in a shell. Lines that are none are passed over.

    :raises UnknownError: it is not text
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnknownError("os-release is not text") from error
    found: dict[str, str] = {}
    for line in text.split("\n"):
        key, equals, rest = line.strip().partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            continue
        try:
            found[key] = "".join(shlex.split(rest))
        except ValueError:
            continue
    return found


def patch_age_days(machine: Machine, now: datetime) -> Finding:
    """:param now: with its zone; logs are in the machine's local time"""
    name = "patch_age_days"
    reasons: list[str] = []
    for source, newest in (("apt", _apt), ("dnf", _dnf)):
        try:
            found = newest(machine)
        except UnknownError as error:
            reasons.append(str(error))
            continue
        age = (now.astimezone().replace(tzinfo=None) - found).days
        if age < 0:
            return Finding(name=name, value=None, how=f"the log of {source} is of a time to come")
        return Finding(name=name, value=age, how=f"log of {source}: the system was upgraded on {found:%Y-%m-%d}")
    return Finding(name=name, value=None, how="; ".join(reasons))


def _apt(machine: Machine) -> datetime:
    """:raises UnknownError: no upgrade of the system is on record"""
    logs = [name for name in machine.names(APT_LOGS) if re.fullmatch(r"history\.log(\.\d+(\.gz)?)?", name)]
    if not logs:
        raise UnknownError("there is no log of apt")
    times = [moment for name in logs for moment in parse_apt_history(_text(machine.read(f"{APT_LOGS}/{name}")))]
    if not times:
        raise UnknownError("the logs of apt tell of no upgrade of the whole system")
    return max(times)


def _dnf(machine: Machine) -> datetime:
    """:raises UnknownError: as above"""
    times = parse_dnf_history(machine.run(("dnf", "-C", "history", "list")))
    if not times:
        raise UnknownError("the history of dnf tells of no upgrade of the whole system")
    return max(times)


def _text(content: bytes) -> str:
    if content.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(BytesIO(content)) as file:
                content = file.read(LONGEST_LOG + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UnknownError("a packed log of apt cannot be unpacked") from error
        if len(content) > LONGEST_LOG:
            raise UnknownError("a packed log of apt is too long")
    return content.decode("utf-8", "replace")


def parse_apt_history(text: str) -> Sequence[datetime]:
    """When the whole system was upgraded, by ``/var/log/apt/history.log``: local times, without zone.

    A run counts that upgraded something, ended, and met no error.
    """
    return list(_apt_times(text))


def _apt_times(text: str) -> Iterator[datetime]:
    for block in re.split(r"\n[ \t]*\n", text):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "Upgrade" not in fields or "Error" in fields or not _whole(fields.get("Commandline", "")):
            continue
        moment = _moment(" ".join(fields.get("End-Date", "").split()), "%Y-%m-%d %H:%M:%S")
        if moment is not None:
            yield moment


def parse_dnf_history(text: str) -> Sequence[datetime]:
    """The same by ``dnf history list``, of dnf 4 (columns between ``|``) and dnf 5."""
    lines = (DNF_LINE.fullmatch(line + " ") for line in text.split("\n") if len(line) <= LONGEST_LINE)
    times = (_moment(found["time"], "%Y-%m-%d %H:%M") for found in lines if found and _whole(found["command"]))
    return [moment for moment in times if moment is not None]


def _whole(command: str) -> bool:
    """Whether a command line is meant for all packages: its one word besides options is the upgrade itself."""
    words = command.split()
    if not words:
        return False
    program = words[0].rsplit("/", 1)[-1]
    if program in ("unattended-upgrade", "unattended-upgrades"):
        return True
    if program == "packagekit":
        return "role='update-packages'" in words
    rest = words[1:] if program in ("apt", "apt-get", "aptitude", "dnf", "dnf5", "yum") else words
    plain, after = [], ""
    for word in rest:
        if after not in WITH_VALUE and not word.startswith("-"):
            plain.append(word)
        after = word
    return len(plain) == 1 and plain[0] in WHOLE


def _moment(text: str, form: str) -> datetime | None:
    try:  # local time, as logs are written
        return datetime.strptime(text, form)
    except ValueError:
        return None
