from __future__ import annotations

import io
import re

import pydicom
import pytest

from deploy.dev import dataset

UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")


def small() -> tuple[dataset.DevStudy, ...]:
    return dataset.catalogue(large=False)


def test_there_are_studies_enough_of_several_modalities_and_two_institutions() -> None:
    assert len(small()) >= 12
    assert len({modality for study in small() for modality in study.modalities}) >= 5
    assert {name for study in small() for name in study.institutions} == {dataset.NORTH, dataset.SOUTH}


def test_one_study_has_series_of_both_institutions() -> None:
    mixed = [study.name for study in small() if len(study.institutions) > 1]
    assert mixed == ["shared-care"]
    assert dataset.study("shared-care").institutions == (dataset.NORTH, dataset.SOUTH)


def test_identifiers_are_uids_of_their_own() -> None:
    uids = [
        uid
        for study in dataset.catalogue()
        for uid in (
            study.uid,
            *(series.uid for series in study.series),
            *(instance.uid for series in study.series for instance in series.instances),
        )
    ]
    assert len(set(uids)) == len(uids)
    assert all(UID.fullmatch(uid) and len(uid) <= 64 for uid in uids)


@pytest.mark.parametrize("study", small(), ids=lambda study: str(study.name))
def test_files_say_what_the_catalogue_says(study: dataset.DevStudy) -> None:
    expected = [(series, instance) for series in study.series for instance in series.instances]
    files = list(dataset.render(study))
    assert len(files) == len(expected) == study.count
    for (series, instance), file in zip(expected, files, strict=True):
        got = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)
        assert (got.StudyInstanceUID, got.SeriesInstanceUID, got.SOPInstanceUID) == (
            study.uid,
            series.uid,
            instance.uid,
        )
        assert got.file_meta.MediaStorageSOPInstanceUID == instance.uid
        assert (got.InstitutionName, got.Modality) == (series.institution, series.modality)
        assert (got.PatientID, str(got.PatientName)) == (study.patient_id, study.patient_name)
        assert (got.AccessionNumber, got.StudyDate) == (study.accession_number, study.date)


def test_rendering_is_deterministic() -> None:
    study = dataset.study("captures")
    assert list(dataset.render(study)) == list(dataset.render(study))


def test_large_study_is_about_100_megabytes_of_ct() -> None:
    study = dataset.study(dataset.LARGE)
    first = next(dataset.render(study))
    got = pydicom.dcmread(io.BytesIO(first))
    assert 100e6 < study.count * len(first) < 110e6
    assert (got.Modality, got.pixel_array.shape) == ("CT", (dataset.LARGE_SIDE, dataset.LARGE_SIDE))
