"""What may stand in a path behind its UIDs: frame numbers (PS3.18 10.4.1.1.4) and the place of bulk data."""

from __future__ import annotations

import re
from typing import Final

from proxy.interpret.refused import RefusedError
from proxy.model import Reason

MAX_FRAMES: Final = 1000
MAX_DEPTH: Final = 16
"""Sequences around the attribute that holds bulk data."""

_COUNT: Final = re.compile(r"[1-9][0-9]{0,7}", re.ASCII)
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)


def read_frames(text: str) -> tuple[int, ...]:
    """Frame numbers in the order asked for, which is that of the answer's parts.

    :raises RefusedError: a number that is not one of 1 to 99999999, one that comes twice, or too many
    """
    items = text.split(",", MAX_FRAMES)
    if len(items) > MAX_FRAMES or len(set(items)) < len(items) or not all(map(_COUNT.fullmatch, items)):
        raise _refused(f"frames are at most {MAX_FRAMES} different numbers, 1 to 99999999, with commas")
    return tuple(map(int, items))


def read_frame(text: str) -> tuple[int, ...]:
    """:raises RefusedError: it is not one frame number"""
    if _COUNT.fullmatch(text) is None:
        raise _refused("an image is made of one frame, 1 to 99999999")
    return (int(text),)


def read_bulk(segments: list[str]) -> tuple[str, ...]:
    """``DicomRequest.bulk``: tags in lower case, with an item number after each that is a sequence.

    :raises RefusedError: it begins or ends with an item, nests too deep, or a tag is none of a data set
    """
    tags, items = segments[::2], segments[1::2]
    if len(items) > MAX_DEPTH or len(tags) != len(items) + 1 or not all(map(_COUNT.fullmatch, items)):
        raise _refused(f"bulk data is tag(/item/tag)*, items counted from 1, at most {MAX_DEPTH} of them")
    if not all(map(_in_data_set, tags)):
        raise _refused("a tag is eight hexadecimal digits of a group of data sets")
    return tuple(segment.lower() for segment in segments)


def _in_data_set(tag: str) -> bool:
    # Commands and meta information (PS3.5 7.1) are no part of it, groups FFFE and FFFF are structure.
    return _TAG.fullmatch(tag) is not None and 0x0008 <= int(tag[:4], 16) < 0xFFFE


def _refused(rule: str) -> RefusedError:
    return RefusedError(Reason.INVALID_PATH, rule)
