"""What a check found, as one value whoever found it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from proxy.model import JsonObject

_EMBEDDED: Final = re.compile(r"--> (?P<file>[^:]+):(?P<line>\d+):\d+ .*?error: (?P<text>.*)")
_NAMED: Final = re.compile(r"(?P<file>[^\s:]+\.(?:rego|json)): (?P<text>.*)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    file: str
    """Path within the folder; empty where it is about no file."""
    line: int
    """Counted from 1; 0 where it is not known."""
    check: str
    """What found it."""
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def to_wire(self) -> JsonObject:
        return {"file": self.file, "line": self.line or None, "check": self.check, "text": self.text}


def of_message(check: str, message: str) -> Finding:
    """From the message of an error that names file and line somewhere."""
    at = _EMBEDDED.search(message)
    if at is not None:
        return Finding(file=at["file"], line=int(at["line"]), check=check, text=at["text"].strip())
    named = _NAMED.match(message)
    if named is not None:
        return Finding(file=named["file"], line=0, check=check, text=named["text"])
    return Finding(file="", line=0, check=check, text=message)
