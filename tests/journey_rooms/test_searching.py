"""Searches: what may be seen is shown, counted and recorded, and nothing else is."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import ArchiveError, PolicyUnavailableError
from proxy.model import DicomRequest, JsonObject, Level, Query, Reason, Representation, SeriesUid, StudyUid
from tests.journey_rooms.simulators import NOW, SEARCH, Exchange, Found, World, rows_of, study_context

FILTER: JsonObject = {"type": "filter_rows"}


def search(**query: Any) -> DicomRequest:
    return replace(SEARCH, query=Query(**query))


def even(row: Any) -> bool:
    return int(row["study"].rpartition(".")[2]) % 2 == 0


def studies(*numbers: int) -> bytes:
    return rows_of(*(f"1.2.{number}" for number in numbers))


def shown(exchange: Exchange) -> list[int]:
    return [int(row["0020000D"]["Value"][0].rpartition(".")[2]) for row in json.loads(exchange.sent)]


def recorded(world: World) -> list[int]:
    return [int(uids[0].rpartition(".")[2]) for uids in world.decision["rows"]]


@pytest.fixture
def filtered(world: World) -> World:
    world.engine.demand(FILTER)
    world.engine.sees = even
    return world


# ----------------------------------------------------------------------------------------- unfiltered


async def test_search_that_has_more_rows_says_so(world: World) -> None:
    world.request, world.archive.found = search(limit=2), Found(parts=[studies(1, 2, 3)])
    exchange = await world.walk()
    assert shown(exchange) == recorded(world) == [1, 2]
    assert exchange.headers["Warning"].startswith("299 ")
    assert "X-Total-Count" not in exchange.headers
    assert world.engine.shown == [], "nobody need be asked about rows that are all visible"


async def test_search_that_was_complete_counts_its_rows(world: World) -> None:
    world.request, world.archive.found = search(limit=2, offset=5), Found(parts=[studies(6, 7)])
    exchange = await world.walk()
    assert exchange.headers["X-Total-Count"] == "7"
    assert "Warning" not in exchange.headers
    assert [(asked.query.limit, asked.query.offset) for asked in world.archive.asked] == [(3, 5)]


async def test_offset_behind_the_last_row_tells_no_count(world: World) -> None:
    world.request, world.archive.found = search(limit=2, offset=50), Found(parts=[b"[]"])
    exchange = await world.walk()
    assert shown(exchange) == []
    assert "X-Total-Count" not in exchange.headers


@pytest.mark.parametrize(("asked", "sent"), [(None, 1001), (10, 11), (5000, 1001)])
async def test_search_is_bounded_whatever_the_client_asks(world: World, asked: int | None, sent: int) -> None:
    world.request, world.archive.found = search(limit=asked), Found(parts=[b"[]"])
    await world.walk()
    assert world.archive.asked[0].query.limit == sent


async def test_archive_that_holds_rows_back_is_asked_again(world: World) -> None:
    world.request = search(limit=10)
    world.archive.pages = [Found(parts=[studies(1, 2)], more=True), Found(parts=[studies(3)])]
    exchange = await world.walk()
    assert shown(exchange) == [1, 2, 3]
    assert [asked.query.offset for asked in world.archive.asked] == [0, 2]


# ------------------------------------------------------------------------------------------- filtered


async def test_only_visible_rows_are_shown_and_recorded(filtered: World) -> None:
    filtered.request, filtered.archive.found = search(), Found(parts=[studies(*range(1, 8))])
    exchange = await filtered.walk()
    assert shown(exchange) == recorded(filtered) == [2, 4, 6]
    assert filtered.decision["scanned"] == 7
    assert exchange.headers["X-Total-Count"] == "3"
    assert len(filtered.engine.shown) == 1, "one question a page"


@pytest.mark.parametrize("offset", range(6))
@pytest.mark.parametrize("limit", range(1, 6))
async def test_limit_and_offset_count_visible_rows(filtered: World, limit: int, offset: int) -> None:
    filtered.request, filtered.archive.found = search(limit=limit, offset=offset), Found(parts=[studies(*range(10))])
    exchange = await filtered.walk()
    assert shown(exchange) == [0, 2, 4, 6, 8][offset : offset + limit]
    more = offset + limit < 5
    assert ("Warning" in exchange.headers) == more
    assert exchange.headers.get("X-Total-Count") == (None if more else "5")


async def test_pages_are_refilled_until_the_clients_is_full(filtered: World) -> None:
    filtered.request = search(limit=3)
    first, second, third = range(1, 401, 2), [*range(401, 599, 2), 600], range(602, 1000)
    filtered.archive.pages = [
        Found(parts=[studies(*first)], more=True),
        Found(parts=[studies(*second)], more=True),
        Found(parts=[studies(*third)]),
    ]
    exchange = await filtered.walk()
    assert shown(exchange) == [600, 602, 604]
    assert [asked.query.offset for asked in filtered.archive.asked] == [0, len(first), len(first) + len(second)]


async def test_row_that_moved_to_the_next_page_is_shown_once(filtered: World) -> None:
    filtered.request = search(limit=5)
    filtered.archive.pages = [Found(parts=[studies(2, 4)], more=True), Found(parts=[studies(4, 6)])]
    exchange = await filtered.walk()
    assert shown(exchange) == [2, 4, 6]
    assert exchange.headers["X-Total-Count"] == "3"


async def test_search_over_the_scan_budget_is_refused(filtered: World) -> None:
    filtered.request = search(limit=3)
    filtered.archive.pages = [
        Found(parts=[studies(*range(start, start + 400, 2))], more=True) for start in range(1, 20_000, 400)
    ]
    exchange = await filtered.walk()
    assert (exchange.status, exchange.reasons()) == (413, ["search-too-broad"])
    assert filtered.decision["verdict"]["reasons"] == ["search-too-broad"]
    assert (filtered.decision["rows"], filtered.decision["scanned"]) == ([], 5000)


async def test_row_of_a_study_that_is_not_known_is_hidden(filtered: World) -> None:
    gone = study_context(NOW)
    unknown = replace(gone, resource=replace(gone.resource, known=False))
    filtered.archive.known["1.2.4"] = unknown
    filtered.request, filtered.archive.found = search(), Found(parts=[studies(2, 4)])
    assert shown(await filtered.walk()) == [2]


@pytest.mark.parametrize("filtering", [True, False])
async def test_row_that_nobody_could_ask_for_is_not_shown_and_spoils_no_search(world: World, filtering: bool) -> None:
    if filtering:
        world.engine.demand(FILTER)
    world.request, world.archive.found = search(), Found(parts=[rows_of("1.2.3", "1.2.03", "x", "1.2.4")])
    assert shown(await world.walk()) == [3, 4]


async def test_engine_that_fails_over_rows_denies(filtered: World) -> None:
    filtered.request, filtered.archive.found = search(), Found(parts=[studies(2)])
    fails_late(filtered)
    exchange = await filtered.walk()
    assert (exchange.status, exchange.reasons()) == (503, ["policy-unavailable"])
    assert filtered.decision["verdict"]["allow"] is False
    assert b"1.2.2" not in exchange.sent


def fails_late(world: World) -> None:
    def sees(row: object) -> bool:
        raise PolicyUnavailableError("a row that the policy cannot judge")

    world.engine.sees = sees


async def test_archive_that_fails_on_the_second_page_shows_nothing_of_the_first(filtered: World) -> None:
    filtered.request = search()
    filtered.archive.pages = [
        Found(parts=[studies(2)], more=True),
        Found(parts=[ArchiveError("broke off")]),
    ]
    exchange = await filtered.walk()
    assert (exchange.status, exchange.reasons()) == (502, ["archive-unavailable"])
    assert filtered.decision["rows"] == []
    assert b"1.2.2" not in exchange.sent


async def test_studies_that_cannot_be_looked_up_show_nothing(filtered: World) -> None:
    filtered.request, filtered.archive.found = search(), Found(parts=[studies(2)])
    filtered.archive.context_error = ArchiveError("refused")
    exchange = await filtered.walk()
    assert exchange.status == 502
    assert filtered.decision["rows"] == []


async def test_search_that_took_long_is_judged_again_before_rows_leave(world: World) -> None:
    gate = asyncio.Event()
    world.request, world.archive.found = search(), Found(parts=[gate, studies(2)])
    walking = asyncio.create_task(world.walk())
    for _ in range(20):
        await asyncio.sleep(0)
    world.clock.advance(2)
    world.identifier.reasons = (Reason.CERTIFICATE_REVOKED,)
    gate.set()
    exchange = await walking
    assert (exchange.status, exchange.reasons()) == (403, ["certificate-revoked"])
    assert world.decision["verdict"]["reasons"] == ["certificate-revoked"]
    assert world.decision["rows"] == []


# -------------------------------------------------------------------------------------- match and counts


async def test_match_is_pushed_down_and_held_all_the_same(world: World) -> None:
    world.engine.demand({"type": "match", "attribute": "00100020", "values": ["P1", "P2"]})
    other = study_context(NOW)
    world.archive.known["1.2.9"] = replace(other, resource=replace(other.resource, patient_id="P9"))
    world.request, world.archive.found = search(), Found(parts=[studies(8, 9)])
    exchange = await world.walk()
    assert shown(exchange) == [8]
    assert dict(world.archive.asked[0].query.match) == {"00100020": "P1,P2"}


async def test_search_that_no_row_can_match_asks_nothing(world: World) -> None:
    world.engine.demand({"type": "match", "attribute": "0020000D", "values": ["1.2.3"]})
    world.request = search(match=(("0020000D", "1.2.4"),))
    exchange = await world.walk()
    assert shown(exchange) == []
    assert exchange.headers["X-Total-Count"] == "0"
    assert world.archive.asked == []


def series_row(series: str, **more: JsonObject) -> JsonObject:
    return {
        "0020000D": {"vr": "UI", "Value": ["1.2.2"]},
        "0020000E": {"vr": "UI", "Value": [series]},
        "00201206": {"vr": "IS", "Value": [3]},
        "00201208": {"vr": "IS", "Value": [9]},
        **more,
    }


async def test_counts_of_a_study_are_held_to_the_series_that_may_be_seen(world: World) -> None:
    world.engine.demand(FILTER)
    world.engine.sees = lambda row: row["institutions"] == ["North Hospital"]
    world.archive.known["1.2.2"] = study_context(NOW, s1="North Hospital", s2="South Clinic", s3="North Hospital")
    world.request = replace(SEARCH, level=Level.SERIES, study=StudyUid("1.2.2"))
    world.archive.found = Found(parts=[json.dumps([series_row("9.1"), series_row("9.2")]).encode()])
    exchange = await world.walk()
    (row,) = json.loads(exchange.sent)
    assert row["0020000E"]["Value"] == ["9.1"]
    assert row["00201206"]["Value"] == [2]
    assert row["00201208"]["Value"] == [6]
    assert {each["series"] for each in world.engine.shown[0]["rows"]} == {  # type: ignore[union-attr,index,call-overload]
        None,
        SeriesUid("9.1"),
        SeriesUid("9.2"),
        SeriesUid("9.3"),
    }


async def test_xml_of_no_rows_is_no_content(world: World) -> None:
    world.request = replace(SEARCH, representation=Representation.XML, media_type="application/dicom+xml")
    world.archive.found = Found(parts=[b"[]"])
    exchange = await world.walk()
    assert (exchange.status, exchange.sent) == (204, b"")
    assert "Content-Type" not in exchange.headers
