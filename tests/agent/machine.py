"""A machine whose answers are written down: what real tools print, in their own formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proxy.agent.findings import UnknownError


@dataclass(frozen=True, kw_only=True)
class RecordedMachine:
    """Implements :class:`proxy.agent.findings.Machine`. What is not written down is missing.

    ``commands`` are looked up by the whole command line, then by the command alone.
    """

    commands: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    folders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    user: int = 1000
    home: str = "/home/ada"

    def run(self, command: Sequence[str], *, accepted: Sequence[int] = (0,)) -> str:
        for key in (" ".join(command), command[0]):
            if key in self.commands:
                return self.commands[key]
        raise UnknownError(f"the command {command[0]} is missing")

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise UnknownError(f"{path} is not there")
        return self.files[path]

    def names(self, folder: str) -> Sequence[str]:
        return self.folders.get(folder, ())
