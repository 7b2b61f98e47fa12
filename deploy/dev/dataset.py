"""What the dev archive holds: DICOM files that ``pydicom`` ships, regrouped into the studies of two hospitals.

Every identifier is derived from the names in ``PLAN``, so tests know them without asking the archive. Of each file only
who, where, when and the identifiers are rewritten; pixels and transfer syntax stay as they are. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian

NORTH: Final = "North Hospital"
SOUTH: Final = "South Clinic"
CT_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
LARGE_SLICES: Final = 200
LARGE_SIDE: Final = 512
FIRST_DAY: Final = date(2024, 1, 8)

_FILES: Final = Path(pydicom.__file__).parent / "data" / "test_files"
_DIR: Final = "dicomdirtests"

Plan = tuple[str, str, tuple[tuple[str, str, tuple[str, ...]], ...]]
"""Study, patient, and its series: modality, institution, files (a name that ends in ``/`` means all in that folder)."""

PLAN: Final[tuple[Plan, ...]] = (
    ("ct-small", "NH-1001", (("CT", NORTH, ("CT_small.dcm",)),)),
    ("ct-head", "NH-1001", (("CT", NORTH, (f"{_DIR}/98892001/CT2N/",)), ("CT", NORTH, (f"{_DIR}/98892001/CT5N/",)))),
    (
        "cr-thorax",
        "NH-1002",
        tuple(("CR", NORTH, (f"{_DIR}/77654033/CR{number}/",)) for number in (1, 2, 3)),
    ),
    ("us-colour", "NH-1003", (("US", NORTH, ("examples_rgb_color.dcm",)),)),
    ("us-loop", "NH-1003", (("US", NORTH, ("examples_ybr_color.dcm",)),)),
    ("dose", "NH-1004", (("RTDOSE", NORTH, ("rtdose.dcm", "rtdose_rle.dcm")),)),
    ("ecg", "NH-1005", (("ECG", NORTH, ("waveform_ecg.dcm",)),)),
    ("liver-segmentation", "NH-1006", (("SEG", NORTH, ("liver_1frame.dcm",)),)),
    (
        "captures",
        "NH-1006",
        (("OT", NORTH, ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm", "SC_rgb_small_odd.dcm", "image_dfl.dcm")),),
    ),
    (
        "mr-syntaxes",
        "SC-2001",
        (
            (
                "MR",
                SOUTH,
                (
                    "MR_small.dcm",
                    "MR_small_implicit.dcm",
                    "MR_small_RLE.dcm",
                    "MR_small_jp2klossless.dcm",
                    "MR_small_jpeg_ls_lossless.dcm",
                ),
            ),
        ),
    ),
    ("ct-chest", "SC-2001", (("CT", SOUTH, (f"{_DIR}/77654033/CT2/",)),)),
    (
        "mr-brain",
        "SC-2002",
        tuple(("MR", SOUTH, (f"{_DIR}/98892003/{name}/",)) for name in ("MR1", "MR2", "MR700")),
    ),
    ("us-palette", "SC-2003", (("US", SOUTH, ("examples_palette.dcm",)),)),
    ("mr-overlay", "SC-2003", (("MR", SOUTH, ("examples_overlay.dcm",)),)),
    ("plan", "SC-2004", (("RTPLAN", SOUTH, ("rtplan.dcm",)),)),
    ("report", "SC-2005", (("SR", SOUTH, ("reportsi.dcm", "test-SR.dcm")),)),
    ("nuclear", "SC-2006", (("NM", SOUTH, ("JPGExtended.dcm", "JPEG2000.dcm")),)),
    ("ct-no-pixels", "SC-2007", (("CT", SOUTH, (f"{_DIR}/TINY_ALPHA/PT000000/ST000000/SE000000/",)),)),
    ("shared-care", "NH-1007", (("CT", NORTH, ("CT_small.dcm",)), ("MR", SOUTH, ("MR_small.dcm",)))),
)
LARGE: Final = "ct-large"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevInstance:
    uid: str
    source: Path | None
    """``None``: generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevSeries:
    uid: str
    modality: str
    institution: str
    instances: tuple[DevInstance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevStudy:
    name: str
    uid: str
    patient_id: str
    patient_name: str
    accession_number: str
    date: str
    series: tuple[DevSeries, ...]

    @property
    def institutions(self) -> tuple[str, ...]:
        return tuple(sorted({series.institution for series in self.series}))

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(sorted({series.modality for series in self.series}))

    @property
    def count(self) -> int:
        return sum(len(series.instances) for series in self.series)


def uid_for(*names: str) -> str:
    """A UID of the UUID root (PS3.5 B.2), the same for the same names."""
    return f"2.25.{int.from_bytes(hashlib.sha256('/'.join(names).encode()).digest()[:16], 'big')}"


def catalogue(*, large: bool = True) -> tuple[DevStudy, ...]:
    """Every study of the dev archive; the 100 MB one last, if ``large``."""
    studies = [_study(number, *plan) for number, plan in enumerate(PLAN)]
    if large:
        studies.append(_study(len(PLAN), LARGE, "NH-1008", (("CT", NORTH, ("",) * LARGE_SLICES),)))
    return tuple(studies)


def study(name: str) -> DevStudy:
    """The study called ``name`` in ``PLAN``, or ``LARGE``."""
    return next(entry for entry in catalogue() if entry.name == name)


def _study(number: int, name: str, patient: str, series: tuple[tuple[str, str, tuple[str, ...]], ...]) -> DevStudy:
    return DevStudy(
        name=name,
        uid=uid_for(name),
        patient_id=patient,
        patient_name=f"{'Winter' if patient.startswith('NH') else 'Sommer'}^{patient}",
        accession_number=f"A{number + 1:04d}",
        date=f"{FIRST_DAY + timedelta(days=11 * number):%Y%m%d}",
        series=tuple(
            DevSeries(
                uid=uid_for(name, str(place)),
                modality=modality,
                institution=institution,
                instances=tuple(
                    DevInstance(uid=uid_for(name, str(place), str(index)), source=source)
                    for index, source in enumerate(_sources(files))
                ),
            )
            for place, (modality, institution, files) in enumerate(series)
        ),
    )


def _sources(files: tuple[str, ...]) -> Iterator[Path | None]:
    for name in files:
        if name.endswith("/"):
            yield from sorted(path for path in (_FILES / name).iterdir() if path.is_file())
        else:
            yield _FILES / name if name else None


def render(entry: DevStudy) -> Iterator[bytes]:
    """The DICOM files (PS3.10) of a study, one after another, the same bytes each time."""
    for place, series in enumerate(entry.series):
        for index, instance in enumerate(series.instances):
            dataset = _large_slice(index) if instance.source is None else _read(instance.source)
            yield _stamp(dataset, entry, series, instance, place, index)


def _read(source: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the files are bent on purpose
        return pydicom.dcmread(source)


def _stamp(
    dataset: pydicom.Dataset, entry: DevStudy, series: DevSeries, instance: DevInstance, place: int, index: int
) -> bytes:
    values: dict[str, Any] = {
        "StudyInstanceUID": entry.uid,
        "SeriesInstanceUID": series.uid,
        "SOPInstanceUID": instance.uid,
        "PatientID": entry.patient_id,
        "PatientName": entry.patient_name,
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "AccessionNumber": entry.accession_number,
        "StudyID": entry.accession_number,
        "StudyDate": entry.date,
        "StudyTime": "080000",
        "StudyDescription": f"Dev study {entry.name}",
        "Modality": series.modality,
        "SeriesNumber": place + 1,
        "InstanceNumber": index + 1,
        "InstitutionName": series.institution,
    }
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance.uid)
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _large_slice(index: int) -> pydicom.Dataset:
    """One slice of noise: nothing on the way can gain by compressing it."""
    import numpy  # the stack has it, readers of the catalogue need not

    pixels = numpy.random.default_rng(index).integers(0, 4096, (LARGE_SIDE, LARGE_SIDE), dtype=numpy.uint16)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(CT_STORAGE)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values: dict[str, Any] = {
        "SOPClassUID": CT_STORAGE,
        "Rows": LARGE_SIDE,
        "Columns": LARGE_SIDE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "SliceThickness": 1,
        "ImagePositionPatient": [0, 0, index],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.7],
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
