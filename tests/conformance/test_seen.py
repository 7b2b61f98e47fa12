"""The judge of what the archive saw is itself tried: it must find what it is there to find."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.model import Action, DicomRequest, Level, Query, Representation, StudyUid
from tests.conformance.seen import Allowed, unlawful
from tests.simulators.relay import Seen

JSON = (("Accept", "application/dicom+json"), ("Accept-Encoding", "identity"))
FIELDS = "00080020,00080050,00080060,00080080,00081040,00100020,00201209,00403001"


def seen(target: str, method: str = "GET", fields: tuple[tuple[str, str], ...] = JSON) -> Seen:
    return Seen(method=method, target=target, fields=(("Host", "x"), *fields), head=b"", complete=True, answered=True)


def decision(allow: bool = True, action: Action = Action.METADATA, study: str | None = "1.2", **query: Any) -> Any:
    asked = DicomRequest(
        action=action,
        level=Level.STUDY,
        method="GET",
        representation=Representation.JSON,
        study=None if study is None else StudyUid(study),
        query=Query(**query),
    )
    verdict = {"allow": allow, "reasons": [] if allow else ["action-not-permitted"]}
    return {"kind": "decision", "asked": True, "input": {"request": asked.to_wire()}, "verdict": verdict}


METADATA = "/dicom-web/studies/1.2/metadata"


def test_what_was_allowed_is_lawful() -> None:
    allowed = Allowed([decision(), decision(action=Action.SEARCH, study=None, match=(("00100020", "a"),))])
    asked = [
        seen(METADATA),
        seen("/dicom-web/studies?00100020=a&limit=201"),
        seen(f"/dicom-web/studies/1.2/series?includefield={FIELDS}&limit=2000"),
        seen(f"/dicom-web/series?0020000D=1.2,1.3&includefield={FIELDS}&limit=2000"),
    ]
    assert unlawful(asked, allowed, {"1.3"}) == []


@pytest.mark.parametrize(
    "strange",
    [
        seen("/dicom-web/studies/1.3/metadata"),
        seen("/dicom-web/studies/1.2"),
        seen("/dicom-web/studies/1.2/series/1.2/metadata"),
        seen("/dicom-web/studies/1.2/../1.2/metadata"),
        seen("/dicom-web/studies?limit=201"),
        seen("/dicom-web/series?00100020=a"),
        seen("/dicom-web/studies?limit=201&00100020=a"),
        seen(f"/dicom-web/studies/1.9/series?includefield={FIELDS}&limit=2000"),
        seen(f"/dicom-web/series?0020000D=1.2,1.9&includefield={FIELDS}&limit=2000"),
        seen(f"/dicom-web/series?includefield={FIELDS}&limit=2000"),
        seen("/dicom-web/studies/1.2/series?includefield=all"),
        seen("/patients"),
        seen("/wado?requestType=WADO"),
        seen("/dicom-web/servers"),
        seen(METADATA, "HEAD"),
        seen(METADATA, "DELETE"),
        seen(METADATA, fields=(("Accept", "application/dicom+xml"), ("Accept-Encoding", "identity"))),
        seen(METADATA, fields=JSON[:1]),
        seen("/dicom-web/studies", "POST"),
    ],
    ids=lambda each: f"{each.method} {each.target}",
)
def test_what_nobody_was_allowed_is_found(strange: Seen) -> None:
    allowed = Allowed([decision(), decision(action=Action.SEARCH, study=None, match=(("00100020", "a"),))])
    assert len(unlawful([strange], allowed, {"1.3"})) >= 1


def test_more_reads_than_decisions_are_found() -> None:
    assert unlawful([seen(METADATA)], Allowed([decision()]), set()) == []
    assert unlawful([seen(METADATA)] * 2, Allowed([decision()]), set()) != []
    assert unlawful([seen(METADATA)], Allowed([decision(allow=False)]), set()) != []
