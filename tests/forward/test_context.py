from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proxy.errors import ArchiveError, ArchiveTimeoutError
from proxy.forward import ContextCache
from proxy.model import InstanceUid, SeriesUid, StudyUid
from tests.forward.archive import (
    RETRIEVE,
    SEARCH,
    Answer,
    Conversation,
    SimulatedArchive,
    answering,
    row,
    series_rows,
    stalling,
)

JSON = "application/dicom+json"
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


TWO = series_rows(row("1.2.3.4", "CT", "South"), row("1.2.3.5", "MR", "North"))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def series(study: str, modality: str) -> dict[str, object]:
    return row(f"{study}.{modality}", modality, t0020000D=study)


def asked_for(conversation: Conversation) -> list[str]:
    """UIDs of the studies in a question."""
    path, _, query = conversation.target.partition("?")
    if "0020000D=" not in query:
        return [path.split("/")[-2]]
    return query.removeprefix("0020000D=").partition("&")[0].split(",")


def listing(*rows: dict[str, object]) -> Answer:
    """An archive that has these series and answers what it is asked."""

    async def answer(conversation: Conversation) -> None:
        wanted = asked_for(conversation)
        body = series_rows(*(each for each in rows if each["0020000D"] in wanted))
        await conversation.answer(200, (("Content-Type", JSON),), body)

    return answer


def slowly(answer: Answer) -> Answer:
    async def late(conversation: Conversation) -> None:
        await asyncio.sleep(0.05)
        await answer(conversation)

    return late


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
    assert target.endswith("&limit=2000")


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


async def test_list_of_series_that_cannot_be_trusted_is_an_error(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = answering(200, JSON, series_rows(row("1.2.3.4"), row("1.2.3.5", t0020000D="9.9.9")))
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
    monkeypatch.setattr("proxy.forward.series_search.LARGEST_BYTES", 100)
    with pytest.raises(ArchiveError):
        await make().context(RETRIEVE, START)


# ------------------------------------------------------------------------------------- many at once


def uids(*numbers: int) -> list[StudyUid]:
    return [StudyUid(f"1.{number}") for number in numbers]


async def test_studies_are_asked_for_together_and_kept(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = listing(series("1.1", "CT"), series("1.1", "MR"), series("1.2", "US"))
    cache = make()
    found = await cache.studies(uids(1, 2, 3), START)
    assert [found[uid].resource.modalities for uid in uids(1, 2, 3)] == [("CT", "MR"), ("US",), ()]
    assert [found[uid].resource.known for uid in uids(1, 2, 3)] == [True, True, False]
    assert set(found[uids(1)[0]].series) == {"1.1.CT", "1.1.MR"}
    (conversation,) = archive.conversations
    assert conversation.target == (
        "/base/dicom-web/series?0020000D=1.1,1.2,1.3"
        "&includefield=00080020,00080050,00080060,00080080,00081040,00100020,00201209,00403001&limit=2000"
    )
    again = await cache.studies(uids(3, 1), START)
    assert (await cache.context(replace(RETRIEVE, study=StudyUid("1.2")), START)).modalities == ("US",)
    assert (list(again), cache.lookups) == (uids(3, 1), 1)


async def test_only_what_is_not_known_is_asked_for(make: Make, archive: SimulatedArchive, clock: Clock) -> None:
    archive.answer = listing(*(series(f"1.{number}", "CT") for number in range(9)))
    cache = make()
    await cache.studies(uids(1, 2), START)
    clock.now += timedelta(seconds=20)
    await cache.studies(uids(1, 2, 3), clock.now)
    clock.now += timedelta(seconds=15)
    await cache.studies(uids(1, 2, 3, 4), clock.now)
    assert [asked_for(each) for each in archive.conversations] == [["1.1", "1.2"], ["1.3"], ["1.1", "1.2", "1.4"]]


async def test_no_study_is_no_question(make: Make) -> None:
    cache = make()
    assert (await cache.studies([], START), cache.lookups) == ({}, 0)


async def test_study_named_twice_is_asked_for_once(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = listing(series("1.1", "CT"), series("1.2", "CT"))
    assert list(await make().studies(uids(1, 2, 1), START)) == uids(1, 2)
    assert asked_for(archive.conversations[0]) == ["1.1", "1.2"]


async def test_burst_over_overlapping_studies_asks_for_each_once(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = slowly(listing(*(series(f"1.{number}", "CT") for number in range(9))))
    cache = make()
    one = replace(RETRIEVE, study=StudyUid("1.2"))
    asking = [
        asyncio.ensure_future(each)
        for each in (
            cache.studies(uids(1, 2, 3), START),
            cache.context(one, START),
            cache.studies(uids(3, 4), START),
            cache.context(replace(RETRIEVE, study=StudyUid("1.5")), START),
            cache.studies(uids(5, 1), START),
            *(cache.studies(uids(1, 2, 3, 4, 5), START) for _ in range(50)),
        )
    ]
    await asyncio.gather(*asking)
    assert sorted(asked_for(each) for each in archive.conversations) == [["1.1", "1.2", "1.3"], ["1.4"], ["1.5"]]


async def test_caller_that_leaves_takes_no_lookup_with_it(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = slowly(listing(series("1.1", "CT"), series("1.2", "CT")))
    cache = make()
    first = asyncio.ensure_future(cache.studies(uids(1, 2), START))
    second = asyncio.ensure_future(cache.studies(uids(2), START))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second)[StudyUid("1.2")].resource.known
    assert (await cache.studies(uids(1), START))[StudyUid("1.1")].resource.known
    assert cache.lookups == 1


async def test_lookup_that_fails_fails_for_all_who_wait_and_is_not_kept(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = slowly(answering(500, JSON, b"{}"))
    cache = make()
    results = await asyncio.gather(
        cache.studies(uids(1, 2), START),
        cache.studies(uids(2, 3), START),
        cache.context(replace(RETRIEVE, study=StudyUid("1.1")), START),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [ArchiveError] * 3
    archive.answer = listing(series("1.1", "CT"), series("1.2", "CT"), series("1.3", "CT"))
    assert all(each.resource.known for each in (await cache.studies(uids(1, 2, 3), START)).values())


async def test_lookup_under_way_when_its_study_is_forgotten_is_not_used_again(
    make: Make, archive: SimulatedArchive
) -> None:
    """It may have seen the study before the store."""
    archive.answer = slowly(listing(series("1.1", "CT"), series("1.2", "CT")))
    cache = make()
    before = asyncio.ensure_future(cache.studies(uids(1, 2), START))
    await asyncio.sleep(0.01)
    cache.forget(StudyUid("1.1"))
    archive.answer = listing(series("1.1", "CT"), series("1.1", "MR"))
    after = await cache.studies(uids(1), START)
    assert after[StudyUid("1.1")].resource.modalities == ("CT", "MR")
    assert (await before)[StudyUid("1.1")].resource.modalities == ("CT",)
    assert (await cache.studies(uids(1, 2), START))[StudyUid("1.1")].resource.modalities == ("CT", "MR")
    assert [asked_for(each) for each in archive.conversations] == [["1.1", "1.2"], ["1.1"]]


async def test_number_kept_is_bounded_however_many_are_asked_for(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = listing(*(series(f"1.{number}", "CT") for number in range(200)))
    cache = make(entries=10)
    found = await cache.studies(uids(*range(200)), START)
    assert len(found) == 200
    assert len(cache._studies) == 10


async def test_questions_are_kept_shorter_than_servers_take(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = listing()
    long = [StudyUid(f"1.{number:062}".replace(".0", ".9")) for number in range(200)]
    short = uids(*range(200))
    await make().studies(long, START)
    await make().studies(short, START)
    assert max(len(each.target) for each in archive.conversations) < 6000
    assert [len(asked_for(each)) for each in archive.conversations] == [89, 89, 22, 90, 90, 20]


# -------------------------------------------------------------------------------------------- pages


def paged(pages: list[tuple[bytes, bool]]) -> Answer:
    """Page after page; the flag is ``Warning: 299``. Then nothing."""

    async def answer(conversation: Conversation) -> None:
        body, more = pages.pop(0) if pages else (b"[]", False)
        warning = (("Warning", '299 archive "there are more"'),) if more else ()
        await conversation.answer(200, (("Content-Type", JSON), *warning), body)

    return answer


@pytest.fixture
def two_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.forward.series_search.PAGE_ROWS", 2)


@pytest.mark.parametrize(
    ("pages", "offsets"),
    [
        ([(["CT"], False)], [0]),
        ([(["CT", "MR"], False), ([], False)], [0, 2]),
        ([(["CT", "MR"], False), (["US"], False)], [0, 2]),
        ([(["CT"], True), (["MR", "US"], True), (["XA"], False)], [0, 1, 3]),
    ],
    ids=["short", "full", "two", "held-back"],
)
@pytest.mark.usefixtures("two_a_page")
async def test_pages_are_followed_until_one_is_short_and_says_nothing_of_more(
    make: Make, archive: SimulatedArchive, pages: list[tuple[list[str], bool]], offsets: list[int]
) -> None:
    archive.answer = paged(
        [(series_rows(*(series("1.1", modality) for modality in page)), more) for page, more in pages]
    )
    found = await make().studies(uids(1, 2), START)
    assert found[StudyUid("1.1")].resource.modalities == tuple(sorted(each for page, _ in pages for each in page))
    targets = [each.target for each in archive.conversations]
    assert [int(target.partition("&offset=")[2] or 0) for target in targets] == offsets
    assert all("&limit=2" in target for target in targets)


@pytest.mark.usefixtures("two_a_page")
async def test_row_that_moves_between_pages_is_one_series(make: Make, archive: SimulatedArchive) -> None:
    first, again = series("1.1", "CT"), series("1.1", "CT") | {"00201209": 9}
    archive.answer = paged([(series_rows(first, series("1.1", "MR")), False), (series_rows(again), False)])
    assert len((await make().studies(uids(1), START))[StudyUid("1.1")].series) == 2


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.usefixtures("two_a_page")
async def test_archive_that_never_ends_is_an_error(make: Make, archive: SimulatedArchive, more: bool) -> None:
    page = series_rows(series("1.1", "CT"), *(() if more else (series("1.1", "MR"),)))
    archive.answer = paged([(page, more)] * 1000)
    with pytest.raises(ArchiveError):
        await make().studies(uids(1), START)
    assert len(archive.conversations) == 25


async def test_archive_that_holds_back_rows_it_never_gives_is_an_error(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = paged([(b"[]", True)] * 1000)
    with pytest.raises(ArchiveError):
        await make().studies(uids(1), START)
    assert len(archive.conversations) == 1


# ------------------------------------------------------------------------------------------ holders


async def test_holders_are_asked_each_time(make: Make, archive: SimulatedArchive) -> None:
    shared = {"0020000E": "9.9"}
    archive.answer = answering(200, JSON, series_rows(series("1.1", "CT") | shared, series("1.2", "CT") | shared))
    cache = make()
    for _ in range(2):
        assert await cache.holders(SeriesUid("9.9")) == frozenset(uids(1, 2))
    assert {each.target for each in archive.conversations} == {"/base/dicom-web/series?0020000E=9.9&limit=2000"}
    assert len(archive.conversations) == 2


@pytest.mark.parametrize(("status", "body"), [(200, b"[]"), (204, b"")])
async def test_series_that_nobody_holds(make: Make, archive: SimulatedArchive, status: int, body: bytes) -> None:
    archive.answer = answering(status, JSON, body)
    assert await make().holders(SeriesUid("9.9")) == frozenset()


async def test_holders_of_another_series_are_an_error(make: Make, archive: SimulatedArchive) -> None:
    archive.answer = answering(200, JSON, series_rows(series("1.1", "CT")))
    with pytest.raises(ArchiveError):
        await make().holders(SeriesUid("9.9"))
