"""Bodies pass through: however large, the proxy does not grow with them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import psutil
import pydicom
import pytest
import requests
from pydicom.data import get_testdata_file

from deploy.dev.dataset import LARGE, NORTH, study, uid_for
from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from tests.laws import check_laws
from tests.stack import GENEROUS

GROWTH_BYTES = 32 * 2**20
STORED_PARTS = 20


@pytest.fixture
def large(tmp_path: Path) -> Iterator[DevStack]:
    overrides = {"limits": dict(GENEROUS)}
    with DevStack(tmp_path / "stack", ports=Ports.free(), large_study=True, overrides=overrides) as running:
        yield running
        check_laws(running)


def test_memory_is_flat_through_large_retrieves_and_stores(large: DevStack) -> None:
    process = psutil.Process(large.part("proxy").pid)
    with requests.Session() as client:
        client.cert, client.verify, client.trust_env = large.client("radiologist"), large.ca, False
        client.get(f"{large.url}/dicom-web/studies?limit=1", timeout=30)
        before = peak = process.memory_info().rss
        for _ in range(3):
            with client.get(f"{large.url}/dicom-web/studies/{study(LARGE).uid}", stream=True, timeout=60) as answer:
                received = 0
                for chunk in answer.iter_content(2**20):
                    received += len(chunk)
                    peak = max(peak, process.memory_info().rss)
            assert received > 100_000_000
        answer = client.post(
            f"{large.url}/dicom-web/studies",
            data=_body(),
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
            timeout=120,
        )
        assert answer.status_code == 200
        assert len(answer.json()["00081199"]["Value"]) == STORED_PARTS
        peak = max(peak, process.memory_info().rss)
    print(f"grew by {(peak - before) / 2**20:.1f} MiB")
    assert peak - before < GROWTH_BYTES


def _body() -> Iterator[bytes]:
    """A store of 20 images of 8 MiB, sent without a length."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.InstitutionName = NORTH
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid_for("memory study"), uid_for("memory series")
    dataset.Rows = dataset.Columns = 2048
    dataset.PixelData = bytes(2048 * 2048 * 2)
    for number in range(STORED_PARTS):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid_for(f"memory {number}")
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue() + b"\r\n"
    yield b"--b--\r\n"
