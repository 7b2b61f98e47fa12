"""The URI service (PS3.18 9): another spelling of an instance's retrieve or rendering, and of nothing else.

The archive is not asked at ``/wado``: Orthanc answers there to an object UID alone, labels JPEG as PNG and ignores
most parameters. It is asked what ``serialize`` writes for the same value.
"""

from __future__ import annotations

from typing import Final

from proxy.interpret.media_types import read_accept
from proxy.interpret.negotiate import ANY_SYNTAX, negotiate
from proxy.interpret.offers import IMAGES, WADO, Offer
from proxy.interpret.parameters import invalid, read_named
from proxy.interpret.refused import RefusedError
from proxy.interpret.rendering import quality, rendering_of, size, window
from proxy.interpret.tails import read_frame
from proxy.interpret.uid import is_uid
from proxy.model import (
    Action,
    DicomRequest,
    InstanceUid,
    Level,
    Reason,
    Rendering,
    Representation,
    SeriesUid,
    StudyUid,
)

_UIDS: Final = ("studyUID", "seriesUID", "objectUID")
_COMMON: Final = frozenset({"requestType", *_UIDS, "contentType", "charset", "anonymize"})
_OF_OBJECTS: Final = _COMMON | {"transferSyntax"}
_OF_IMAGES: Final = _COMMON | {"frameNumber", "rows", "columns", "windowCenter", "windowWidth", "imageQuality"}

_WILDCARDS: Final = {"*/*": "image/jpeg", "image/*": "image/jpeg"}


def read_wado(raw: str, method: str, accept: str | None) -> DicomRequest:
    """The request as far as query and ``Accept`` tell it.

    :raises RefusedError: a parameter is missing, unknown, doubled, malformed or belongs to the other representation
    """
    values = read_named(raw, _OF_OBJECTS | _OF_IMAGES)
    if values.get("requestType") != "WADO":
        raise invalid("requestType is WADO")
    if values.get("charset", "utf-8").lower() != "utf-8" or values.get("anonymize", "no") != "no":
        raise invalid("charset is utf-8; what policy masks is masked without anonymize")
    study, series, instance = (_uid(values, name) for name in _UIDS)
    offer = _offer(values.get("contentType"), accept)
    objects = offer.representation is Representation.DICOM
    if not objects and values.get("transferSyntax") == ANY_SYNTAX:
        del values["transferSyntax"]  # dicomweb-client writes it always; of an image it says nothing
    if not values.keys() <= (_OF_OBJECTS if objects else _OF_IMAGES):
        raise invalid("a parameter belongs to objects or to images, and the other is asked for")
    return DicomRequest(
        action=Action.RETRIEVE if objects else Action.RENDER,
        level=Level.INSTANCE,
        method=method,
        representation=offer.representation,
        media_type=offer.media_type,
        bare=offer.bare,
        study=StudyUid(study),
        series=SeriesUid(series),
        instance=InstanceUid(instance),
        frames=_frames(values.get("frameNumber")),
        rendering=None if objects else _rendering(values),
        transfer_syntax=_syntax(values.get("transferSyntax", ANY_SYNTAX)) if objects else None,
    )


def _uid(values: dict[str, str], name: str) -> str:
    if name not in values:
        raise invalid("studyUID, seriesUID and objectUID are all needed")
    if not is_uid(values[name]):
        raise RefusedError(Reason.INVALID_UID, "a UID has digits and dots, no leading zeros, 64 characters")
    return values[name]


def _offer(content_type: str | None, accept: str | None) -> Offer:
    """``contentType`` chooses; without it ``Accept``, as far as it speaks of images, and else JPEG."""
    if content_type is None:
        named = accept is not None and any(r.type.startswith("image/") for r in read_accept(accept))
        return negotiate(accept if named else None, IMAGES).offer
    ranges = read_accept(content_type, Reason.INVALID_QUERY)
    for found in sorted(ranges, key=lambda r: -r.weight):
        name = _WILDCARDS.get(found.type, found.type)
        for offer in WADO.of:
            if offer.media_type == name and found.weight > 0 and not found.parameters:
                return offer
    raise RefusedError(Reason.NOT_ACCEPTABLE, "contentType is " + " or ".join(WADO.labels))


def _syntax(value: str) -> str:
    # ``*`` is what dicomweb-client writes; the standard knows UIDs only.
    if value != ANY_SYNTAX and not is_uid(value):
        raise invalid("transferSyntax is a UID or *")
    return value


def _frames(value: str | None) -> tuple[int, ...]:
    try:
        return () if value is None else read_frame(value)
    except RefusedError as refused:
        raise invalid(refused.rule) from None


def _rendering(values: dict[str, str]) -> Rendering:
    parameters: dict[str, str] = {}
    if _both(values, "columns", "rows"):
        parameters["viewport"] = size(f"{values['columns']},{values['rows']}")
    if _both(values, "windowCenter", "windowWidth"):
        parameters["window"] = window(f"{values['windowCenter']},{values['windowWidth']},linear")
    if "imageQuality" in values:
        parameters["quality"] = quality(values["imageQuality"])
    return rendering_of(parameters)


def _both(values: dict[str, str], first: str, second: str) -> bool:
    if (first in values) != (second in values):
        raise invalid("rows and columns, windowCenter and windowWidth come together")
    return first in values
