"""What a collector finds: a value, or why there is none. And the machine it asks, as a port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

Value = bool | int | str
LONGEST_TEXT: Final = 128
"""Characters of a value that is text."""


class UnknownError(Exception):
    """This cannot be found out here. The message says why, in words for whoever runs the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One attribute. ``value`` is ``None`` where it is unknown: then it is left out of a report, never guessed."""

    name: str
    value: Value | None
    how: str
    """What it was found by; where it is unknown, why."""


class Machine(Protocol):
    """What collectors ask of the device. Each question is read-only and bounded in time and size."""

    @property
    def user(self) -> int:
        """Effective user id of whoever asks; 0 is root."""

    @property
    def home(self) -> str:
        """Home folder of that user."""

    def run(self, command: Sequence[str], *, accepted: Sequence[int] = (0,)) -> str:
        """What a command prints on its standard output.

        :param accepted: exit statuses whose output means something
        :raises UnknownError: it is missing, not permitted, late, too long, not text, or ended otherwise
        """

    def read(self, path: str) -> bytes:
        """:raises UnknownError: it is missing, not permitted, or too long"""

    def names(self, folder: str) -> Sequence[str]:
        """Names in a folder, sorted; none where there is no such folder.

        :raises UnknownError: it may not be read
        """
