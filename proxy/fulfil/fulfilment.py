"""The room's one face: ``proxy.ports.Fulfilment``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.errors import ArchiveError
from proxy.fulfil import obligations as duties
from proxy.fulfil.links import Links
from proxy.fulfil.masks import NOTHING, mask_of
from proxy.fulfil.part_recoders import Parts
from proxy.fulfil.pushdown import matches, pushdown
from proxy.fulfil.recoders import Image, JsonMetadata, XmlMetadata
from proxy.fulfil.rows import Rows
from proxy.fulfil.shaping import Shaping
from proxy.model import DicomRequest, Obligation, Query, Reason, Representation, ResourceContext, StudyUid
from proxy.ports import ArchiveAnswer, Recoder, RowShaper

_LISTS: Final = frozenset({"application/dicom+json", "application/json"})


class Fulfilling:
    """Obligations on one site's answers. Nothing is remembered from one answer to the next but compiled masks."""

    def __init__(self, public_url: str) -> None:
        """:param public_url: scheme, host and port, without a slash at the end"""
        self._public_url = public_url
        self._links = Links(public_url)

    def unmet(self, request: DicomRequest, obligations: Sequence[Obligation]) -> Reason | None:
        return duties.unmet(request, obligations)

    def recoder(self, request: DicomRequest, obligations: Sequence[Obligation], answer: ArchiveAnswer) -> Recoder:
        media_type = answer.content_type.partition(";")[0].strip()
        match request.representation:
            case Representation.JSON | Representation.XML:
                if media_type not in _LISTS:
                    raise ArchiveError("the archive's metadata is not DICOM JSON")
                made = JsonMetadata if request.representation is Representation.JSON else XmlMetadata
                return made(request, self._shaping(obligations))
            case Representation.IMAGE:
                if not media_type:
                    raise ArchiveError("the archive's image has no type")
                return Image(answer.content_type, answer.length)
            case Representation.DICOM | Representation.PIXELS | Representation.BULK:
                if media_type != "multipart/related" or not answer.boundary:
                    raise ArchiveError("the archive's answer is not in parts")
                return Parts(request, answer, self._frames_at(request))

    def rows(self, request: DicomRequest, obligations: Sequence[Obligation]) -> RowShaper:
        return Rows(request, self._shaping(obligations))

    def narrowed(self, query: Query, obligations: Sequence[Obligation]) -> Query | None:
        return pushdown(query, obligations)

    def admits(self, study: StudyUid, resource: ResourceContext, obligations: Sequence[Obligation]) -> bool:
        return matches(resource, study, obligations)

    def _shaping(self, obligations: Sequence[Obligation]) -> Shaping:
        return Shaping(mask=mask_of(obligations) or NOTHING, links=self._links)

    def _frames_at(self, request: DicomRequest) -> str | None:
        if request.representation is not Representation.PIXELS or request.instance is None:
            return None
        object_at = f"/dicom-web/studies/{request.study}/series/{request.series}/instances/{request.instance}"
        return f"{self._public_url}{object_at}/frames/"
