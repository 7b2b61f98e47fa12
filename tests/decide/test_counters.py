"""Counters: what policy is told of how much a subject asks for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.decide import Counters
from proxy.decide.counters import MOST_DISTINCT, REMEMBERED
from proxy.model import DeviceId, Principal, ResourceContext, Revocation, User

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MOMENT = NOW


def example_principal(name: str, user: str | None = None) -> Principal:
    issuer, _, subject = (user or "").partition("/")
    return Principal(
        device=DeviceId("0" * 64),
        name=name,
        subject="CN=example",
        fingerprint="0" * 64,
        serial="01",
        authority="site",
        authority_actions=(),
        not_after=None,
        revocation=Revocation(status="good", as_of=NOW, expires_at=NOW),
        generation=1,
        expires_at=None,
        user=None
        if user is None
        else User(id=user, issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=NOW),
    )


NOTHING = {
    "requests_minute": 0,
    "requests_hour": 0,
    "bytes_hour": 0,
    "patients_hour": 0,
    "patient_subjects_hour": 0,
}
ANNA, BERND = example_principal("anna"), example_principal("bernd")


def of(patient: str | None) -> ResourceContext:
    return ResourceContext(known=patient is not None, as_of=MOMENT, patient_id=patient)


def test_whoever_never_asked_has_counts_of_nothing():
    assert Counters().before(ANNA, None, NOW) == NOTHING
    assert Counters().before(ANNA, of("P1"), NOW) == NOTHING


def test_requests_patients_and_bytes_are_counted_by_subject():
    counters = Counters()
    counters.decided(ANNA, of("P1"), True, NOW)
    counters.decided(ANNA, of("P1"), True, NOW)
    counters.decided(ANNA, of("P2"), True, NOW)
    counters.left(ANNA, 1000, NOW)
    counters.left(ANNA, 24, NOW)
    assert counters.before(ANNA, of("P1"), NOW) == {
        "requests_minute": 3,
        "requests_hour": 3,
        "bytes_hour": 1024,
        "patients_hour": 2,
        "patient_subjects_hour": 1,
    }
    assert counters.before(BERND, of("P9"), NOW) == NOTHING


def test_what_is_denied_counts_as_a_request_and_not_as_a_patient_seen():
    counters = Counters()
    counters.decided(ANNA, of("P1"), False, NOW)
    assert counters.before(ANNA, of("P1"), NOW) == {**NOTHING, "requests_minute": 1, "requests_hour": 1}


def test_subjects_of_a_patient_are_counted_once_each():
    counters = Counters()
    for principal in (ANNA, BERND, ANNA):
        counters.decided(principal, of("P1"), True, NOW)
    assert counters.before(ANNA, of("P1"), NOW)["patient_subjects_hour"] == 2


def test_a_user_is_counted_apart_from_the_device():
    counters = Counters()
    user = example_principal("anna", "issuer/anna")
    counters.decided(user, None, True, NOW)
    assert counters.before(user, None, NOW)["requests_minute"] == 1
    assert counters.before(replace(user, name="other device"), None, NOW)["requests_minute"] == 1
    assert counters.before(ANNA, None, NOW) == NOTHING


@pytest.mark.parametrize(
    ("later_s", "minute", "hour"), [(30, 10, 10), (90, 5, 10), (125, 0, 10), (5400, 0, 5), (7300, 0, 0)]
)
def test_windows_slide(later_s, minute, hour):
    counters = Counters()
    for _ in range(10):
        counters.decided(ANNA, None, True, NOW)
    told = counters.before(ANNA, None, NOW + timedelta(seconds=later_s))
    assert (told["requests_minute"], told["requests_hour"]) == (minute, hour)


def test_patients_of_the_window_before_still_count_and_older_do_not():
    counters = Counters()
    counters.decided(ANNA, of("P1"), True, NOW)
    counters.decided(ANNA, of("P2"), True, NOW + timedelta(hours=1))
    assert counters.before(ANNA, None, NOW + timedelta(hours=1))["patients_hour"] == 2
    assert counters.before(ANNA, None, NOW + timedelta(hours=2))["patients_hour"] == 1
    assert counters.before(ANNA, None, NOW + timedelta(hours=3))["patients_hour"] == 0


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(1, 5)), max_size=60))
def test_a_minute_is_never_told_as_less_than_half_nor_more_than_there_was(steps):
    """Of a steady or unsteady stream: the estimate stays within what the last two windows held."""
    counters, at, asked = Counters(), NOW, []
    for wait, number in steps:
        at += timedelta(seconds=wait)
        for _ in range(number):
            counters.decided(ANNA, None, True, at)
            asked.append(at)
    told = counters.before(ANNA, None, at)["requests_minute"]
    within_two = sum(each > at - timedelta(seconds=120) for each in asked)
    this_window = sum(each.timestamp() // 60 == at.timestamp() // 60 for each in asked)
    assert this_window <= told <= within_two


def test_memory_is_bounded():
    counters = Counters()
    for number in range(MOST_DISTINCT + 10):
        counters.decided(ANNA, of(f"P{number}"), True, NOW)
    assert counters.before(ANNA, None, NOW)["patients_hour"] == MOST_DISTINCT
    for number in range(REMEMBERED + 10):
        counters.decided(example_principal(f"n{number}"), None, True, NOW)
    assert counters.before(ANNA, None, NOW) == NOTHING  # forgotten: it forgives, it never refuses


def test_a_clock_set_back_counts_on():
    counters = Counters()
    counters.decided(ANNA, None, True, NOW)
    counters.decided(ANNA, None, True, NOW - timedelta(minutes=10))
    assert counters.before(ANNA, None, NOW - timedelta(minutes=10))["requests_minute"] == 2


def test_a_clock_set_back_by_hours_does_not_multiply_what_was():
    counters = Counters()
    for _ in range(5):
        counters.decided(ANNA, None, True, NOW - timedelta(minutes=1))
    counters.decided(ANNA, None, True, NOW)
    assert counters.before(ANNA, None, NOW - timedelta(hours=10))["requests_minute"] == 6
