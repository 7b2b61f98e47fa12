"""Bodies pass through: however large, the proxy does not grow with them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pydicom
import pytest
import requests
from pydicom.data import get_testdata_file

from deploy.dev.dataset import LARGE, NORTH, study, uid_for
from deploy.dev.layout import Ports
from deploy.dev.stack import DevStack
from tests.journey.conftest import FULL
from tests.laws import check_laws
from tests.stack import GENEROUS
from tests.workers import proxy_pid

GROWTH_BYTES = 32 * 2**20
STORED_PARTS = 20
HUGE_PARTS = 16 if FULL else 4
HUGE_SIDES = (8192, 16384) if FULL else (4096, 8192)
HUGE_BYTES = HUGE_SIDES[0] * HUGE_SIDES[1] * 2
"""Of the pixels of one part: 256 MiB in the long form, 4 GiB in all; 64 MiB in the short one."""
BLOCK = os.urandom(2**20)
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
STORE_TYPE = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture
def large(tmp_path: Path) -> Iterator[DevStack]:
    overrides = {"limits": dict(GENEROUS)}
    with DevStack(tmp_path / "stack", ports=Ports.free(), large_study=True, overrides=overrides) as running:
        yield running
        check_laws(running)


def test_memory_is_flat_through_large_retrieves_and_stores(large: DevStack) -> None:
    process = psutil.Process(proxy_pid(large))
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
            headers={"Content-Type": STORE_TYPE},
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


# -------------------------------------------------------------------------------------- parts of one study


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[DevStack]:
    free = shutil.disk_usage(tmp_path).free
    needed = 2 * HUGE_PARTS * HUGE_BYTES
    assert free > needed, f"this needs {needed / 2**30:.0f} GiB of disk, and {free / 2**30:.0f} are free"
    try:
        with DevStack(tmp_path / "stack", ports=Ports.free(), overrides={"limits": dict(GENEROUS)}) as running:
            yield running
            check_laws(running)
    finally:
        shutil.rmtree(tmp_path / "stack" / "orthanc", ignore_errors=True)


def test_memory_is_flat_through_a_huge_study_each_way(roomy: DevStack) -> None:
    process = psutil.Process(proxy_pid(roomy))
    uid = uid_for("huge study")
    with requests.Session() as client:
        client.cert, client.verify, client.trust_env = roomy.client("radiologist"), roomy.ca, False
        for _ in range(3):
            client.get(f"{roomy.url}/dicom-web/studies?limit=1", timeout=30)
        sent: list[str] = []
        with _flat(process, "store"):
            answer = client.post(
                f"{roomy.url}/dicom-web/studies/{uid}",
                data=_huge_body(sent),
                headers={"Content-Type": STORE_TYPE},
                timeout=900,
            )
            assert answer.status_code == 200, answer.text[:500]
        assert len(answer.json()["00081199"]["Value"]) == HUGE_PARTS
        with (
            _flat(process, "retrieve"),
            client.get(
                f"{roomy.url}/dicom-web/studies/{uid}", headers={"Accept": AS_STORED}, stream=True, timeout=900
            ) as got,
        ):
            assert got.status_code == 200
            boundary = got.headers["Content-Type"].rpartition("boundary=")[2].strip('"').encode()
            received = list(_digests(got.iter_content(2**20), boundary))
    assert sorted(received) == sorted(sent)
    assert len(received) == HUGE_PARTS


@contextmanager
def _flat(process: psutil.Process, what: str) -> Iterator[None]:
    """The process does not grow, not even for a moment."""
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    print(f"{what}: grew by {(peak - before) / 2**20:.1f} MiB")
    assert peak - before < GROWTH_BYTES, what


def _huge_body(digests: list[str]) -> Iterator[bytes]:
    """A store of 4 GiB in 16 images, made as it is sent. Notes the digest of each."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.InstitutionName = NORTH
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid_for("huge study"), uid_for("huge series")
    dataset.Rows, dataset.Columns = HUGE_SIDES
    for tag in [element.tag for element in dataset if element.tag >= 0x7FE00010]:
        del dataset[tag]
    for number in range(HUGE_PARTS):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid_for(f"huge {number}")
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        pixels = b"\xe0\x7f\x10\x00OW\x00\x00" + HUGE_BYTES.to_bytes(4, "little")
        head = file.getvalue() + pixels
        digest = hashlib.sha256(head)
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + head
        for _ in range(HUGE_BYTES // len(BLOCK)):
            digest.update(BLOCK)
            yield BLOCK
        digests.append(digest.hexdigest())
        yield b"\r\n"
    yield b"--b--\r\n"


def _digests(chunks: Iterator[bytes], boundary: bytes) -> Iterator[str]:
    """Of each part of a multipart answer, none of which is ever whole in memory."""
    mark = b"\r\n--" + boundary
    held, digest = b"\r\n", None
    for chunk in chunks:
        held += chunk
        while (stop := held.find(mark)) >= 0:
            if digest is not None:
                digest.update(held[:stop])
                yield digest.hexdigest()
            digest, held = None, held[stop + len(mark) :]
            while len(held) < 2:
                held += next(chunks)
            if held.startswith(b"--"):
                return
            while b"\r\n\r\n" not in held:
                held += next(chunks)
            held, digest = held.partition(b"\r\n\r\n")[2], hashlib.sha256()
        if digest is not None and len(held) > len(mark):
            digest.update(held[: -len(mark)])
            held = held[-len(mark) :]
    raise AssertionError("no end of the parts")
