"""Two engines, one behaviour: thousands of inputs, asked of the embedded engine and of a real OPA server.

The OPA server is asked through the proxy's own engine, over HTTP, with the bundle that the proxy hands out.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from proxy.decide import Embedded, read_policies
from proxy.decide.engine import Engine
from proxy.decide.prepared import Prepared, prepare
from proxy.errors import PolicyUnavailableError
from proxy.model import JsonObject, Verdict
from tests.bench.decide import site as large_site
from tests.policies.rego import POLICIES
from tests.policies.sites import DEVICE, HOURS, NOW, POSTURE, ROLES, SITES, SUBJECTS, USERS, data, malformed, questions
from tests.policies.sites import policies as policies_of
from tests.policies.test_corpus import corpus as corpus_of_shipped
from tests.policies.test_rego import opa
from tests.simulators.opa import real_opa

SEED: Final = 20261123
ASKED: Final = 300
"""Well-formed questions to each site, and as many that are not."""
AT_ONCE: Final = 4
Outcome = tuple[Verdict | None, frozenset[int] | None]
"""Verdict and rows; ``None`` where an engine gave none."""

CARELESS: Final = data(
    roles={
        **ROLES,
        "radiologist": {"actions": ["metadata", 7, None], "institutions": "North", "default_purpose": 1},
        "mr": "everything",
        "night": {**ROLES["night"], "hours": ["night"]},
        "psychiatrist": {**ROLES["psychiatrist"], "networks": 5, "departments": {"Psychiatry": True}},
    },
    subjects={
        **{f"{DEVICE}{name}": profile for name, profile in SUBJECTS.items()},
        f"{DEVICE}north": {"roles": "radiologist", "institutions": "*"},
        f"{DEVICE}ct1": ["ct"],
        f"{DEVICE}both": {"roles": ["ct", 1, None], "institutions": {"North": 1}, "patients": "P1"},
        f"{DEVICE}ward": {"roles": ["psychiatrist"], "institutions": "*", "kind": 3},
        f"{DEVICE}few": {"roles": ["researcher"], "institutions": "*", "rates": "many"},
    },
    users={**USERS, "dev/doctor": None, "*": {"roles": ["ct"], "institutions": "*", "rates": {"*": 3}}},
    hours={**HOURS, "day": {"monday": [{"from": "7", "to": "18:00"}, 5]}},
    rates={"*": {"requests_minute": "many", "patients_hour": -1}, "retrieve": []},
    limits={"posture": {"reporting_authorities": "site"}, "store": {}},
    posture={**POSTURE, "demands": {**POSTURE["demands"], "modality": ["store"]}},
)
"""Data that are wrong in many places. What is wrong closes; on both engines alike."""
WHOLE: Final = {**SITES, "careless": CARELESS}
SHIPPED: Final = "shipped"
NAMES: Final = (SHIPPED, *WHOLE)


def unfolded(prepared: Prepared) -> Prepared:
    """The same policies as they were written: nothing is worked out beforehand."""
    return replace(prepared, modules=tuple(prepared.policies.modules()), data=prepared.policies.data())


async def outcome(engine: Engine, asked: JsonObject) -> Outcome:
    verdict, rows = None, None
    with contextlib.suppress(PolicyUnavailableError):
        verdict = await engine.decide(asked)
    with contextlib.suppress(PolicyUnavailableError):
        rows = await engine.visible(asked)
    return verdict, rows


async def of_opa(folder: Path, prepared: Prepared, corpus: Sequence[JsonObject]) -> list[Outcome]:
    async with real_opa(folder) as (engine, _):
        await engine.load(prepared)
        waiting = asyncio.Semaphore(AT_ONCE)

        async def ask(asked: JsonObject) -> Outcome:
            async with waiting:
                return await outcome(engine, asked)

        found = await asyncio.gather(*(ask(asked) for asked in corpus))
        assert not engine.failures["late"]
        assert not engine.failures["unreachable"]
        return found


async def of_embedded(prepared: Prepared, corpus: Sequence[JsonObject]) -> list[Outcome]:
    engine = Embedded()
    await engine.load(prepared)
    return [await outcome(engine, asked) for asked in corpus]


def differences(corpus: Sequence[JsonObject], one: Sequence[Outcome], other: Sequence[Outcome]) -> list[Any]:
    return [each for each in zip(corpus, one, other, strict=True) if each[1] != each[2]]


@cache
def corpus(name: str) -> tuple[JsonObject, ...]:
    own = [asked for asked, _ in corpus_of_shipped()[:ASKED]] if name == SHIPPED else None
    good = questions(SEED + len(name), ASKED) if own is None else own
    return (*good, *malformed(SEED + len(name), good, ASKED))


@cache
def prepared(name: str) -> Prepared:
    return prepare(read_policies(POLICIES) if name == SHIPPED else policies_of(WHOLE[name]), NOW)


def test_corpus_has_the_size_that_is_claimed() -> None:
    assert sum(len(corpus(name)) for name in NAMES) >= 2000


@pytest.mark.parametrize("name", NAMES)
async def test_both_engines_give_the_same_verdicts_obligations_and_rows(tmp_path: Path, name: str) -> None:
    embedded = await of_embedded(prepared(name), corpus(name))
    server = await of_opa(tmp_path, prepared(name), corpus(name))
    assert differences(corpus(name), embedded, server) == []
    _shows_something(server[:ASKED], name)


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_worked_out_beforehand_changes_nothing(tmp_path: Path, name: str) -> None:
    some = corpus(name)[::4]
    assert len(unfolded(prepared(name)).modules) > len(prepared(name).modules)
    embedded = await of_embedded(prepared(name), some)
    assert differences(some, embedded, await of_opa(tmp_path, unfolded(prepared(name)), some)) == []


def _shows_something(outcomes: Sequence[Outcome], name: str) -> None:
    """Questions that are only denied, for one reason, would prove nothing."""
    verdicts = [verdict for verdict, _ in outcomes if verdict is not None]
    rows = sum(len(rows) for _, rows in outcomes if rows is not None)
    allowed = sum(verdict.allow for verdict in verdicts)
    print(f"{name}: {allowed} of {len(verdicts)} allowed, {rows} rows")
    assert len(verdicts) == len(outcomes)
    assert allowed > 0
    assert rows > 0


async def test_corpus_shows_every_reason_and_every_obligation() -> None:
    reasons: set[str] = set()
    attached: set[str] = set()
    allowed = 0
    sites = ("rich", "plain", "opted in")
    for name in sites:
        for verdict, _ in await of_embedded(prepared(name), corpus(name)[:ASKED]):
            assert verdict is not None
            reasons.update(verdict.reasons)
            attached.update(each.type for each in verdict.obligations)
            allowed += verdict.allow
    assert reasons == prepared("rich").reasons.keys()
    assert attached == {"filter_rows", "mask", "match", "seal", "hide", "limit"}
    assert allowed > 0.3 * len(sites) * ASKED


def rules_only(value: Any) -> Any:
    """Without private rules, and without what is empty: an object of no members is undefined in one engine."""
    if not isinstance(value, dict):
        return value
    members = {name: rules_only(member) for name, member in value.items() if not name.startswith("_")}
    return {name: member for name, member in members.items() if member != {}}


@pytest.mark.parametrize("name", [*NAMES, "large"])
def test_opa_works_out_the_same_beforehand(tmp_path: Path, name: str) -> None:
    made = prepare(large_site(), NOW) if name == "large" else prepared(name)
    given = set(made.policies.modules()) - set(made.modules)
    assert given
    for number, (_, text) in enumerate(sorted(given)):
        (tmp_path / f"{number}.rego").write_text(text)
    (tmp_path / "data.json").write_text(made.policies.data())
    command = [opa(), "eval", "--format=raw", f"--data={tmp_path}", "data.dicomweb.prepared"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    outcome = orjson.loads(made.data)["dicomweb"]["prepared"]
    assert rules_only(orjson.loads(done.stdout)) == rules_only(outcome)
