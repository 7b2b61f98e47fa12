"""Unique identifiers (PS3.5 9.1) and the transfer syntaxes that are known by name."""

from __future__ import annotations

import re
from typing import Final

from pydicom.uid import AllTransferSyntaxes

MAX_UID_LENGTH: Final = 64
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"

# > The first digit of each component shall not be zero unless the component is a single digit.
_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)

# Deflated data sets hide their header from this reader and from its limits; the others are not one file with a data
# set of the three encodings of PS3.5 A.1 to A.4.
_NOT_STORED: Final = (
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.6.",
    "1.2.840.10008.1.2.7.",
    "1.2.840.10008.1.20",
)

STORABLE_SYNTAXES: Final = frozenset(str(uid) for uid in AllTransferSyntaxes if not uid.startswith(_NOT_STORED))
"""Transfer syntaxes in which a part may be stored: those that pydicom knows, not deflated."""


def is_uid(text: str) -> bool:
    return len(text) <= MAX_UID_LENGTH and _UID.fullmatch(text) is not None
