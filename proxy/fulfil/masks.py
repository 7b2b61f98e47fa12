"""Masks: attributes that an answer must not show, at any depth. Pure.

What is derived from a masked attribute is masked with it (``ModalitiesInStudy`` with ``Modality``): otherwise an answer
would tell, or a query ask, the same by another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from proxy.fulfil.elements import is_name, is_private, items_of, malformed
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


class _Fate(Enum):
    KEEP = 0
    BLANK = 1
    REMOVE = 2
    DESCEND = 3


class Mask:
    """Which attributes are removed, and which keep their place without a value. Removal wins."""

    def __init__(self, removed: Selection, blanked: Selection) -> None:
        self._removed = removed
        self._blanked = blanked
        self._fates: dict[tuple[str, str], _Fate] = {}

    def hides(self, tag: str) -> bool:
        """Whether an attribute may be masked, by what the dictionary says of it.

        What the dictionary does not have could be of any representation: a mask by representation hides it.
        """
        tag = tag.upper()
        known = dictionary_representations(tag)
        if not known and (self._removed.representations or self._blanked.representations):
            return True
        return self._fate(tag, known) is not _Fate.KEEP

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

    def apply(self, dataset: Dataset) -> None:
        """Mask a dataset in place. ``Links.apply`` follows and refuses datasets that stand where none may.

        :raises ArchiveError: it is not DICOM JSON, so that it cannot be known what it shows
        """
        fates = self._fates
        for tag in list(dataset):
            element = dataset[tag]
            try:
                fate = fates.get((tag, element["vr"]))
            except (TypeError, LookupError):
                raise malformed() from None
            if fate is None:
                fate = self._learn(tag, element["vr"])
            if fate is _Fate.KEEP:
                continue
            if fate is _Fate.DESCEND:
                for item in items_of(element):
                    self.apply(item)
            elif fate is _Fate.REMOVE:
                del dataset[tag]
            else:
                dataset[tag] = {"vr": element["vr"]}

    def _learn(self, tag: Any, vr: Any) -> _Fate:
        if not is_name(tag, vr):
            raise malformed()
        # ``UN`` says that the archive did not know better: then the dictionary is asked too.
        representations = dictionary_representations(tag) | {vr} if vr == "UN" else frozenset({vr})
        fate = self._fate(tag, representations)
        if fate is _Fate.KEEP and vr == "SQ":
            fate = _Fate.DESCEND
        if len(self._fates) >= _MAX_REMEMBERED:
            self._fates.clear()
        self._fates[tag, vr] = fate
        return fate

    def _fate(self, tag: str, representations: frozenset[str]) -> _Fate:
        own = self._own_fate(tag, representations)
        source = DERIVED.get(tag)
        if source is None or own is _Fate.REMOVE:
            return own
        other = self._own_fate(source, dictionary_representations(source))
        return own if other is _Fate.KEEP else other

    def _own_fate(self, tag: str, representations: frozenset[str]) -> _Fate:
        if self._removed.picks(tag, representations):
            return _Fate.REMOVE
        return _Fate.BLANK if self._blanked.picks(tag, representations) else _Fate.KEEP


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
