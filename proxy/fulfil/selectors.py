"""Which attributes a mask speaks of. Pure.

A selector is an eight-digit tag, a keyword of PS3.6, ``VR:PN``, ``group:0009`` or ``private``. Keywords of repeating
groups (``OverlayData``) stand for all of the group's repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import RepeatersDictionary, dictionary_VR, keyword_dict  # type: ignore[attr-defined]
from pydicom.valuerep import VR

from proxy.fulfil.elements import is_private

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_GROUP: Final = re.compile(r"group:([0-9A-Fa-f]{4})")
_VR: Final = re.compile(r"VR:([A-Z]{2})")
_REPEATING: Final = {entry[4]: name for name, entry in RepeatersDictionary.items() if name.count("x") <= 3}
_VRS: Final = frozenset(str(vr) for vr in VR if len(vr) == 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    tags: frozenset[str]
    """Upper case."""
    groups: frozenset[str]
    """Upper case."""
    representations: frozenset[str]
    private: bool

    def picks(self, tag: str, representations: frozenset[str]) -> bool:
        """:param tag: in upper case"""
        return (
            tag in self.tags
            or tag[:4] in self.groups
            or (self.private and is_private(tag))
            or not self.representations.isdisjoint(representations)
        )

    def __bool__(self) -> bool:
        return bool(self.tags or self.groups or self.representations or self.private)


def selection(selectors: Iterable[str]) -> Selection:
    """:raises ValueError: a selector is of no known form, or names nothing in the dictionary"""
    tags: set[str] = set()
    groups: set[str] = set()
    representations: set[str] = set()
    private = False
    for selector in selectors:
        if selector == "private":
            private = True
        elif _TAG.fullmatch(selector):
            tags.add(selector.upper())
        elif found := _GROUP.fullmatch(selector):
            groups.add(found[1].upper())
        elif (found := _VR.fullmatch(selector)) and found[1] in _VRS:
            representations.add(found[1])
        elif selector and selector in keyword_dict:
            tags.add(f"{keyword_dict[selector]:08X}")
        elif selector in _REPEATING:
            tags |= _repetitions(_REPEATING[selector])
        else:
            raise ValueError("a mask names an attribute that the dictionary does not have")
    return Selection(
        tags=frozenset(tags),
        groups=frozenset(groups),
        representations=frozenset(representations),
        private=private,
    )


@lru_cache(maxsize=8192)
def dictionary_representations(tag: str) -> frozenset[str]:
    """Value representations that PS3.6 gives an attribute; none where it does not have it.

    :param tag: in upper case
    """
    try:
        text: str = dictionary_VR(int(tag, 16))
    except KeyError:
        return frozenset()
    return frozenset(text.split(" or "))


def _repetitions(pattern: str) -> set[str]:
    """``60xx3000``: one tag for each value of the open digits, which stand together."""
    width = pattern.count("x")
    return {pattern.replace("x" * width, f"{number:0{width}X}").upper() for number in range(16**width)}
