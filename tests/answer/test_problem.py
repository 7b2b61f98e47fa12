from __future__ import annotations

import functools
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors
from proxy.answer import CATALOGUE, Problems, Remedy, problem_of
from proxy.decide.metadata import BY_POLICY, OURS, reasons_of
from proxy.model import PolicyReason, Posture, PostureAttribute, Reason, Trust

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
reasons = st.lists(st.sampled_from(list(Reason)), min_size=1, max_size=5)


SHIPPED = reasons_of(
    (str(path), path.read_text("utf-8"))
    for path in sorted((ROOT / "policies").rglob("*.rego"))
    if not path.name.endswith("_test.rego")
)
shipped = Problems({}, lambda: SHIPPED)


def test_catalogue_covers_every_reason_but_those_that_policies_alone_give() -> None:
    assert set(CATALOGUE) == set(Reason) - (BY_POLICY - OURS)


def test_shipped_policies_tell_of_every_reason_that_they_give() -> None:
    assert set(SHIPPED) == {reason.value for reason in BY_POLICY}


def test_every_entry_tells_what_is_the_matter_and_what_to_do() -> None:
    for reason in Reason:
        entry = shipped.entry(reason)
        assert 400 <= entry.status < 600, reason
        assert entry.title, reason
        assert entry.title[-1] != ".", reason
        assert entry.remedy.endswith("."), reason


def test_every_reason_is_documented_with_its_status() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| ([^|]+) \|", page, re.MULTILINE))
    expected = ((reason.value, shipped.entry(reason)) for reason in Reason)
    assert rows == {(code, str(entry.status), entry.title) for code, entry in expected}


def test_policies_document_every_code_that_they_deny_with() -> None:
    text = "".join(
        path.read_text("utf-8") for path in (ROOT / "policies").rglob("*.rego") if not path.name.endswith("_test.rego")
    )
    assert set(re.findall(r'^deny contains "([a-z-]+)"', text, re.MULTILINE)) == set(SHIPPED)


@given(reasons, st.text(alphabet="0123456789abcdef", min_size=32, max_size=32))
def test_problem_is_rfc_9457_and_has_the_gravest_status(given_reasons: list[Reason], decision: str) -> None:
    problem = shipped(given_reasons, decision)
    body = json.loads(problem.body)
    assert set(body) == {"type", "title", "status", "reasons", "decision"}
    assert body["status"] == problem.status
    assert body["decision"] == decision
    assert body["type"].startswith("urn:dicomward:reason:")
    gravest = Reason(body["type"].removeprefix("urn:dicomward:reason:"))
    assert gravest in given_reasons
    assert (shipped.entry(gravest).status, shipped.entry(gravest).title) == (problem.status, body["title"])
    assert [each["code"] for each in body["reasons"]] == [reason.value for reason in given_reasons]
    assert all(set(each) == {"code", "title", "remedy"} for each in body["reasons"])


@pytest.mark.parametrize(
    ("two", "status"),
    [
        ((Reason.RESOURCE_UNKNOWN, Reason.POSTURE_STALE), 403),
        ((Reason.POLICY_UNAVAILABLE, Reason.POSTURE_STALE), 503),
        ((Reason.INVALID_UID, Reason.CERTIFICATE_REVOKED), 400),
        ((Reason.INTERNAL_ERROR, Reason.ARCHIVE_TIMEOUT), 500),
    ],
)
def test_status_of_two_reasons_does_not_depend_on_their_order(two: tuple[Reason, Reason], status: int) -> None:
    for order in itertools.permutations(two):
        assert problem_of(order, "").status == status


def posture(**attributes: PostureAttribute) -> Posture:
    return Posture(attributes=attributes, generation=1)


def attribute(value: bool, *, ends: timedelta = timedelta(minutes=15)) -> PostureAttribute:
    return PostureAttribute(
        value=value, source="agent", trust=Trust.REPORTED, issued_at=NOW - timedelta(minutes=2), expires_at=NOW + ends
    )


def test_refusal_names_the_attribute_its_source_and_age() -> None:
    known = posture(firewall=attribute(False), screen_lock=attribute(True))
    (told,) = json.loads(problem_of([Reason.POSTURE_FIREWALL_OFF], "", known, NOW).body)["reasons"]
    assert told["attributes"] == [
        {
            "name": "firewall",
            "value": False,
            "source": "agent",
            "trust": "reported",
            "issued_at": "2026-11-22T11:58:00.000Z",
            "expires_at": "2026-11-22T12:15:00.000Z",
            "age_s": 120,
        }
    ]


def test_other_refusals_tell_nothing_of_the_device() -> None:
    known = posture(firewall=attribute(False))
    (told,) = json.loads(problem_of([Reason.ACTION_NOT_PERMITTED], "", known, NOW).body)["reasons"]
    assert set(told) == {"code", "title", "remedy"}


def test_site_says_in_its_own_words_what_to_do() -> None:
    problems = Problems(
        {Reason.POSTURE_STALE: Remedy(text="Open the clinic's app.", link="https://intranet.example/app")},
        lambda: SHIPPED,
    )
    body = json.loads(problems([Reason.POSTURE_STALE, Reason.POSTURE_FIREWALL_OFF], "").body)
    stale, firewall = body["reasons"]
    assert (stale["remedy"], stale["link"]) == ("Open the clinic's app.", "https://intranet.example/app")
    assert (firewall["remedy"], "link" in firewall) == (SHIPPED[Reason.POSTURE_FIREWALL_OFF].remedy, False)


def site_rule(code: str) -> dict[str, PolicyReason]:
    return {code: PolicyReason(code=code, title="Not at night", remedy="Come back at seven.", rule="site")}


def test_a_reason_of_a_sites_own_rule_is_told_in_its_words() -> None:
    problem = Problems({}, lambda: site_rule("psychiatry-at-night"))(["psychiatry-at-night"], "")
    body = json.loads(problem.body)
    assert (problem.status, body["type"]) == (403, "urn:dicomward:reason:psychiatry-at-night")
    assert body["reasons"] == [
        {"code": "psychiatry-at-night", "title": "Not at night", "remedy": "Come back at seven."}
    ]


def test_no_policy_says_how_a_reason_of_the_proxy_is_answered() -> None:
    for reason, entry in CATALOGUE.items():
        assert Problems({}, functools.partial(site_rule, reason)).entry(reason) == entry


def test_a_reason_of_policies_that_are_in_force_no_more_is_told_of_in_general() -> None:
    problem = problem_of(["psychiatry-at-night"], "d1")
    body = json.loads(problem.body)
    assert (problem.status, body["title"]) == (403, "Policy does not permit this")
    assert [told["code"] for told in body["reasons"]] == ["psychiatry-at-night"]


@pytest.mark.parametrize(
    "error",
    [
        errors.PeerError,
        errors.BodyError,
        errors.BodyTooLargeError,
        errors.PeerGoneError,
        errors.PolicyUnavailableError,
        errors.PolicyInvalidError,
        errors.PostureUnavailableError,
        errors.SpoolError,
        errors.ArchiveError,
        errors.ArchiveTimeoutError,
    ],
)
def test_error_that_a_request_can_meet_is_a_reason_of_the_same_status(error: type[errors.DicomwardError]) -> None:
    assert CATALOGUE[Reason(error.code)].status == error.status
