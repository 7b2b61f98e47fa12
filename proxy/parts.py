"""How the parts of one store are judged (step 5a).

1. A store to one study takes parts of that study.
2. Policy is asked about a part as its own header describes it. What is refused here asks nothing of the archive.
3. What the archive has of the study and the series that the part names is looked up, and where else that series and
   that instance are.
4. Where the part contradicts that, or an earlier part of this store, or where the study has other institutions,
   policy is asked again with both. Another patient, a series of another study and an instance of another series are
   refused whatever policy says.
5. Where the storer may not read the study that refused the part, it is not told why; the record has the true reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from proxy.conflicts import NEVER_TOLERATED, Earlier
from proxy.errors import DicomwardError, PostureUnavailableError
from proxy.model import (
    MEDIA_TYPES,
    Action,
    DicomRequest,
    Grounds,
    JsonObject,
    Level,
    PartHeader,
    Reason,
    Representation,
    ResourceContext,
    SeriesUid,
    StudyContext,
    StudyUid,
    Verdict,
)
from proxy.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Judged:
    policy_input: JsonObject | None
    """The last question about the part; ``None`` where policy was not asked."""
    verdict: Verdict
    told: Reason | None = None
    """Of a refused part: the reason that the storer may know."""


class Parts:
    """The judge of one store's parts, one after another."""

    def __init__(self, rooms: Rooms, request: DicomRequest) -> None:
        self._rooms = rooms
        self._request = request
        self._earlier = Earlier()
        self._holders: dict[SeriesUid, frozenset[StudyUid]] = {}
        self._readable: dict[StudyUid, bool] = {}

    async def judge(self, header: PartHeader, grounds: Grounds) -> Judged:
        """:raises ArchiveError: it is not known what the study is"""
        if self._request.study is not None and header.study != self._request.study:  # 1
            return Judged(None, Verdict.denied(Reason.STUDY_MISMATCH), Reason.STUDY_MISMATCH)
        asked = replace(
            self._request, level=Level.INSTANCE, study=header.study, series=header.series, instance=header.instance
        )
        question = self._question(asked, self._described(header, None, ()), grounds)
        verdict = await self._ask(asked, question)  # 2
        if not verdict.allow:
            return Judged(question, verdict, _reason(verdict))
        target = await self._study(header.study)  # 3
        elsewhere = await self._elsewhere(header, target)
        twice = await self._rooms.archive.places(header.instance) - {(header.study, header.series)}
        conflicts = self._earlier.conflicts(header, target, bool(elsewhere), bool(twice))
        elsewhere |= {study for study, _ in twice}
        if conflicts or _wider(target.resource, header):  # 4
            question = self._question(asked, self._described(header, target.resource, conflicts), grounds)
            if NEVER_TOLERATED.isdisjoint(conflicts):
                verdict = await self._ask(asked, question)
            else:
                verdict = Verdict.denied(Reason.STUDY_MISMATCH)
        if verdict.allow:
            self._earlier.add(header)
            return Judged(question, verdict)
        refusing = elsewhere | {header.study} if target.resource.known or target.contradictory else elsewhere
        return Judged(question, verdict, await self._told(verdict, refusing, grounds))  # 5

    async def _study(self, uid: StudyUid) -> StudyContext:
        return (await self._rooms.archive.studies((uid,), self._rooms.clock()))[uid]

    async def _elsewhere(self, header: PartHeader, target: StudyContext) -> frozenset[StudyUid]:
        """Other studies that have the part's series; not asked where its own study has it."""
        if header.series in target.series:
            return frozenset()
        holders = self._holders.get(header.series)
        if holders is None:
            holders = self._holders[header.series] = await self._rooms.archive.holders(header.series)
        return holders - {header.study}

    async def _told(self, verdict: Verdict, refusing: frozenset[StudyUid], grounds: Grounds) -> Reason:
        """The reason, or where a study refused the part that the storer may not read, one that says nothing of it."""
        for study in sorted(refusing):
            if study not in self._readable:
                self._readable[study] = await self._may_read(study, grounds)
            if not self._readable[study]:
                return Reason.ACTION_NOT_PERMITTED
        return _reason(verdict)

    async def _may_read(self, study: StudyUid, grounds: Grounds) -> bool:
        """Whether policy shows the storer everything of a study: what is masked could be guessed by storing."""
        asked = replace(
            self._request,
            action=Action.METADATA,
            level=Level.STUDY,
            method="GET",
            representation=Representation.JSON,
            media_type=MEDIA_TYPES[Representation.JSON],
            study=study,
            boundary=None,
            bytes=None,
            expect_continue=False,
        )
        try:
            verdict = await self._ask(asked, self._question(asked, (await self._study(study)).resource, grounds))
        except DicomwardError:
            return False
        return verdict.allow and not any(obligation.type in ("mask", "hide") for obligation in verdict.obligations)

    async def _ask(self, asked: DicomRequest, policy_input: JsonObject) -> Verdict:
        try:
            verdict = await self._rooms.engine.decide(policy_input)
        except DicomwardError as error:
            return Verdict.denied(Reason(error.code))
        reason = self._rooms.fulfilment.unmet(asked, verdict.obligations) if verdict.allow else None
        return verdict if reason is None else verdict.against(reason)

    def _described(
        self, header: PartHeader, target: ResourceContext | None, conflicts: tuple[str, ...]
    ) -> ResourceContext:
        """A part as its header says it is, and as what it goes to is besides."""
        institutions, departments = (target.institutions, target.departments) if target else ((), ())
        return ResourceContext(
            known=True,
            as_of=self._rooms.clock(),
            patient_id=header.patient_id,
            accession_number=header.accession_number,
            modalities=(header.modality,),
            institutions=tuple(sorted({header.institution, *institutions})),
            departments=tuple(sorted({header.department, *departments})),
            study_date=header.study_date,
            conflicts=conflicts,
        )

    def _question(self, asked: DicomRequest, resource: ResourceContext, grounds: Grounds) -> JsonObject:
        if grounds.posture is None:
            raise PostureUnavailableError("a store was allowed without posture")
        return self._rooms.policy_input(
            decision=grounds.decision,
            now=self._rooms.clock(),
            principal=grounds.principal,
            posture=grounds.posture,
            request=asked,
            resource=resource,
            network=grounds.arrival.peer.address,
        )


def _wider(target: ResourceContext, header: PartHeader) -> bool:
    """Whether the study belongs to more than the part says of itself."""
    return not (set(target.institutions) <= {header.institution} and set(target.departments) <= {header.department})


def _reason(verdict: Verdict) -> Reason:
    """One of several: a mismatch is told where nothing else was against the part."""
    others = [reason for reason in verdict.reasons if reason != Reason.STUDY_MISMATCH]
    return Reason(others[0]) if others else Reason.STUDY_MISMATCH
