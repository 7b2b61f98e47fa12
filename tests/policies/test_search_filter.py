"""A search goes unfiltered only where every row may be seen: which are visible is asked only where it is filtered."""

from typing import Any

import pytest

from proxy.decide import EmbeddedEngine
from proxy.decide.example import MOMENT, example_input
from proxy.decide.prepared import prepare
from proxy.model import Action, JsonObject
from tests.policies.sites import CONSENTS, DEVICE, POSTURE, consent, data, policies

PLAIN = data(consents=[], rates={})


def search(*patients: str) -> JsonObject:
    """By a subject without boundaries."""
    asked: Any = example_input(f"{DEVICE}reader", Action.SEARCH)
    rows = [{**row, "patient_id": patient} for row, patient in zip(asked["rows"], patients, strict=False)]
    return {**asked, "rows": rows}


def at_length(asked: JsonObject) -> JsonObject:
    """The same for one who is said to have a role that the site does not know: nothing is looked up for it."""
    subject: Any = asked["subject"]
    return {**asked, "subject": {**subject, "roles": [{"name": "absent", "source": "directory"}]}}


@pytest.mark.parametrize(
    ("site", "visible"),
    [
        (PLAIN, {0, 1}),
        ({**PLAIN, "consents": [consent("P4", {"type": "permit"})]}, {0, 1}),
        ({**PLAIN, "consents": [consent("P4", {"type": "deny"})]}, {0}),
        ({**PLAIN, "consents": CONSENTS}, {0}),
        ({**PLAIN, "posture": {**POSTURE, "demands": {"*": {"*": "reading", "metadata": "managed"}}}}, set()),
        ({**PLAIN, "rates": {"metadata": {"requests_hour": 0}}}, set()),
    ],
)
def test_rows_are_filtered_where_one_of_them_may_not_be_seen(site: dict[str, Any], visible: set[int]) -> None:
    engine, asked = EmbeddedEngine(prepare(policies(site), MOMENT)), search("P1", "P4")
    verdict = engine.decide_now(asked)
    assert engine.visible_now(asked) == visible
    assert verdict.allow
    assert ("filter_rows" in {each.type for each in verdict.obligations}) == (visible != {0, 1})
    assert engine.decide_now(at_length(asked)) == verdict
    assert engine.visible_now(at_length(asked)) == visible
