"""``policy replay``: every recorded decision is counted once, in its place; an auditor gets the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy.authoring import Loaded, Supposed, loaded, read_source
from proxy.decide import Kept
from proxy.model import JsonObject, Verdict
from tests.authoring.recording import STUDY, asked, body, judged, part, write_spool
from tests.authoring.small import NO_CT, RADIOLOGIST, Command, small

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "PATIENT^SECRET"
MANAGER = "urn:dicomward:device:manager"


def inputs(
    count: int, modality: str = "CT", name: str = "radiologist", back: timedelta = timedelta(days=1)
) -> list[JsonObject]:
    supposed = [
        Supposed(at=NOW - back + timedelta(seconds=each), name=name, modalities=(modality,), patient=SECRET)
        for each in range(count)
    ]
    return [asked(STUDY, each) for each in supposed]


def in_force(folder: Path) -> Loaded:
    return loaded(read_source(folder).policies)


async def recorded(place: Path, bodies: Iterable[JsonObject]) -> Path:
    await write_spool(place / "spool", sorted(bodies, key=lambda each: str(each["time"])))
    return place / "spool"


def replayed(command: Command, spool: Path, candidate: Path, *words: str, status: int) -> dict[str, Any]:
    told = command("policy", "replay", "--policies", candidate, "--spool", spool, "--json", *words, status=status)
    assert SECRET not in told, "examples name no patient"
    found: dict[str, Any] = json.loads(told)
    return found


async def test_every_change_is_counted_with_its_rule(command: Command, folder: Path, tmp_path: Path) -> None:
    asked_before = [*inputs(7), *inputs(5, "MR"), *inputs(3, name="manager")]
    spool = await recorded(tmp_path, judged(in_force(folder), asked_before))
    candidate = small(tmp_path / "candidate", NO_CT, (RADIOLOGIST, MANAGER))
    told = replayed(command, spool, candidate, "--examples", "2", status=1)
    # The manager becomes known, and asked for CT; the radiologist loses CT.
    assert told["changes"] == {"allow->deny": 7, "allow->allow": 5, "deny->deny": 3}
    assert told["reasons"]["allow->deny"] == [{"code": "no-ct", "rule": "site", "count": 7}]
    assert {each["code"] for each in told["reasons"]["deny->deny"]} == {"no-ct", "subject-unknown"}
    lost = [each for each in told["examples"] if each["change"] == "allow->deny"]
    assert len(lost) == 2
    assert (lost[0]["device"], lost[0]["action"], lost[0]["study"]) == (RADIOLOGIST, "retrieve", "1.2.3")
    assert (lost[0]["before"], lost[0]["now"]) == ([], ["no-ct"])
    assert len(lost[0]["decision"]) == 32


async def test_a_door_that_opens_is_counted(command: Command, folder: Path, tmp_path: Path) -> None:
    spool = await recorded(tmp_path, judged(in_force(folder), inputs(4, name="manager")))
    candidate = small(tmp_path / "candidate", subjects=(RADIOLOGIST, MANAGER))
    told = replayed(command, spool, candidate, status=1)
    assert told["changes"] == {"deny->allow": 4}
    assert told["reasons"]["deny->allow"] == [{"code": "subject-unknown", "rule": "known", "count": 4}]
    said = command("policy", "replay", "--policies", candidate, "--spool", spool, status=1)
    assert "        4  deny->allow\n" in said
    assert f"4 of 4 decisions differ; policy {told['policy']}" in said


async def test_a_candidate_that_says_the_same_ends_with_zero(command: Command, folder: Path, tmp_path: Path) -> None:
    spool = await recorded(tmp_path, judged(in_force(folder), [*inputs(3), *inputs(2, name="manager")]))
    told = replayed(command, spool, folder, status=0)
    assert told["changes"] == {"allow->allow": 3, "deny->deny": 2}
    assert told["examples"] == []


async def test_obligations_that_change_are_told(command: Command, folder: Path, tmp_path: Path) -> None:
    spool = await recorded(tmp_path, judged(in_force(folder), inputs(3)))
    candidate = small(tmp_path / "candidate")
    authz = candidate / "dicomweb/authz/authz.rego"
    masks = '"reasons": [], "obligations": [{"type": "mask", "attributes": ["PatientName"]}]} if'
    authz.write_text(authz.read_text().replace('"reasons": [], "obligations": []} if', masks))
    told = replayed(command, spool, candidate, status=0)
    assert told["changes"] == {"allow->allow": 3}
    assert told["obligations"] == {"+mask": 3}
    assert {each["change"] for each in told["examples"]} == {"obligations"}


async def test_what_never_came_to_policy_is_counted_apart(command: Command, folder: Path, tmp_path: Path) -> None:
    (one,) = inputs(1)
    policy = in_force(folder).prepared.digest
    bodies = [
        body(None, Verdict.denied("unknown-route"), NOW),
        body(one, Verdict.denied("policy-unavailable"), NOW),
        body(one, Verdict.denied("query-not-permitted", policy=policy), NOW),
        part(one, Verdict(allow=True, reasons=(), policy=policy), NOW),
        part(one, Verdict.denied("study-mismatch"), NOW),
        part(None, Verdict.denied("part-unreadable"), NOW),
    ]
    spool = await recorded(tmp_path, bodies)
    told = replayed(command, spool, folder, status=0)
    assert told["changes"] == {"allow->allow": 1}
    assert told["before_policy"] == {"unknown-route": 1}
    assert told["without_verdict"] == {"policy-unavailable": 1, "study-mismatch": 1, "part-unreadable": 1}
    assert (told["unmet"], told["unmet_now"]) == ({"query-not-permitted": 1}, {"allow": 1})


async def test_searches_are_asked_and_their_rows_said_not_to_be(command: Command, folder: Path, tmp_path: Path) -> None:
    search = asked("/dicom-web/studies", Supposed(at=NOW, name="radiologist"))
    spool = await recorded(tmp_path, judged(in_force(folder), [search]))
    said = command("policy", "replay", "--policies", folder, "--spool", spool)
    assert "1 searches. Rows of searches were not asked again" in said


async def test_a_period_and_a_limit_hold(command: Command, folder: Path, tmp_path: Path) -> None:
    old, new = inputs(600, back=timedelta(days=9)), inputs(500, back=timedelta(hours=6))
    spool = await recorded(tmp_path, judged(in_force(folder), [*old, *new]))

    def count(*words: str) -> int:
        return int(replayed(command, spool, folder, *words, status=0)["asked"])

    assert count() == 1100
    assert count("--since", "7d") == 500
    assert count("--until", "7d") == 600
    middle = (NOW - timedelta(days=9) + timedelta(seconds=100)).isoformat()
    assert count("--since", middle, "--until", "1d") == 500
    assert count("--limit", "42") == 42


async def test_an_auditor_gets_the_same_verdicts(command: Command, folder: Path, tmp_path: Path) -> None:
    other = small(tmp_path / "other", NO_CT)
    first, second = in_force(folder), in_force(other)
    for each in (first, second):
        Kept(tmp_path / "store").keep(each.prepared.policies)
    bodies = [*judged(first, inputs(5)), *judged(second, inputs(4)), body(None, Verdict.denied("unknown-route"), NOW)]
    spool = await recorded(tmp_path, bodies)
    told = command("policy", "replay", "--recorded", "--spool", spool, "--store", tmp_path / "store")
    assert told == "clean: 9 decisions by 2 sets of policies, 0 differ; not by policy: 1\n"


async def test_a_verdict_that_its_policies_do_not_give_is_found(command: Command, folder: Path, tmp_path: Path) -> None:
    policies = in_force(folder)
    Kept(tmp_path / "store").keep(policies.prepared.policies)
    digest = policies.prepared.digest
    (good,), (unknown,) = inputs(1), inputs(1, name="manager")
    bodies = [
        body(good, Verdict.denied("subject-unknown", policy=digest), NOW),
        body(unknown, Verdict(allow=True, reasons=(), policy=digest), NOW),
        body(unknown, Verdict.denied("another-reason", policy=digest), NOW),
        *judged(policies, inputs(3)),
    ]
    spool = await recorded(tmp_path, bodies)
    words = ("policy", "replay", "--recorded", "--spool", spool, "--store", tmp_path / "store", "--json")
    told = json.loads(command(*words, status=1))
    assert (told["clean"], told["checked"], told["different"], told["missing"]) == (False, 6, 3, {})
    assert sorted(each["difference"] for each in told["examples"]) == [
        "recorded allow, and its policies say deny",
        "recorded deny, and its policies say allow",
        "recorded the reasons ['another-reason'], and its policies give ['subject-unknown']",
    ]


async def test_a_set_that_is_not_kept_or_was_changed_is_listed(command: Command, folder: Path, tmp_path: Path) -> None:
    gone, changed = in_force(folder), in_force(small(tmp_path / "changed", NO_CT))
    store = Kept(tmp_path / "store")
    store.keep(gone.prepared.policies)
    (path,) = (tmp_path / "store/sets").iterdir()
    path.rename(path.with_name(f"{changed.prepared.digest}.tar.gz"))
    spool = await recorded(tmp_path, [*judged(gone, inputs(2)), *judged(changed, inputs(1))])
    words = ("policy", "replay", "--recorded", "--spool", spool, "--store", tmp_path / "store", "--json")
    told = json.loads(command(*words, status=1))
    assert told["checked"] == 0
    assert {digest: each["decisions"] for digest, each in told["missing"].items()} == {
        gone.prepared.digest: 2,
        changed.prepared.digest: 1,
    }
    assert "was changed" in told["missing"][changed.prepared.digest]["why"]
    assert "not kept here" in told["missing"][gone.prepared.digest]["why"]


def test_wrong_use_says_what_to_write(command: Command, folder: Path, tmp_path: Path) -> None:
    spool = ("--spool", tmp_path / "spool")
    assert "give --policies DIR for a candidate, or --recorded" in command("policy", "replay", *spool, status=2)
    assert "give --config FILE" in command("policy", "replay", "--policies", folder, status=2)
    assert "is a time such as" in command("policy", "replay", "--policies", folder, *spool, "--since", "soon", status=2)
    for option, time in (("--since", "0001-01-01"), ("--until", "9999-12-31T23:59:59Z")):
        assert f"{option}: the year is 2 to 9998" in command(
            "policy", "replay", "--policies", folder, *spool, option, time, status=2
        )
    assert "there is no such folder of kept" in command(
        "policy", "replay", "--recorded", *spool, "--store", tmp_path / "nowhere", status=2
    )
    assert "holds no spool yet" in command("policy", "replay", "--policies", folder, *spool, status=1)
