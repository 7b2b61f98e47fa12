from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import SpoolError
from proxy.model import wire_time
from proxy.succession import Reached, Succession
from proxy.watch import Gauge, Tally

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class FakeSpool:
    def __init__(self) -> None:
        self.origin = b"\x01" * 32
        self.agreed: list[int] = []
        self.fails = False
        self.pruned: list[int] = []

    async def prune(self, upto: int, now: datetime) -> int:
        if self.fails:
            raise SpoolError("no space left")
        self.pruned.append(upto)
        return 1

    async def succeed(self, agreed: int, now: datetime) -> bytes:
        if self.fails:
            raise SpoolError("no space left")
        self.agreed.append(agreed)
        self.origin = bytes([self.origin[0] + 1]) * 32
        return self.origin


@pytest.fixture
def spool() -> FakeSpool:
    return FakeSpool()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "status.json"


@pytest.fixture
def succession(spool: FakeSpool, file: Path) -> Succession:
    return Succession(spool, file, lambda: NOW)


def status(spool: FakeSpool, **changes: Any) -> str:
    whole = {
        "state": "diverged",
        "origin": spool.origin.hex(),
        "agreed": 7,
        "included": 9,
        "final": 8,
        "lag": 3,
        "oldest_unanchored_s": 1.5,
    }
    return json.dumps({**whole, **changes})


async def test_divergence_opens_one_successor(succession: Succession, spool: FakeSpool, file: Path) -> None:
    file.write_text(status(spool))
    await succession.look()
    await succession.look()  # the file still tells of the predecessor
    assert spool.agreed == [7]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "ok"},
        {"state": None},
        {"origin": "02" * 32},
        {"origin": None},
        {"agreed": None},
        {"agreed": "7"},
        {"agreed": 7.5},
        {"agreed": True},
        {"agreed": -1},
    ],
    ids=str,
)
async def test_anything_less_than_a_clear_divergence_changes_nothing(
    succession: Succession, spool: FakeSpool, file: Path, changes: dict[str, Any]
) -> None:
    file.write_text(status(spool, **changes))
    await succession.look()
    assert spool.agreed == []


@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"7", b"\xff\xfe", b'{"state": "div'])
async def test_file_that_cannot_be_read_changes_nothing(
    succession: Succession, spool: FakeSpool, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    await succession.look()
    assert spool.agreed == []


async def test_missing_file_is_an_anchor_that_has_not_begun(succession: Succession, spool: FakeSpool) -> None:
    await succession.look()
    assert spool.agreed == []


async def test_folder_in_place_of_the_file_changes_nothing(
    succession: Succession, spool: FakeSpool, file: Path
) -> None:
    file.mkdir()
    await succession.look()
    assert spool.agreed == []


async def test_successor_that_could_not_be_opened_is_tried_again(
    succession: Succession, spool: FakeSpool, file: Path
) -> None:
    file.write_text(status(spool))
    spool.fails = True
    await succession.look()
    spool.fails = False
    await succession.look()
    assert spool.agreed == [7]


@pytest.mark.parametrize(("final", "published", "upto"), [(8, 5, 5), (4, 9, 4), (0, 9, 0)])
async def test_only_what_is_final_and_published_is_pruned(
    succession: Succession, spool: FakeSpool, file: Path, final: int, published: int, upto: int
) -> None:
    file.write_text(status(spool, state="ok", final=final, published=published))
    await succession.look()
    assert spool.pruned == [upto]


@pytest.mark.parametrize(
    "changes",
    [
        {"published": None},
        {"published": True},
        {"published": "9"},
        {"final": None},
        {"final": 8.0},
        {"origin": "02" * 32},
        {"state": "diverged", "agreed": None},
        {"state": "chain-unavailable"},
        {"state": "spool-inconsistent"},
    ],
    ids=str,
)
async def test_nothing_is_pruned_unless_all_is_known_and_well(
    succession: Succession, spool: FakeSpool, file: Path, changes: dict[str, Any]
) -> None:
    file.write_text(status(spool, **{"state": "ok", "published": 9, **changes}))
    await succession.look()
    assert spool.pruned == []


async def test_pruning_that_fails_is_tried_again(succession: Succession, spool: FakeSpool, file: Path) -> None:
    file.write_text(status(spool, state="ok", published=9))
    spool.fails = True
    await succession.look()
    spool.fails = False
    await succession.look()
    assert spool.pruned == [8]


async def test_run_follows_what_the_file_says(succession: Succession, spool: FakeSpool, file: Path) -> None:
    running = asyncio.create_task(succession.run(0.01))
    file.write_text(status(spool))
    async with asyncio.timeout(5):
        while not spool.agreed:
            await asyncio.sleep(0.01)
    running.cancel()


def exposed(succession: Succession) -> dict[str, float]:
    tally, registry = Tally(), CollectorRegistry()
    tally.add(*succession.gauges(Gauge))
    registry.register(tally)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        sample.name.removeprefix("dicomward_anchor_") + "".join(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def test_metrics_say_how_far_the_anchor_is(succession: Succession, spool: FakeSpool, file: Path) -> None:
    assert exposed(succession) == {"stateunknown": 1, "evidenceunknown": 1}
    file.write_text(
        status(spool, state="ok", published=6, evidence="not published: refused", nodes=["the first: late"])
    )
    await succession.look()
    assert exposed(succession) == {
        "included_records": 9,
        "final_records": 8,
        "lag_records": 3,
        "oldest_unanchored_seconds": 1.5,
        "stateok": 1,
        "published_records": 6,
        "evidencefailing": 1,
        "failing_nodes": 1,
    }


async def test_metrics_leave_out_what_the_file_does_not_tell(
    succession: Succession, spool: FakeSpool, file: Path
) -> None:
    file.write_text(status(spool, state=["x"], included=None, final="8", lag=None, oldest_unanchored_s=None))
    await succession.look()
    assert exposed(succession) == {"stateunknown": 1, "oldest_unanchored_seconds": 0, "evidenceunknown": 1}


@pytest.mark.parametrize("state", ["ok", "refused", "fees-too-high", "not-the-writer"])
async def test_how_far_a_record_is_follows_what_the_anchor_told(
    spool: FakeSpool, file: Path, succession: Succession, state: str
) -> None:
    file.write_text(status(spool, state=state, included=7, final=5, published=3))
    await succession.look()
    told = [succession.standing(spool.origin, index) for index in (4, 5, 6, 7)]
    assert told == ["final", "included", "included", "waiting"]
    assert succession.standing(b"\x09" * 32, 0) == "unknown"
    assert succession.reached(spool.origin) == Reached(included=7, final=5, published=3)


@pytest.mark.parametrize("state", ["chain-unavailable", "spool-inconsistent", "closed", "", None, 1])
async def test_who_did_not_ask_the_chain_tells_nothing(
    spool: FakeSpool, file: Path, succession: Succession, state: object
) -> None:
    file.write_text(status(spool, state=state, included=7, final=5))
    await succession.look()
    assert succession.standing(spool.origin, 0) == "unknown"


async def test_troubles_are_told_by_name(spool: FakeSpool, file: Path, succession: Succession) -> None:
    assert not any(succession.troubles().values()), "nobody has said anything yet"
    fine = {"state": "ok", "evidence": "ok", "updated_at": wire_time(NOW)}
    for changes, expected in (
        ({}, set()),
        ({"evidence": "off"}, set()),
        ({"evidence": "not published: refused"}, {"evidence"}),
        ({"state": "chain-unavailable"}, {"anchor"}),
        ({"updated_at": wire_time(NOW - timedelta(seconds=61))}, {"anchor_silent"}),
        ({"updated_at": "yesterday"}, {"anchor_silent"}),
        ({"updated_at": None}, {"anchor_silent"}),
    ):
        file.write_text(status(spool, **{**fine, **changes}))
        await succession.look()
        assert {name for name, held in succession.troubles().items() if held} == expected
