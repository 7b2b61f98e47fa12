"""How parts are judged: by themselves, as what they go to, and by what came before them in their store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from proxy.conflicts import Earlier
from proxy.errors import ArchiveError, PolicyUnavailableError
from proxy.model import (
    Arrival,
    DecisionId,
    DeviceId,
    Grounds,
    InstanceUid,
    JsonObject,
    Obligation,
    PartHeader,
    Peer,
    Reason,
    ResourceContext,
    SeriesContext,
    SeriesUid,
    StudyContext,
    StudyUid,
    Verdict,
)
from proxy.parts import Judged, Parts
from tests.journey_rooms.simulators import DIGEST, NOW, SERIES, STORE, STUDY, Archive, Trace, World, part_header

ALLOW = Verdict(allow=True, reasons=(), policy=DIGEST)
DENY = Verdict.denied(Reason.INSTITUTION_NOT_GRANTED, policy=DIGEST)
NEW_SERIES = SeriesUid("7.7.7")
OTHER_STUDY = StudyUid("1.2.4")


def header(instance: str = "1", **more: Any) -> PartHeader:
    return replace(part_header(STUDY, instance), **more)


class CountingArchive(Archive):
    """Has nothing but what is in ``known`` and ``held``; lists what it was asked."""

    def __init__(self) -> None:
        super().__init__(Trace())
        self.questions: list[str] = []
        self.failing = frozenset[str]()

    async def studies(self, studies: Sequence[StudyUid], now: datetime) -> Mapping[StudyUid, StudyContext]:
        self.questions += studies
        if self.failing & set(studies):
            raise ArchiveError("down")
        absent = StudyContext(resource=ResourceContext(known=False, as_of=now), series={})
        return {uid: self.known.get(uid, absent) for uid in studies}

    async def holders(self, series: SeriesUid) -> frozenset[StudyUid]:
        self.questions.append(f"holders {series}")
        return await super().holders(series)


def study(**more: Any) -> StudyContext:
    """North Hospital's CT study of patient P1, with one series."""
    values = {"patient_id": "P1", "accession_number": "A1", "study_date": "20200131"}
    places = more.pop("institutions", ("North Hospital",))
    departments = more.pop("departments", ("",))
    whole = ResourceContext(
        known=True,
        as_of=NOW,
        modalities=("CT",),
        institutions=places,
        departments=departments,
        **{**values, **more},
    )
    one = SeriesContext(resource=replace(whole, institutions=places[:1], departments=departments[:1]), instances=1)
    return StudyContext(resource=whole, series={SERIES: one})


class Store:
    def __init__(self) -> None:
        world = World()
        self.engine = world.engine
        self.archive = CountingArchive()
        self.parts = Parts(replace(world.rooms, archive=self.archive), STORE)
        peer = Peer(certificate=b"der", address="192.0.2.1", connection=1)
        arrival = Arrival(peer=peer, method="POST", target="/dicom-web/studies", headers=(), at=NOW)
        self.grounds = Grounds(
            decision=DecisionId("0" * 32),
            arrival=arrival,
            principal=world.identifier.identify(peer, (), NOW),
            posture=world.posture.posture(DeviceId("ab" * 32), NOW),
            request=STORE,
            resource=None,
            policy_input=None,
            verdict=ALLOW,
            policy_generation=0,
        )

    async def judge(self, header: PartHeader) -> Judged:
        return await self.parts.judge(header, self.grounds)

    def about(self, action: str) -> list[Any]:
        """What policy was asked about parts, or about studies."""
        return [asked for asked in self.engine.asked if asked["request"]["action"] == action]  # type: ignore[index,call-overload]

    def judging(self, store: Callable[[Any], Verdict], metadata: Verdict = ALLOW) -> None:
        def judge(policy_input: JsonObject) -> Verdict:
            asked: Any = policy_input
            return metadata if asked["request"]["action"] == "metadata" else store(asked)

        self.engine.by_input = judge


@pytest.fixture
def store() -> Store:
    return Store()


def conflicts_of(judged: Judged) -> Any:
    assert judged.policy_input is not None
    return judged.policy_input["resource"]["conflicts"]  # type: ignore[index,call-overload]


# ------------------------------------------------------------------------------ what is asked of whom


async def test_part_that_agrees_is_asked_about_once(store: Store) -> None:
    store.archive.known[STUDY] = study()
    judged = await store.judge(header())
    assert judged.verdict.allow
    assert judged.told is None
    assert conflicts_of(judged) == []
    assert (len(store.engine.asked), store.archive.questions) == (1, [STUDY])


async def test_part_refused_by_itself_asks_nothing_of_the_archive(store: Store) -> None:
    store.engine.deny(Reason.INSTITUTION_NOT_GRANTED)
    judged = await store.judge(header())
    assert (judged.verdict.allow, judged.told) == (False, Reason.INSTITUTION_NOT_GRANTED)
    assert (store.archive.questions, len(store.engine.asked)) == ([], 1)


async def test_part_of_another_study_than_the_stores_asks_nothing_at_all(store: Store) -> None:
    store.parts = Parts(store.parts._rooms, replace(STORE, study=OTHER_STUDY))
    judged = await store.judge(header())
    assert (judged.policy_input, judged.told) == (None, Reason.STUDY_MISMATCH)
    assert (store.archive.questions, store.engine.asked) == ([], [])


async def test_study_of_other_departments_is_asked_about_with_all_of_them(store: Store) -> None:
    store.archive.known[STUDY] = study(departments=("", "Psychiatry"))
    store.judging(lambda asked: DENY if "Psychiatry" in asked["resource"]["departments"] else ALLOW)
    judged = await store.judge(header())
    assert not judged.verdict.allow
    assert [each["resource"]["departments"] for each in store.about("store")] == [[""], ["", "Psychiatry"]]


async def test_study_of_other_institutions_is_asked_about_with_all_of_them(store: Store) -> None:
    store.archive.known[STUDY] = study(institutions=("North Hospital", "South Clinic"))
    store.judging(lambda asked: DENY if "South Clinic" in asked["resource"]["institutions"] else ALLOW)
    judged = await store.judge(header())
    assert (judged.verdict.allow, judged.told) == (False, Reason.INSTITUTION_NOT_GRANTED)
    assert [each["resource"]["institutions"] for each in store.about("store")] == [
        ["North Hospital"],
        ["North Hospital", "South Clinic"],
    ]


async def test_holders_of_a_new_series_are_asked_for_once_a_store(store: Store) -> None:
    store.archive.known[STUDY] = study()
    for number in range(5):
        assert (await store.judge(header(str(number), series=NEW_SERIES))).verdict.allow
    assert [each for each in store.archive.questions if each != STUDY] == [f"holders {NEW_SERIES}"]


# ------------------------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("attribute", "value", "keyword"),
    [
        ("accession_number", "A2", "AccessionNumber"),
        ("accession_number", "", "AccessionNumber"),
        ("study_date", "20200201", "StudyDate"),
        ("modality", "MR", "Modality"),
        ("institution", "West Clinic", "InstitutionName"),
        ("department", "Psychiatry", "InstitutionalDepartmentName"),
    ],
)
async def test_contradiction_is_put_to_policy(store: Store, attribute: str, value: str, keyword: str) -> None:
    store.archive.known[STUDY] = study()
    store.judging(
        lambda asked: Verdict.denied(Reason.STUDY_MISMATCH, policy=DIGEST) if asked["resource"]["conflicts"] else ALLOW
    )
    part = header(**{attribute: value})
    judged = await store.judge(part)
    assert conflicts_of(judged) == [keyword]
    assert (judged.verdict.reasons, judged.verdict.policy) == (("study-mismatch",), DIGEST)
    assert judged.told is Reason.STUDY_MISMATCH
    store.engine.by_input = None
    assert (await store.judge(part)).verdict.allow


@pytest.mark.parametrize("patient", ["P2", ""])
async def test_another_patient_is_refused_whatever_policy_says(store: Store, patient: str) -> None:
    store.archive.known[STUDY] = study()
    judged = await store.judge(header(patient_id=patient))
    assert (judged.verdict.reasons, conflicts_of(judged)) == (("study-mismatch",), ["PatientID"])
    assert len(store.about("store")) == 1


async def test_series_of_another_study_is_refused_whatever_policy_says(store: Store) -> None:
    store.archive.known |= {STUDY: study(), OTHER_STUDY: study(patient_id="P9")}
    store.archive.held[NEW_SERIES] = frozenset({OTHER_STUDY})
    judged = await store.judge(header(series=NEW_SERIES))
    assert (judged.verdict.reasons, conflicts_of(judged)) == (("study-mismatch",), ["StudyInstanceUID"])
    assert judged.told is Reason.STUDY_MISMATCH


async def test_instance_of_another_series_is_refused_whatever_policy_says(store: Store) -> None:
    """An archive that looks an instance up by its UID finds neither any more."""
    store.archive.known |= {STUDY: study(), OTHER_STUDY: study(patient_id="P9")}
    store.archive.placed["1"] = frozenset({(OTHER_STUDY, NEW_SERIES)})
    judged = await store.judge(header())
    assert (judged.verdict.reasons, conflicts_of(judged)) == (("study-mismatch",), ["SOPInstanceUID"])
    store.archive.placed["1"] = frozenset({(STUDY, SERIES)})
    assert (await store.judge(header())).verdict.allow, "the same instance once more"
    judged = await store.judge(header(series=NEW_SERIES))
    assert (judged.verdict.reasons, conflicts_of(judged)) == (("study-mismatch",), ["SOPInstanceUID"])


async def test_instance_of_a_study_that_the_storer_may_not_read_is_refused_for_one_reason(store: Store) -> None:
    store.archive.known[OTHER_STUDY] = study(patient_id="P9")
    store.archive.placed["1"] = frozenset({(OTHER_STUDY, NEW_SERIES)})
    store.engine.by_input = lambda asked: DENY if asked["request"]["action"] == "metadata" else ALLOW  # type: ignore[index,call-overload]
    assert (await store.judge(header())).told is Reason.ACTION_NOT_PERMITTED


async def test_nothing_is_added_to_a_study_that_contradicts_itself(store: Store) -> None:
    unknown = ResourceContext(known=False, as_of=NOW)
    store.archive.known[STUDY] = StudyContext(resource=unknown, series={}, contradictory=True)
    assert (await store.judge(header())).verdict.reasons == ("study-mismatch",)


async def test_series_that_its_own_study_has_meanwhile_is_no_contradiction(store: Store) -> None:
    store.archive.held[NEW_SERIES] = frozenset({STUDY})
    assert (await store.judge(header(series=NEW_SERIES))).verdict.allow


async def test_attribute_on_which_the_study_disagrees_with_itself_agrees_with_no_part(store: Store) -> None:
    store.archive.known[STUDY] = study(accession_number=None)
    assert conflicts_of(await store.judge(header())) == ["AccessionNumber"]


# ------------------------------------------------------------------------- parts of one store


@pytest.mark.parametrize(
    ("more", "conflicts"),
    [
        ({}, []),
        ({"series": NEW_SERIES, "modality": "MR", "institution": "South Clinic"}, []),
        ({"patient_id": "P2"}, ["PatientID"]),
        ({"accession_number": "A2", "study_date": ""}, ["AccessionNumber", "StudyDate"]),
        ({"modality": "MR", "institution": "South Clinic"}, ["InstitutionName", "Modality"]),
        ({"study": OTHER_STUDY}, ["StudyInstanceUID"]),
        ({"study": OTHER_STUDY, "series": NEW_SERIES, "patient_id": "P2"}, []),
    ],
)
async def test_parts_of_a_new_study_agree_with_its_first(
    store: Store, more: dict[str, Any], conflicts: list[str]
) -> None:
    assert (await store.judge(header())).verdict.allow
    judged = await store.judge(header("2", **more))
    assert conflicts_of(judged) == conflicts
    assert judged.verdict.allow is not bool({"PatientID", "StudyInstanceUID"} & set(conflicts))


async def test_refused_part_says_nothing_of_a_study(store: Store) -> None:
    store.judging(lambda asked: DENY if asked["resource"]["patient_id"] == "P2" else ALLOW)
    assert not (await store.judge(header("1", patient_id="P2"))).verdict.allow
    assert (await store.judge(header("2"))).verdict.allow


def test_what_the_archive_has_counts_more_than_what_earlier_parts_said() -> None:
    earlier = Earlier()
    earlier.add(header("1", patient_id="P2", modality="MR"))
    assert earlier.conflicts(header(), study(), False) == ()


# ------------------------------------------------------------------------------ what the storer learns


@pytest.mark.parametrize(
    "metadata",
    [
        DENY,
        replace(ALLOW, obligations=(Obligation(type="mask", body={"type": "mask", "attributes": ["PatientID"]}),)),
        replace(ALLOW, obligations=(Obligation(type="juggle", body={"type": "juggle"}),)),
    ],
    ids=["denied", "masked", "cannot-be-met"],
)
@pytest.mark.parametrize("patient", ["P1", "P2"])
async def test_refusals_of_a_study_that_may_not_be_read_tell_nothing_of_it(
    store: Store, metadata: Verdict, patient: str
) -> None:
    """Whoever may not read a study must not find out by storing whose it is."""
    store.archive.known[STUDY] = study(institutions=("North Hospital", "South Clinic"))
    store.judging(lambda asked: DENY if "South Clinic" in asked["resource"]["institutions"] else ALLOW, metadata)
    judged = await store.judge(header(patient_id=patient))
    assert judged.told is Reason.ACTION_NOT_PERMITTED
    assert judged.verdict.reasons == ("institution-not-granted" if patient == "P1" else "study-mismatch",)


async def test_engine_that_does_not_answer_lets_nobody_know(store: Store) -> None:
    store.archive.known[STUDY] = study()

    def judge(asked: Any) -> Verdict:
        if asked["request"]["action"] == "metadata":
            raise PolicyUnavailableError("late")
        return ALLOW

    store.engine.by_input = judge
    assert (await store.judge(header(patient_id="P2"))).told is Reason.ACTION_NOT_PERMITTED


@pytest.mark.parametrize("failing", [False, True], ids=["denied", "archive-down"])
async def test_holder_of_a_series_that_may_not_be_read_is_not_told(store: Store, failing: bool) -> None:
    store.archive.known |= {STUDY: study(), OTHER_STUDY: study(patient_id="P9")}
    store.archive.held[NEW_SERIES] = frozenset({OTHER_STUDY})
    store.archive.failing = frozenset({OTHER_STUDY} if failing else ())

    def judge(asked: Any) -> Verdict:
        hidden = asked["request"]["action"] == "metadata" and asked["resource"]["patient_id"] == "P9"
        return DENY if hidden else ALLOW

    store.engine.by_input = judge
    judged = await store.judge(header(series=NEW_SERIES))
    assert (judged.told, judged.verdict.reasons) == (Reason.ACTION_NOT_PERMITTED, ("study-mismatch",))


async def test_storer_is_asked_about_once_a_study(store: Store) -> None:
    store.archive.known[STUDY] = study()
    for number in range(5):
        await store.judge(header(str(number), patient_id="P2"))
    (asked,) = store.about("metadata")
    assert (asked["request"]["level"], asked["request"]["study"], asked["request"]["method"]) == ("study", STUDY, "GET")
    assert (asked["request"]["instance"], asked["resource"]["patient_id"]) == (None, "P1")


async def test_mismatch_is_told_where_nothing_else_is_against_the_part(store: Store) -> None:
    store.archive.known[STUDY] = study()
    both = Verdict.denied(Reason.STUDY_MISMATCH, Reason.SUBJECT_UNKNOWN, policy=DIGEST)
    store.judging(lambda asked: both if asked["resource"]["conflicts"] else ALLOW)
    assert (await store.judge(header(modality="MR"))).told is Reason.SUBJECT_UNKNOWN


async def test_archive_that_cannot_be_asked_fails_the_store(store: Store) -> None:
    store.archive.failing = frozenset({STUDY})
    with pytest.raises(ArchiveError):
        await store.judge(header())


async def test_instances_are_asked_about_by_name(store: Store) -> None:
    await store.judge(header("5"))
    (asked,) = store.about("store")
    assert (asked["request"]["level"], asked["request"]["instance"]) == ("instance", InstanceUid("5"))
