"""Masks: attributes that an answer must not show, at any depth. Pure.

What is derived from a masked attribute is masked with it (``ModalitiesInStudy`` with ``Modality``): otherwise an answer
would tell, or a query ask, the same by another name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from proxy.fulfil.elements import FLOATING, Element, hold_members, is_name, is_plain, is_private, items_of, malformed
from proxy.fulfil.selectors import Selection, dictionary_representations, selection
from proxy.fulfil.uids import IDENTITY
from proxy.model import Obligation
from proxy.ports import Dataset

PIXELS: Final = frozenset({"7FE00010", "7FE00008", "7FE00009"})
DERIVED: Final = {
    "00080061": "00080060",  # ModalitiesInStudy from Modality
    "00080062": "00080016",  # SOPClassesInStudy from SOPClassUID
    "00101010": "00100030",  # PatientAge from PatientBirthDate
}

_MAX_REMEMBERED: Final = 8192


# What is to be done with an element, by tag and representation. Numbers: an answer has thousands of elements.
_PLAIN: Final = 0
_LOOK: Final = 1
_BLANK: Final = 2
_REMOVE: Final = 3
_LOOKED_INTO: Final = frozenset({"SQ", "PN"}) | FLOATING

Rebuild = Callable[[Element], None]
"""Takes an element whose value lies elsewhere; leaves its ``BulkDataURI`` ours, or none."""


class Mask:
    """Which attributes are removed, and which keep their place without a value. Removal wins."""

    def __init__(self, removed: Selection, blanked: Selection) -> None:
        self._removed = removed
        self._blanked = blanked
        self._fates: dict[tuple[str, str], int] = {}

    def hides(self, tag: str) -> bool:
        """Whether an attribute may be masked, by what the dictionary says of it.

        What the dictionary does not have could be of any representation: a mask by representation hides it.
        """
        tag = tag.upper()
        known = dictionary_representations(tag)
        if not known and (self._removed.representations or self._blanked.representations):
            return True
        return self._fate(tag, known) != _PLAIN

    @property
    def hides_identity(self) -> bool:
        """Whether it names a UID without which no answer says what it is of."""
        return any(map(self.hides, IDENTITY))

    @property
    def hides_pixels(self) -> bool:
        return any(map(self.hides, PIXELS))

    def bars(self, path: Sequence[str]) -> bool:
        """Whether the value at a path of bulk data (tags with item numbers between) may hold what is masked."""
        tags = path[::2]
        if any(is_private(tag) or self.hides(tag) for tag in tags):
            return True
        last = dictionary_representations(tags[-1].upper())
        return not last or "SQ" in last or "UN" in last

    def apply(self, dataset: Dataset, rebuild: Rebuild | None = None) -> None:
        """Mask a dataset in place, at all depths, and hold what is left of it to the form of PS3.18 F.2.

        :param rebuild: given each element that stays and links to its value
        :raises ArchiveError: it is not DICOM JSON, so that it cannot be known what it shows
        """
        fates = self._fates
        gone: list[str] = []
        for tag, element in dataset.items():
            try:
                fate = fates.get((tag, element["vr"]))
            except (TypeError, LookupError):
                raise malformed() from None
            if fate is None:
                fate = self._learn(tag, element["vr"])
            if fate == _REMOVE:
                gone.append(tag)
            elif fate == _BLANK:
                dataset[tag] = {"vr": element["vr"]}
            elif fate or not is_plain(element):
                self._look(element, rebuild)
        for tag in gone:
            del dataset[tag]

    def _look(self, element: Element, rebuild: Rebuild | None) -> None:
        if len(element) != 2 or "Value" not in element:
            hold_members(element)
            if rebuild is not None and "BulkDataURI" in element:
                rebuild(element)
        for item in items_of(element):
            self.apply(item, rebuild)

    def _learn(self, tag: Any, vr: Any) -> int:
        if not is_name(tag, vr):
            raise malformed()
        # A file may say another representation than the dictionary, to slip through a mask: what either says counts.
        known = dictionary_representations(tag)
        fate = self._fate(tag, known | {vr})
        if vr == "UN" and not known:
            # Nobody knows what it is, so it may be what is masked.
            fate = max(fate, _REMOVE if self._removed.representations else _PLAIN)
            fate = max(fate, _BLANK if self._blanked.representations else _PLAIN)
        fate = fate or (_LOOK if vr in _LOOKED_INTO else _PLAIN)
        if len(self._fates) >= _MAX_REMEMBERED:
            self._fates.clear()
        self._fates[tag, vr] = fate
        return fate

    def _fate(self, tag: str, representations: frozenset[str]) -> int:
        own = self._own_fate(tag, representations)
        source = DERIVED.get(tag)
        return own if source is None else max(own, self._own_fate(source, dictionary_representations(source)))

    def _own_fate(self, tag: str, representations: frozenset[str]) -> int:
        if self._removed.picks(tag, representations):
            return _REMOVE
        return _BLANK if self._blanked.picks(tag, representations) else _PLAIN


NOTHING: Final = Mask(selection(()), selection(()))
"""Hides nothing, and holds datasets to their form all the same."""


def mask_of(obligations: Iterable[Obligation]) -> Mask | None:
    """The union of all masks; ``None`` where nothing is masked.

    :raises ValueError: a mask is not of the form of the contract
    """
    forms = tuple(
        (_selectors(obligation, "attributes"), _selectors(obligation, "blank"))
        for obligation in obligations
        if obligation.type == "mask"
    )
    return _compiled(forms) if forms else None


def _selectors(obligation: Obligation, member: str) -> tuple[str, ...]:
    value = obligation.body.get(member, [])
    if type(value) is not list or not all(type(selector) is str for selector in value):
        raise ValueError("a mask names attributes by text")
    return tuple(str(selector) for selector in value)


@lru_cache(maxsize=256)
def _compiled(forms: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]) -> Mask:
    if not all(attributes or blank for attributes, blank in forms):
        raise ValueError("a mask names no attribute")
    removed = selection(selector for attributes, _ in forms for selector in attributes)
    return Mask(removed, selection(selector for _, blank in forms for selector in blank))
