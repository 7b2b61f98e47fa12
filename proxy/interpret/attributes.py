"""Which attributes a search may match on, by level, and which it may ask to be included.

Keywords, tags and VRs are pydicom's dictionary of PS3.6; the lists are PS3.18 tables 10.6.1-5 and what viewers
match on besides. Private attributes may be included and not matched: archives ignore such keys, and answer all.
Everything else is refused: matching is an oracle for the value that is matched.
"""

from __future__ import annotations

import re
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_dict

from proxy.model import Level

_STUDY: Final = (
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "ModalitiesInStudy",
    "ReferringPhysicianName",
    "InstitutionName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
)
_SERIES: Final = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "Modality",
    "BodyPartExamined",
    "Laterality",
    "ProtocolName",
    "StationName",
    "InstitutionName",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
)
_INSTANCE: Final = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "ContentDate", "ContentTime")

_GATHERED: Final = frozenset({"ModalitiesInStudy"})
"""Gathered from all series of a study: matched below study level it would tell of those that are hidden."""

_ORDER: Final = (Level.STUDY, Level.SERIES, Level.INSTANCE)
_BY_LEVEL: Final = {Level.STUDY: _STUDY, Level.SERIES: _SERIES, Level.INSTANCE: _INSTANCE}

Key = tuple[str, str]
"""Tag as eight upper-case hexadecimal digits, and value representation."""


def _key(keyword: str) -> Key:
    tag = keyword_dict[keyword]
    return f"{tag:08X}", dictionary_VR(tag)


def _matchable(level: Level, depth: int) -> dict[str, Key]:
    names: dict[str, Key] = {}
    for inner in _ORDER[depth : _ORDER.index(level) + 1]:
        for keyword in _BY_LEVEL[inner]:
            if keyword in _GATHERED and level is not Level.STUDY:
                continue
            key = _key(keyword)
            names[keyword] = names[key[0]] = names[key[0].lower()] = key
    return names


MATCHABLE: Final = {
    (level, depth): _matchable(level, depth) for position, level in enumerate(_ORDER) for depth in range(position + 1)
}
"""Names a search may use, by level and number of UIDs in its path.

Attributes of a level that the path has fixed are not among them: an archive that lets the parameter win would
answer ``/studies/A/series?StudyInstanceUID=B`` with B.
"""

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
# PS3.5 7.8.1: creators are (gggg,0010-00FF), what they reserve is (gggg,1000-FFFF); groups 0001 to 0007 and FFFF are
# illegal.
_PRIVATE: Final = re.compile(r"[0-9A-Fa-f]{3}[13579BDFbdf](?:00[1-9A-Fa-f]|[1-9A-Fa-f][0-9A-Fa-f]{2})[0-9A-Fa-f]")
_NOT_PRIVATE: Final = ("0001", "0003", "0005", "0007", "FFFF")
_BULK: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "NONE"})


def _private(name: str) -> str | None:
    if _PRIVATE.fullmatch(name) is None:
        return None
    tag = name.upper()
    return None if tag.startswith(_NOT_PRIVATE) else tag


def include_tag(name: str) -> str | None:
    """The tag of an attribute that may be asked for: private, or in the dictionary and not bulk data."""
    private = _private(name)
    if private is not None:
        return private
    tag = int(name, 16) if _TAG.fullmatch(name) is not None else keyword_dict.get(name)
    if tag is None or not name:  # the dictionary has retired attributes whose keyword is empty
        return None
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return None
    return None if vr in _BULK or tag < 0x00080000 else f"{tag:08X}"
