"""The answer to a store: the archive's report held against what was sent, and our refusals beside it. Pure.

Nothing of the archive's report survives but success or failure of instances that we sent, so no address or
text of its own can pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.errors import ArchiveError
from proxy.model import PartHeader, Reason

REFERENCED: Final = "00081199"
FAILED: Final = "00081198"
SOP_CLASS: Final = "00081150"
SOP_INSTANCE: Final = "00081155"
FAILURE_REASON: Final = "00081197"
RETRIEVE_URL: Final = "00081190"

PROCESSING_FAILURE: Final = 0x0110
"""The archive was sent the part and did not store it."""
NOT_AUTHORIZED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900

FAILURES: Final = {
    Reason.STUDY_MISMATCH: DOES_NOT_MATCH,
    Reason.POLICY_UNAVAILABLE: OUT_OF_RESOURCES,
}
"""Failure Reason (0008,1197) of a refused part; every other reason is ``NOT_AUTHORIZED``.

====  ======================================================  =====================================
0110  the archive did not store it                            PS3.18 Table I.2-2, processing failure
0124  policy refuses it, or its storer may not know why       PS3.7 Annex C, refused: not authorized
A700  policy could not be asked; it may be sent again         PS3.18 Table I.2-2, out of resources
A900  it contradicts the study or series that it names        PS3.18 Table I.2-2, data set does not
                                                              match; its SOP class is not meant
====  ======================================================  =====================================

PS3.18 I.2.2 allows other codes than those of its table, so 0124 says what a DIMSE storer would be told.
"""


class StoreReports:
    """:class:`proxy.ports.StoreReport` for one public address."""

    def __init__(self, public_url: str) -> None:
        self._base = f"{public_url}/dicom-web/studies/"

    def __call__(
        self, archive: bytes | None, accepted: Sequence[PartHeader], refused: Sequence[tuple[PartHeader, Reason]]
    ) -> tuple[int, bytes]:
        stored = _stored(archive) if archive is not None else frozenset()
        succeeded = [header for header in accepted if header.instance in stored]
        failed = [(header, PROCESSING_FAILURE) for header in accepted if header.instance not in stored]
        failed += [(header, FAILURES.get(reason, NOT_AUTHORIZED)) for header, reason in refused]
        body: dict[str, Any] = {}
        studies = {header.study for header in succeeded}
        if len(studies) == 1:
            body[RETRIEVE_URL] = {"vr": "UR", "Value": [self._base + studies.pop()]}
        if succeeded:
            body[REFERENCED] = {"vr": "SQ", "Value": [self._reference(header) for header in succeeded]}
        if failed:
            body[FAILED] = {"vr": "SQ", "Value": [_failure(header, reason) for header, reason in failed]}
        status = 409 if not succeeded else 202 if failed else 200
        return status, orjson.dumps(body)

    def _reference(self, header: PartHeader) -> dict[str, Any]:
        url = f"{self._base}{header.study}/series/{header.series}/instances/{header.instance}"
        return {**_identity(header), RETRIEVE_URL: {"vr": "UR", "Value": [url]}}


def _identity(header: PartHeader) -> dict[str, Any]:
    return {
        SOP_CLASS: {"vr": "UI", "Value": [header.sop_class]},
        SOP_INSTANCE: {"vr": "UI", "Value": [header.instance]},
    }


def _failure(header: PartHeader, reason: int) -> dict[str, Any]:
    return {**_identity(header), FAILURE_REASON: {"vr": "US", "Value": [reason]}}


def _stored(archive: bytes) -> frozenset[str]:
    """SOP instances that the archive says it stored."""
    try:
        report = orjson.loads(archive)
        items = report.get(REFERENCED, {}).get("Value", [])
        return frozenset(item[SOP_INSTANCE]["Value"][0] for item in items)
    except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError) as error:
        raise ArchiveError("the archive's report on a store cannot be read") from error
