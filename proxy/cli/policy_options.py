"""What the commands of ``dicomward policy`` share: options, and how they are read."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.text import Text

from proxy.config import Site, load_site, site_path
from proxy.errors import ConfigurationError


class PlainConsole(Console):
    """Prints what policies, paths and records hold as it is, and nothing of it that a terminal would obey."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("".join(map(_plain, text)), **options)


def _plain(character: str) -> str:
    return character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"


console = PlainConsole()
notices = PlainConsole(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")]
DirOption = Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_DEFAULT: Final = Path("policies")
_PERIOD: Final = re.compile(r"(\d{1,5})([mhdw])")
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def policies_folder(named: Path | None, config: Path | None, dir: Path | None) -> Path:
    """The folder that is named, else the site's, else ``./policies``.

    :raises ConfigurationError: there is none
    """
    if named is None and (config is not None or dir is not None):
        named = load_site(site_path(config, dir)).policy.directory
        if named is None:
            raise ConfigurationError("this site's policies come as bundles: name the folder they are made from")
    folder = named or _DEFAULT
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder; name the folder of policies")
    return folder


def site_of(config: Path | None, dir: Path | None) -> Site:
    """:raises ConfigurationError: neither or both are named, or the file is not valid"""
    return load_site(site_path(config, dir))


def instant(text: str | None, zone: str | None) -> datetime:
    """A moment in the site's time zone.

    :param zone: IANA name; ``None``: a time without offset is UTC, one with an offset keeps it as the site's own
    :raises ConfigurationError: it is no time
    """
    own = ZoneInfo(zone) if zone is not None else UTC
    if text is None:
        return datetime.now(own)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--at {text}: is a time such as 2026-11-22T23:30 or 2026-11-22T22:30Z") from error
    _within("--at", moment)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=own)
    return moment if zone is None else moment.astimezone(own)


def boundary(option: str, text: str | None, now: datetime) -> datetime | None:
    """A time, or how long ago: ``7d``, ``12h``.

    :raises ConfigurationError: it is neither
    """
    if text is None:
        return None
    period = _PERIOD.fullmatch(text)
    if period is not None:
        return now - timedelta(**{_UNITS[period[2]]: int(period[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option} {text}: is a time such as 2026-11-22T00:00Z, or a period such as 7d"
        ) from error
    _within(option, moment)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _within(option: str, moment: datetime) -> None:
    """Where it can be told in any time zone, and there is something before and after it."""
    if not MINYEAR < moment.year < MAXYEAR:
        raise ConfigurationError(f"{option}: the year is {MINYEAR + 1} to {MAXYEAR - 1}")


def pairs(option: str, text: str) -> dict[str, bool | int | str]:
    """``a=true,b=3,c=x`` as values; a value left out is the empty string.

    :raises ConfigurationError: it is of another form
    """
    found: dict[str, bool | int | str] = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"{option} {pair}: is KEY=VALUE")
        found[key] = {"true": True, "false": False}.get(value, int(value) if _NUMBER.fullmatch(value) else value)
    return found
