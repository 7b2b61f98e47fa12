"""Searches of who may not see everything: a row is shown exactly where the object's metadata would be."""

from __future__ import annotations

import re

import pytest

from deploy.dev import dataset
from tests.conformance.judge import Judge
from tests.conformance.native import from_json, from_xml
from tests.conformance.rows import INSTANCE, LEVELS, MANY, SERIES, STUDY, XML, held, pages, path, search, uids
from tests.conformance.wire import request

pytestmark = pytest.mark.real

SHARED = dataset.study("shared-care")
NORTH, SOUTH = SHARED.series
OWN = dataset.study("ct-head")
OTHER = dataset.study("mr-brain")

every_level = pytest.mark.parametrize("level", LEVELS)
everybody = pytest.mark.parametrize("who", ["technologist", "researcher", "radiologist"])


@everybody
@every_level
def test_row_is_shown_exactly_where_metadata_is_allowed(judge: Judge, level: str, who: str) -> None:
    objects = held(judge, level)
    assert len(objects) < MANY
    with judge.caller.connected(who) as wire:
        shown = {uids(row, level) for row in search(wire, f"/{level}?limit={MANY}").rows}
        allowed = set()
        for named in objects:
            wire.send(request("GET", f"{path(named)}/metadata"))
            reply = wire.read()
            assert reply.status in (200, 403, 404)
            if reply.status == 200:
                allowed.add(named)
    assert shown == allowed
    assert shown
    # Other tests may have stored what is of neither hospital, which the researcher does not reach.
    assert who != "radiologist" or shown == set(objects)
    assert who != "technologist" or shown < set(objects)


def test_rows_below_a_study_are_filtered_too(judge: Judge) -> None:
    with judge.caller.connected("technologist") as wire:
        for entry in dataset.catalogue(large=False):
            own = [series for series in entry.series if series.institution == dataset.NORTH]
            found = search(wire, f"/studies/{entry.uid}/series").rows
            assert sorted(row[SERIES]["Value"][0] for row in found) == sorted(series.uid for series in own)
            found = search(wire, f"/studies/{entry.uid}/instances").rows
            instances = sorted(instance.uid for series in own for instance in series.instances)
            assert sorted(row[INSTANCE]["Value"][0] for row in found) == instances
            for series in entry.series:
                found = search(wire, f"/studies/{entry.uid}/series/{series.uid}/instances").rows
                assert len(found) == (len(series.instances) if series in own else 0)


def test_study_of_two_institutions_shows_its_own_series_and_no_study(judge: Judge) -> None:
    with judge.caller.connected("technologist") as wire:
        assert search(wire, f"/studies?StudyInstanceUID={SHARED.uid}").rows == []
        (row,) = search(wire, f"/series?StudyInstanceUID={SHARED.uid}").rows
        assert row[SERIES]["Value"] == [NORTH.uid]
        # Nor does it tell how many others there are.
        row = search(wire, f"/series?StudyInstanceUID={SHARED.uid}&includefield=all").rows[0]
        assert row.get("00201206", {}).get("Value", [1]) == [1]
        assert row.get("00080061", {}).get("Value", ["CT"]) == ["CT"]
        wire.send(request("GET", f"{path((SHARED.uid,))}/metadata"))
        assert wire.read().reasons == ["partial-study"]


@everybody
@every_level
@pytest.mark.parametrize("size", [1, 3, 7])
def test_pages_tile_without_gap_or_repetition(judge: Judge, level: str, who: str, size: int) -> None:
    if size == 1 and level == "instances":
        size = 5
    with judge.caller.connected(who) as wire:
        whole = [uids(row, level) for row in search(wire, f"/{level}?limit={MANY}").rows]
        tiled = list(pages(wire, f"/{level}", size))
    assert [len(page.rows) for page in tiled[:-1]] == [size] * (len(tiled) - 1)
    assert 1 <= len(tiled[-1].rows) <= size
    found = [uids(row, level) for page in tiled for row in page.rows]
    assert len(set(found)) == len(found)
    assert found == whole


@everybody
@every_level
def test_answer_says_whether_more_rows_may_be_seen(judge: Judge, level: str, who: str) -> None:
    with judge.caller.connected(who) as wire:
        whole = search(wire, f"/{level}?limit={MANY}")
        count = len(whole.rows)
        assert whole.total == count
        assert not whole.more
        pairs = [(1, 0), (count - 1, 0), (count, 0), (count + 1, 0), (1, count - 1), (2, count - 2), (1, count - 2)]
        for limit, offset in pairs:
            page = search(wire, f"/{level}?limit={limit}&offset={offset}")
            assert len(page.rows) == min(limit, count - offset)
            assert page.more == (offset + limit < count), (limit, offset)
            # A count of rows that were not looked at would be a guess, or tell of those that may not be seen.
            assert page.total == (None if page.more else count), (limit, offset)


@everybody
def test_page_behind_the_last_row_is_empty(judge: Judge, who: str) -> None:
    with judge.caller.connected(who) as wire:
        page = search(wire, "/studies?limit=5&offset=5000")
        assert page.rows == []
        assert not page.more


@pytest.mark.parametrize(
    "query",
    [
        f"StudyInstanceUID={OTHER.uid}",
        f"PatientID={OTHER.patient_id}",
        f"PatientName={OTHER.patient_name}",
        f"AccessionNumber={OTHER.accession_number}",
        f"StudyInstanceUID={OTHER.uid},{dataset.study('ct-chest').uid}",
        "PatientName=Sommer*",
        "fuzzymatching=true&PatientName=Sommer",
        f"StudyDate={OTHER.date}",
    ],
)
def test_what_may_not_be_seen_is_as_if_it_were_not(judge: Judge, query: str) -> None:
    """The answer to a match on a hidden study is that to a match on nothing, in all but what names the request."""
    with judge.caller.connected("technologist") as wire:
        hidden = search(wire, f"/studies?{query}")
        absent = search(wire, "/studies?PatientID=nobody")
        assert hidden.rows == absent.rows == []
    assert (hidden.reply.status, hidden.reply.body) == (absent.reply.status, absent.reply.body)
    assert _plain(hidden.reply.head) == _plain(absent.reply.head)


def _plain(head: bytes) -> bytes:
    return re.sub(rb"(Decision-Id|Decision-Receipt|Date): [^\r]*", b"", head)


def test_matching_finds_only_what_may_be_seen(judge: Judge) -> None:
    with judge.caller.connected("technologist") as wire:
        for query in ("ModalitiesInStudy=CT", "StudyDate=20240101-20241231", "PatientID=NH-10*"):
            theirs = judge.stack.archived(f"/studies?{query}&limit={MANY}").json()
            named = {row[STUDY]["Value"][0] for row in theirs}
            rows = search(wire, f"/studies?{query}&limit={MANY}").rows
            everything = {uids(row, "studies")[0] for row in search(wire, f"/studies?limit={MANY}").rows}
            assert {row[STUDY]["Value"][0] for row in rows} == named & everything
            assert rows


@everybody
@every_level
def test_record_names_the_rows_shown(judge: Judge, level: str, who: str) -> None:
    with judge.caller.connected(who) as wire:
        for target in (f"/{level}?limit={MANY}", f"/{level}?limit=2&offset=1", f"/{level}?limit=3"):
            page = search(wire, target)
            record = judge.decision(page.reply)
            assert [tuple(row) for row in record["rows"]] == [uids(row, level) for row in page.rows]
            assert record["scanned"] >= len(page.rows)
        assert judge.decision(search(wire, f"/{level}?limit=1&offset=5000").reply)["rows"] == []


@everybody
@every_level
@pytest.mark.parametrize("include", ["", "&includefield=all"])
def test_xml_says_what_json_says(judge: Judge, level: str, who: str, include: str) -> None:
    with judge.caller.connected(who) as wire:
        rows = search(wire, f"/{level}?limit=25{include}").rows
        reply = search(wire, f"/{level}?limit=25{include}", XML).reply
    kind = reply.value("Content-Type") or ""
    assert kind.startswith("multipart/related;")
    assert 'type="application/dicom+xml"' in kind
    assert [from_xml(part) for part in reply.parts] == [from_json(row) for row in rows]
    judge.is_silent(reply)


@everybody
def test_metadata_in_xml_says_what_json_says(judge: Judge, who: str) -> None:
    tried = 0
    with judge.caller.connected(who) as wire:
        for entry in dataset.catalogue(large=False):
            target = f"{path((entry.uid,))}/metadata"
            wire.send(request("GET", target))
            plain = wire.read()
            wire.send(request("GET", target, XML))
            native = wire.read()
            assert native.status == plain.status
            if plain.status != 200:
                assert native.reasons == plain.reasons
                continue
            tried += 1
            assert [from_xml(part) for part in native.parts] == [from_json(each) for each in plain.json], entry.name
    assert tried > 5


def test_too_broad_and_too_long_are_told_apart(judge: Judge) -> None:
    """An answer has at most a thousand rows, whatever the client asks for."""
    with judge.caller.connected("technologist") as wire:
        whole = search(wire, "/instances?limit=99999")
        assert len(whole.rows) == len(search(wire, "/instances").rows)
