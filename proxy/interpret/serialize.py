"""What the archive is sent, built from the value alone: the inverse of :func:`proxy.interpret.grammar.interpret`.

Law, held by a property test: interpreting what is written here gives the same value again.
"""

from __future__ import annotations

from typing import Final

from proxy.interpret.query import NO_QUERY, write_query
from proxy.model import Action, DicomRequest, Level, Representation

_JSON_HEADERS: Final = (("Accept", "application/dicom+json"), ("Accept-Encoding", "identity"))
_PLURAL: Final = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


def target_of(request: DicomRequest) -> str:
    """Path and query under the archive's DICOMweb root, for example ``/dicom-web/studies?limit=10``.

    Already escaped: whoever sends it must not normalise or escape it again.
    """
    path = "/dicom-web"
    if request.study is not None:
        path += f"/studies/{request.study}"
        if request.series is not None:
            path += f"/series/{request.series}"
            if request.instance is not None:
                path += f"/instances/{request.instance}"
    match request.action:
        case Action.SEARCH:
            path += f"/{_PLURAL[request.level]}"
        case Action.METADATA:
            path += "/metadata"
        case Action.STORE if request.study is None:
            path += "/studies"
    if request.query is NO_QUERY or request.query == NO_QUERY:
        return path
    return f"{path}?{write_query(request.query)}"


def headers_of(request: DicomRequest) -> tuple[tuple[str, str], ...]:
    """``Accept`` and ``Accept-Encoding``. A store's ``Content-Type`` belongs to whoever writes its body."""
    if request.representation is Representation.JSON:
        return _JSON_HEADERS
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={request.transfer_syntax}'
    return (("Accept", accept), ("Accept-Encoding", "identity"))
