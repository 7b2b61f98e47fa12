from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proxy.errors import ArchiveError, ArchiveTimeoutError
from proxy.forward import ContextCache
from proxy.model import InstanceUid, SeriesUid, StudyUid
from tests.forward.archive import (
    RETRIEVE,
    SEARCH,
    Conversation,
    SimulatedArchive,
    answering,
    series_rows,
    stalling,
)

JSON = "application/dicom+json"
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def row(series: str, modality: str = "CT", institution: str | None = "North", **more: Any) -> dict[str, Any]:
    tags: dict[str, Any] = {
        "0020000D": "1.2.3",
        "0020000E": series,
        "00080060": modality,
        "00100020": "P1",
        "00080050": "A1",
        "00080020": "20200131",
    }
    if institution is not None:
        tags["00080080"] = institution
    return tags | {key.removeprefix("t"): value for key, value in more.items()}


TWO = series_rows(row("1.2.3.4", "CT", "South"), row("1.2.3.5", "MR", "North"))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


Make = Callable[..., ContextCache]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(archive: SimulatedArchive, clock: Clock) -> AsyncIterator[Make]:
    client = archive.client()
    archive.answer = answering(200, JSON, TWO)
    yield lambda **settings: ContextCache(client, **{"age_s": 30, "entries": 100, "clock": clock, **settings})
    await client.close()


async def test_study_is_the_set_of_what_its_series_are(make: Make, archive: SimulatedArchive) -> None:
    context = await make().context(RETRIEVE, START)
    assert context.known
    assert (context.patient_id, context.accession_number, context.study_date) == ("P1", "A1", "20200131")
    assert (context.modalities, context.institutions) == (("CT", "MR"), ("North", "South"))
    assert context.as_of == START
    target = archive.conversations[0].target
    assert target.startswith("/base/dicom-web/studies/1.2.3/series?includefield=")
    assert "limit" not in target


async def test_series_and_instances_are_read_from_the_same_lookup(make: Make) -> None:
    cache = make()
    series = replace(RETRIEVE, series=SeriesUid("1.2.3.5"))
    instance = replace(series, instance=InstanceUid("1.2.3.5.6"))
    await cache.context(RETRIEVE, START)
    for request in (series, instance):
        context = await cache.context(request, START)
        assert (context.modalities, context.institutions) == (("MR",), ("North",))
    assert cache.lookups == 1


async def test_series_that_the_study_lacks_is_not_known(make: Make) -> None:
    context = await make().context(replace(RETRIEVE, series=SeriesUid("9.9")), START)
    assert (context.known, context.institutions) == (False, ())


async def test_series_without_institution_adds_the_empty_one(make: Make, archive: SimulatedArchive) -> None:
    """Whoever is granted North must not see what belongs to nobody knows whom."""
    archive.answer = answering(200, JSON, series_rows(row("1.2.3.4"), row("1.2.3.5", institution=None)))
    assert (await make().context(RETRIEVE, START)).institutions == ("", "North")


@pytest.mark.parametrize(("status", "body"), [(200, b"[]"), (204, b"")])
async def test_study_that_the_archive_lacks_is_not_known(
    make: Make, archive: SimulatedArchive, status: int, body: bytes
) -> None:
    archive.answer = answering(status, JSON, body)
    assert (await make().context(RETRIEVE, START)).known is False


async def test_request_about_no_study_asks_nothing(make: Make) -> None:
    cache = make()
    assert (await cache.context(SEARCH, START)).known is False
    assert cache.lookups == 0


@pytest.mark.parametrize(
    "rows",
    [
        b"<html>",
        b"{}",
        b"[1]",
        series_rows(row("1.2.3.4"), row("1.2.3.5", t0020000D="9.9.9")),
        series_rows(row("1.2.3.4") | {"0020000D": []}),
        series_rows(row("1.2.3.4"), row("1.2.3.5", t00100020="P2")),
        series_rows(row("1.2.3.4", t00080080=["North", "South"])),
        series_rows(row("1.2.3.4", t00080060=[7])),
        b'[{"0020000D": "1.2.3"}]',
    ],
    ids=["html", "object", "no-rows", "other-study", "no-study", "two-patients", "two-values", "number", "no-element"],
)
async def test_list_of_series_that_cannot_be_trusted_is_an_error(
    make: Make, archive: SimulatedArchive, rows: bytes
) -> None:
    archive.answer = answering(200, JSON, rows)
    with pytest.raises(ArchiveError):
        await make().context(RETRIEVE, START)


# ------------------------------------------------------------------------------------------ the cache


async def test_burst_on_one_study_is_one_lookup(make: Make, archive: SimulatedArchive) -> None:
    cache = make()
    contexts = await asyncio.gather(*(cache.context(RETRIEVE, START) for _ in range(100)))
    assert len(set(contexts)) == 1
    assert (cache.lookups, len(archive.conversations)) == (1, 1)


async def test_burst_outlives_the_client_that_came_first(make: Make, archive: SimulatedArchive) -> None:
    async def slow(conversation: Conversation) -> None:
        await asyncio.sleep(0.05)
        await conversation.answer(200, (("Content-Type", JSON),), TWO)

    archive.answer = slow
    cache = make()
    first = asyncio.ensure_future(cache.context(RETRIEVE, START))
    second = asyncio.ensure_future(cache.context(RETRIEVE, START))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).known
    assert cache.lookups == 1


@pytest.mark.parametrize(("seconds", "lookups"), [(0, 1), (29.9, 1), (30, 2), (3600, 2)])
async def test_attributes_are_not_kept_beyond_their_age(make: Make, clock: Clock, seconds: float, lookups: int) -> None:
    cache = make()
    await cache.context(RETRIEVE, START)
    clock.now += timedelta(seconds=seconds)
    context = await cache.context(RETRIEVE, clock.now)
    assert cache.lookups == lookups
    assert clock.now - context.as_of < timedelta(seconds=30)


async def test_number_of_studies_kept_is_bounded(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = answering(200, JSON, b"[]")
    cache = make(entries=10)
    for number in range(50):
        await cache.context(replace(RETRIEVE, study=StudyUid(f"1.{number}")), START)
    assert len(cache._studies) == 10
    await cache.context(replace(RETRIEVE, study=StudyUid("1.49")), START)
    assert cache.lookups == 50


async def test_failed_lookup_is_not_kept(make: Make, archive: SimulatedArchive) -> None:
    cache = make()
    archive.answer = answering(500, JSON, b"{}")
    with pytest.raises(ArchiveError):
        await cache.context(RETRIEVE, START)
    archive.answer = answering(200, JSON, TWO)
    assert (await cache.context(RETRIEVE, START)).known


async def test_late_lookup_is_late_for_all_who_wait(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = stalling
    cache = make()
    results = await asyncio.gather(*(cache.context(RETRIEVE, START) for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {ArchiveTimeoutError}
    assert cache.lookups == 1


async def test_forgotten_study_is_asked_about_again(make: Make) -> None:
    cache = make()
    await cache.context(RETRIEVE, START)
    cache.forget(StudyUid("1.2.3"))
    cache.forget(StudyUid("9.9"))
    await cache.context(RETRIEVE, START)
    assert cache.lookups == 2


async def test_list_of_series_larger_than_any_study_is_refused(
    make: Make, archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.forward.context.LARGEST_BYTES", 100)
    with pytest.raises(ArchiveError):
        await make().context(RETRIEVE, START)
