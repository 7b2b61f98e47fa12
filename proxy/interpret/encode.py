"""Writing the body that the archive gets: the accepted parts again, under a boundary of our own.

Whoever forwards takes a boundary that the client could not know (128 random bits), so that no content holds it.
Example, with boundary ``b`` and one part::

    --b\\r\\n
    Content-Type: application/dicom\\r\\n
    \\r\\n
    <the part's bytes>\\r\\n
    --b--\\r\\n
"""

from __future__ import annotations

from typing import Final

_NEWLINE: Final = "\r\n"


def part_opening(boundary: str, first: bool) -> bytes:
    """What stands before a part's bytes."""
    return f"{'' if first else _NEWLINE}--{boundary}{_NEWLINE}Content-Type: application/dicom{_NEWLINE * 2}".encode(
        "ascii"
    )


def closing(boundary: str) -> bytes:
    """What stands after the last part's bytes."""
    return f"{_NEWLINE}--{boundary}--{_NEWLINE}".encode("ascii")
