"""As what each resource can be given (PS3.18 8.7.3, 8.7.4), first what is chosen where the client does not mind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from proxy.model import MEDIA_TYPES, PIXEL_TYPES, Representation


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    representation: Representation
    media_type: str
    """Of the answer, or of each of its parts."""
    multipart: bool = False
    """It is named by ``multipart/related; type=...``, and not by its own name."""
    bare: bool = False
    """``DicomRequest.bare``."""

    @property
    def label(self) -> str:
        return f'multipart/related; type="{self.media_type}"' if self.multipart else self.media_type


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """One object a set, compared by identity: a cheap key for the cache of negotiated headers."""

    of: tuple[Offer, ...]

    @property
    def labels(self) -> list[str]:
        return [offer.label for offer in self.of]


def _parts(representation: Representation, media_type: str = "") -> Offer:
    name = media_type or MEDIA_TYPES[representation]
    return Offer(representation=representation, media_type=name, multipart=True)


def _bare(representation: Representation, media_type: str = "") -> Offer:
    return Offer(representation=representation, media_type=media_type or MEDIA_TYPES[representation], bare=True)


def _plain(representation: Representation, media_type: str = "") -> Offer:
    return Offer(representation=representation, media_type=media_type or MEDIA_TYPES[representation])


_FRAMES: Final = tuple(_parts(Representation.PIXELS, name) for name in PIXEL_TYPES)
_JSON: Final = _plain(Representation.JSON)

JSON: Final = Offers((_JSON,))
# How many parts there are is not known before policy has seen the rows, so XML is multipart also for clients that
# name the type of the parts alone.
ATTRIBUTES: Final = Offers((_JSON, _parts(Representation.XML), _plain(Representation.XML)))
OBJECTS: Final = Offers((_parts(Representation.DICOM),))
OBJECT: Final = Offers((_parts(Representation.DICOM), _bare(Representation.DICOM)))
FRAMES: Final = Offers(_FRAMES)
FRAME: Final = Offers((*_FRAMES, *(_bare(Representation.PIXELS, name) for name in PIXEL_TYPES)))
BULK: Final = Offers((_parts(Representation.BULK), _bare(Representation.BULK)))
IMAGES: Final = Offers((_plain(Representation.IMAGE), _plain(Representation.IMAGE, "image/png")))
WADO: Final = Offers((*IMAGES.of, _bare(Representation.DICOM)))
"""Of WADO-URI, which chooses by the query parameter ``contentType``."""

SPELLINGS: Final = {
    "application/json": "application/dicom+json",
    "image/x-jls": "image/jls",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/jhc": "image/jphc",
    "video/mpeg2": "video/mpeg",
}
"""Names that clients ask by, of earlier editions of the standard or their own."""
