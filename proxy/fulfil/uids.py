"""Which object a dataset is. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from proxy.errors import ArchiveError
from proxy.model import DicomRequest, Level
from proxy.ports import Dataset

STUDY: Final = "0020000D"
SERIES: Final = "0020000E"
INSTANCE: Final = "00080018"
IDENTITY: Final = frozenset({STUDY, SERIES, INSTANCE})
BY_LEVEL: Final = {
    Level.STUDY: (STUDY,),
    Level.SERIES: (STUDY, SERIES),
    Level.INSTANCE: (STUDY, SERIES, INSTANCE),
}
"""What names an object of each level."""

# > The first digit of each component shall not be zero unless the component is a single digit (PS3.5 9.1).
_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)


@lru_cache(maxsize=16_384)
def _is_uid(text: str) -> bool:
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_uid(value: object) -> bool:
    return type(value) is str and _is_uid(value)


def text_of(dataset: Dataset, tag: str) -> str | None:
    """The one text that an attribute holds; ``None`` where it holds none, several, or something else."""
    try:
        values = dataset[tag]["Value"]
    except (LookupError, TypeError):
        return None
    return values[0] if type(values) is list and len(values) == 1 and type(values[0]) is str else None


def uid_of(dataset: Dataset, tag: str) -> str | None:
    """The one UID that an attribute holds; ``None`` where it holds none, several, or no UID."""
    value = text_of(dataset, tag)
    return value if is_uid(value) else None


def named(request: DicomRequest) -> tuple[tuple[str, str], ...]:
    """Tag and UID of each level that the path of a request names."""
    path = ((STUDY, request.study), (SERIES, request.series), (INSTANCE, request.instance))
    return tuple((tag, uid) for tag, uid in path if uid is not None)


def require(dataset: Dataset, wanted: tuple[tuple[str, str], ...]) -> None:
    """:raises ArchiveError: the dataset is of another object than was asked for, or does not say of which"""
    for tag, uid in wanted:
        if uid_of(dataset, tag) != uid:
            raise ArchiveError("a dataset of the archive's answer is not of the object that was asked for")
