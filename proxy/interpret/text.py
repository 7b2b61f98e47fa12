"""Text of a data set in its own character sets (PS3.3 C.12.1.1.2, PS3.5 6.1).

pydicom's tables give the defined terms and the escapes. Its decoder is not used: what it cannot decode it replaces,
with a warning and a line in the log. Without (0008,0005), octets above 127 are Latin-1, as pydicom and Orthanc (by
default) have it; the standard gives them no meaning, and old devices write them all the time.
"""

from __future__ import annotations

from typing import Final

from pydicom.charset import (
    STAND_ALONE_ENCODINGS,
    python_encoding,
)

MAX_TEXT_CHARS: Final = 64
_ESCAPE: Final = b"\x1b"
_MAX_SETS: Final = 8


class TextError(Exception):
    """The message names the rule only."""


def character_sets(value: bytes) -> tuple[str, ...]:
    """Python's names of the character sets that (0008,0005) names.

    :raises TextError: a term that is not defined, or a stand-alone one among others
    """
    try:
        terms = [term.strip(" \0") for term in value.decode("ascii").split("\\")]
    except UnicodeDecodeError:
        raise TextError("the character set is not a defined term") from None
    if len(terms) > _MAX_SETS or any(term not in python_encoding for term in terms):
        raise TextError("the character set is not a defined term")
    if len(terms) > 1 and any(term in STAND_ALONE_ENCODINGS for term in terms):
        raise TextError("this character set stands alone")
    return tuple(python_encoding[term] for term in terms)


def decoded(value: bytes, sets: tuple[str, ...]) -> str:
    """One value, without padding: at most 64 printable characters, no backslash (that would be two values).

    :raises TextError: it is longer, or does not decode
    """
    raw = value.strip(b" \0")
    if _ESCAPE in raw:
        # PS3.5 6.1.2.5. Archives read escapes otherwise than we do, or not at all: another patient would be stored than
        # was judged.
        raise TextError("a text switches its character set by an escape")
    try:
        text = raw.decode(sets[0], "strict")
    except UnicodeDecodeError:
        raise TextError("a text does not decode in its character set") from None
    if len(text) > MAX_TEXT_CHARS or not text.isprintable() or b"\\" in raw:
        raise TextError("a text is one value of at most 64 printable characters")
    return text
