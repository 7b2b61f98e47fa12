from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.fulfil import Fulfilling, matches, pushdown
from proxy.fulfil.pushdown import MAX_LIST
from proxy.model import Obligation, Query, ResourceContext, StudyUid
from tests.fulfil.building import NOW, PUBLIC, obligation, resource

ID, UID = "00100020", "0020000D"


def wanted(attribute: str, *values: str) -> Obligation:
    return obligation("match", attribute=attribute, values=list(values))


def query(**match: str) -> Query:
    return Query(
        match=tuple(sorted((tag.removeprefix("_"), value) for tag, value in match.items())), fuzzy=True, limit=7
    )


@pytest.mark.parametrize(
    ("asked", "obligations", "sent"),
    [
        ({}, [], {}),
        ({}, [obligation("filter_rows")], {}),
        ({}, [wanted(ID, "B", "A")], {ID: "A,B"}),
        ({}, [wanted(UID, "1.3", "1.2")], {UID: "1.2,1.3"}),
        (
            {"00080020": "20200101"},
            [wanted(ID, "A"), wanted(UID, "1.2")],
            {"00080020": "20200101", ID: "A", UID: "1.2"},
        ),
        ({UID: "1.2,1.3,1.4"}, [wanted(UID, "1.4", "1.2", "1.9")], {UID: "1.2,1.4"}),
        ({UID: "1.2"}, [wanted(UID, "1.3")], None),
        ({ID: "A"}, [wanted(ID, "A", "B")], {ID: "A"}),
        ({ID: "a"}, [wanted(ID, "A")], {ID: "a"}),
        ({ID: "b"}, [wanted(ID, "A")], None),
        ({ID: "A*"}, [wanted(ID, "A")], {ID: "A*"}),
        ({ID: "A,B"}, [wanted(ID, "A")], {ID: "A,B"}),
        ({ID: ""}, [wanted(ID, "A")], {ID: ""}),
        ({}, [wanted(ID, "A", "B C")], {}),
        ({}, [wanted(ID, "A*")], {}),
        ({}, [wanted(ID, "A,B")], {}),
        ({}, [wanted(ID, "A\\B")], {}),
        ({}, [wanted(UID, "1.2", "1.02")], {}),
        ({}, [wanted(ID, "A", "B"), wanted(ID, "B", "C")], {ID: "A"}),
        ({}, [wanted(ID, "A"), wanted(ID, "B")], None),
        ({}, [wanted(ID, *(f"{n:040}" for n in range(MAX_LIST // 40)))], {}),
    ],
)
def test_match_is_pushed_down_where_it_means_the_same(
    asked: dict[str, str], obligations: list[Obligation], sent: dict[str, str] | None
) -> None:
    if sent == {ID: "A"} and len(obligations) == 2:
        sent = {ID: "A,B"}  # a list of patients stays the first one's: the row rule holds the second
    found = pushdown(query(**{f"_{tag}": value for tag, value in asked.items()}), obligations)
    assert found == (None if sent is None else query(**{f"_{tag}": value for tag, value in sent.items()}))


@pytest.mark.parametrize(
    ("patient", "obligations", "admitted"),
    [
        ("A", [], True),
        ("A", [wanted(ID, "A", "B")], True),
        ("A  ", [wanted(ID, "A")], True),
        (" A", [wanted(ID, "A")], False),
        ("a", [wanted(ID, "A")], False),
        ("A\\B", [wanted(ID, "A", "B")], False),
        ("", [wanted(ID, "A")], False),
        (None, [wanted(ID, "A")], False),
        ("A", [wanted(UID, "1.2.3")], True),
        ("A", [wanted(UID, "1.2")], False),
        ("A", [wanted(ID, "A"), wanted(UID, "1.2")], False),
        ("B", [wanted(ID, "A"), wanted(ID, "B")], False),
        (None, [obligation("hide"), obligation("filter_rows")], True),
    ],
)
def test_row_is_held_to_every_match(patient: str | None, obligations: list[Obligation], admitted: bool) -> None:
    assert matches(resource(patient), StudyUid("1.2.3"), obligations) is admitted
    assert Fulfilling(PUBLIC).admits(StudyUid("1.2.3"), resource(patient), obligations) is admitted


def test_object_that_is_not_known_matches_no_patient() -> None:
    unknown = ResourceContext(known=False, as_of=NOW, patient_id="A")
    assert not matches(unknown, StudyUid("1.2.3"), [wanted(ID, "A")])


@pytest.mark.parametrize("body", [{}, {"attribute": "00080060", "values": ["CT"]}, {"attribute": ID, "values": []}])
def test_match_that_is_not_understood_is_never_taken_for_none(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        pushdown(Query(), [obligation("match", **body)])
    with pytest.raises(ValueError):
        matches(resource(), StudyUid("1.2.3"), [obligation("match", **body)])


plain = st.text("ABab01._-", min_size=1, max_size=3)


@given(st.lists(plain | st.text(max_size=3).filter(bool), min_size=1, max_size=4), st.none() | plain, plain)
def test_row_that_may_be_shown_is_never_lost_to_the_push_down(values: list[str], own: str | None, patient: str) -> None:
    """Of an archive that takes a list for any of its values, exactly."""
    obligations = [wanted(ID, *values)]
    asked = Query() if own is None else Query(match=((ID, own),))
    narrowed = pushdown(asked, obligations)
    answers = narrowed is not None and patient in dict(narrowed.match).get(ID, patient).split(",")
    shown = answers and matches(resource(patient), StudyUid("1.2"), obligations)
    assert shown == (patient in values and own in (None, patient))
