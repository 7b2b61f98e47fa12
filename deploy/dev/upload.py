"""Fills an archive over plain DICOMweb, so that ``--archive URL`` may name any."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

import requests

from deploy.dev.dataset import DevStudy, catalogue, render
from deploy.dev.layout import StackError

BATCH: Final = 20
BOUNDARY: Final = "dicomward-dev-stack"
WORKERS: Final = 4


def fill(
    url: str,
    auth: tuple[str, str] | None,
    *,
    large: bool,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Store what is missing of the dev studies. Returns how many instances were sent.

    :param url: base of DICOMweb
    :param progress: told how many instances of how many have been sent
    :raises StackError: the archive refused, or has other instances under these identifiers
    """
    with requests.Session() as session:
        session.auth = auth
        missing = [study for study in catalogue(large=large) if _held(session, url, study) < study.count]
        total, done = sum(study.count for study in missing), 0
        batches = (batch for study in missing for batch in _batches(render(study)))
        with ThreadPoolExecutor(WORKERS) as pool:
            while window := [pool.submit(_store, session, url, batch) for batch in islice(batches, WORKERS)]:
                for sent in window:
                    done += sent.result()
                    progress(done, total)
    return done


def _held(session: requests.Session, url: str, study: DevStudy) -> int:
    answer = session.get(
        f"{url}/studies/{study.uid}/instances", headers={"Accept": "application/dicom+json"}, timeout=60
    )
    if answer.status_code in (204, 404):
        return 0
    if answer.status_code != 200:
        raise StackError(f"The archive at {url} answered a search with {answer.status_code}.")
    return len(answer.json())


def _batches(files: Iterable[bytes]) -> Iterator[list[bytes]]:
    source = iter(files)
    while batch := list(islice(source, BATCH)):
        yield batch


def _store(session: requests.Session, url: str, files: list[bytes]) -> int:
    body = io.BytesIO()
    for file in files:
        body.write(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        body.write(file)
        body.write(b"\r\n")
    body.write(f"--{BOUNDARY}--\r\n".encode())
    answer = session.post(
        f"{url}/studies",
        data=body.getvalue(),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
            "Accept": "application/dicom+json",
        },
        timeout=300,
    )
    stored = answer.json().get("00081199", {}).get("Value", []) if answer.status_code == 200 else []
    if len(stored) != len(files):
        raise StackError(
            f"The archive at {url} took {len(stored)} of {len(files)} dev instances ({answer.status_code})."
        )
    return len(files)
