"""The ``opa`` program, where it is here: it checks types, tells of lines, and is the second engine of tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.errors import ConfigurationError

TIME_S: Final = 120.0
_OWN: Final = Path(".tools/bin/opa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opa:
    program: Path
    version: str

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """
        :raises ConfigurationError: it cannot be started, or does not end in time
        """
        return _run(self.program, arguments, cwd)


def find_opa(named: Path | None, required: bool) -> Opa | None:
    """The program that is named, else ``.tools/bin/opa``, else the one on ``PATH``.

    :raises ConfigurationError: the one named is none, or one is required and none is here
    """
    on_path = shutil.which("opa")
    found = named or (_OWN.resolve() if _OWN.is_file() else None) or (Path(on_path) if on_path else None)
    if found is None:
        if required:
            raise ConfigurationError("there is no opa here: put it on PATH, or name it with --opa FILE")
        return None
    told = _run(found.absolute(), ("version",), None)
    label, _, version = told.stdout.partition("\n")[0].partition(": ")
    if told.returncode != 0 or label != "Version":
        raise ConfigurationError(f"{found}: is no opa program")
    return Opa(program=found.absolute(), version=version.strip())


def parsed(text: str) -> Any:
    """What OPA printed as JSON; ``None`` where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _run(program: Path, arguments: Sequence[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, timeout=TIME_S, check=False, cwd=cwd
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{program}: cannot be run") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{program} {arguments[0]}: not done within {TIME_S:g} s") from error
