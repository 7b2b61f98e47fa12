"""In what a part that is to be stored contradicts the study and the series that it goes to. Pure.

A contradiction is told by the keyword of its attribute (PS3.6). Values are compared as text after padding: what is
absent is the empty text, and a study whose series disagree on a value agrees with no part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from proxy.model import InstanceUid, PartHeader, ResourceContext, SeriesContext, SeriesUid, StudyContext, StudyUid

NEVER_TOLERATED: Final = frozenset({"PatientID", "SOPInstanceUID", "StudyInstanceUID"})
"""A study of two patients, a series in two studies, and an instance in two series are no choice of a site's: archives
that look an instance up by its UID then find neither.
"""

Values = dict[str, object]
Place = tuple[StudyUid, SeriesUid]


@dataclass(slots=True)
class Earlier:
    """What the accepted parts of one store said of studies and series."""

    studies: dict[StudyUid, PartHeader] = field(default_factory=dict)
    series: dict[SeriesUid, PartHeader] = field(default_factory=dict)
    instances: dict[InstanceUid, Place] = field(default_factory=dict)

    def add(self, header: PartHeader) -> None:
        """The first part of a study, and of a series, says what later ones are held to."""
        self.instances.setdefault(header.instance, (header.study, header.series))
        self.studies.setdefault(header.study, header)
        self.series.setdefault(header.series, header)

    def conflicts(
        self, header: PartHeader, target: StudyContext, elsewhere: bool, twice: bool = False
    ) -> tuple[str, ...]:
        """Keywords, sorted. What the archive has counts; what it has not is as earlier parts said.

        :param target: the study that the part names
        :param elsewhere: the archive has the part's series in another study
        :param twice: the archive has the part's instance in another series
        """
        found: set[str] = set()
        study = self.studies.get(header.study)
        if target.resource.known:
            found |= _differing(_said_of_study(header), _known_of_study(target.resource))
        elif study is not None:
            found |= _differing(_said_of_study(header), _said_of_study(study))
        known, series = target.series.get(header.series), self.series.get(header.series)
        if known is not None:
            found |= _differing(_said_of_series(header), _known_of_series(known))
        elif series is not None:
            found |= _differing(_said_of_series(header), _said_of_series(series))
        if target.contradictory or elsewhere or (series is not None and series.study != header.study):
            found.add("StudyInstanceUID")
        place = (header.study, header.series)
        if twice or self.instances.get(header.instance, place) != place:
            found.add("SOPInstanceUID")
        return tuple(sorted(found))


def _said_of_study(header: PartHeader) -> Values:
    return {
        "PatientID": header.patient_id,
        "AccessionNumber": header.accession_number,
        "StudyDate": header.study_date,
    }


def _known_of_study(resource: ResourceContext) -> Values:
    return {
        "PatientID": resource.patient_id,
        "AccessionNumber": resource.accession_number,
        "StudyDate": resource.study_date,
    }


def _said_of_series(header: PartHeader) -> Values:
    return {
        "Modality": (header.modality,),
        "InstitutionName": (header.institution,),
        "InstitutionalDepartmentName": (header.department,),
    }


def _known_of_series(series: SeriesContext) -> Values:
    return {
        "Modality": series.resource.modalities,
        "InstitutionName": series.resource.institutions,
        "InstitutionalDepartmentName": series.resource.departments,
    }


def _differing(said: Values, known: Values) -> set[str]:
    return {keyword for keyword, value in said.items() if value != known[keyword]}
