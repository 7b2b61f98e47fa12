from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model import PostureAttribute, Trust
from proxy.posture.claims import decode, encode, fresh_until, merge, next_expiry, not_older, updated, values
from tests.posture.making import NOW, claim, seconds

SOURCES = ("agent", "fleet", "other", "tpm")


@st.composite
def claims(draw: st.DrawFn) -> PostureAttribute:
    issued = NOW + seconds(draw(st.integers(-3, 0)))
    return claim(
        draw(st.one_of(st.booleans(), st.integers(0, 3))),
        source=draw(st.sampled_from(SOURCES)),
        trust=draw(st.sampled_from(list(Trust))),
        issued_at=issued,
        expires_at=NOW + seconds(draw(st.integers(-2, 2))),
    )


sets = st.lists(claims(), min_size=1, max_size=4, unique_by=lambda each: each.source)


@given(sets)
def test_winner_is_live_and_of_the_highest_trust_unless_it_contradicts_what_ended(
    several: list[PostureAttribute],
) -> None:
    winner = merge({"a": {each.source: each for each in several}}, NOW)["a"]
    live = [each for each in several if each.expires_at > NOW]
    if not live:
        assert winner.others == ()
        assert winner.trust.rank == max(each.trust.rank for each in several)
        ends = [each.expires_at for each in several if each.trust is winner.trust]
        assert winner.expires_at == max(ends)
        return
    assert all(each.others == () and each.expires_at > NOW for each in winner.others)
    if winner.expires_at <= NOW:
        best = winner.others[0]
        assert {each.source for each in winner.others} == {each.source for each in live}
        assert winner.trust.rank == max(each.trust.rank for each in several) > best.trust.rank
        assert (type(best.value), best.value) != (type(winner.value), winner.value)
        return
    assert winner.trust.rank == max(each.trust.rank for each in live)
    assert winner.issued_at == max(each.issued_at for each in live if each.trust is winner.trust)
    assert {winner.source, *(each.source for each in winner.others)} == {each.source for each in live}
    assert len(winner.others) == len(live) - 1


@given(sets)
def test_what_a_higher_trust_said_last_is_never_contradicted_by_a_lower_one(several: list[PostureAttribute]) -> None:
    """The rule by itself: whoever is shown as the winner has no expired one above it that said something else."""
    winner = merge({"a": {each.source: each for each in several}}, NOW)["a"]
    above = [each for each in several if each.expires_at <= NOW and each.trust.rank > winner.trust.rank]
    highest = [each for each in above if each.trust.rank == max(every.trust.rank for every in above)]
    last = [each for each in highest if each.expires_at == max(every.expires_at for every in highest)]
    if last:
        said_last = min(last, key=lambda each: each.source).value
        assert (type(winner.value), winner.value) == (type(said_last), said_last)


@given(sets)
def test_device_is_fresh_until_its_first_attribute_is_stale(several: list[PostureAttribute]) -> None:
    said = {"a": {each.source: each for each in several}}
    until = fresh_until(said)
    assert merge(said, until)["a"].expires_at <= until
    earlier = {each.expires_at for each in several if each.expires_at < until}
    assert all(merge(said, end)["a"].expires_at > end for end in earlier)


def ended(value: bool | int) -> PostureAttribute:
    return claim(value, source="fleet", trust=Trust.MANAGED, expires_at=NOW)


def test_device_alone_does_not_undo_what_its_management_said_last() -> None:
    """The attack: wait until the management's word has ended, and say the contrary."""
    winner = merge({"firewall": {"agent": claim(True), "fleet": ended(False)}}, NOW)["firewall"]
    assert (winner.value, winner.source, winner.expires_at) == (False, "fleet", NOW)
    assert [(each.value, each.source) for each in winner.others] == [(True, "agent")]


@pytest.mark.parametrize(("last", "live", "source"), [(True, True, "agent"), (3, 3, "agent"), (True, 1, "fleet")])
def test_device_may_confirm_what_its_management_said_last(last: bool | int, live: bool | int, source: str) -> None:
    assert merge({"a": {"agent": claim(live), "fleet": ended(last)}}, NOW)["a"].source == source


def test_another_management_of_the_same_trust_may_contradict_one_that_fell_silent() -> None:
    other = claim(True, source="other", trust=Trust.MANAGED)
    assert merge({"a": {"fleet": ended(False), "other": other}}, NOW)["a"].source == "other"


@given(sets, st.randoms())
def test_order_of_arrival_of_different_sources_does_not_matter(several: list[PostureAttribute], random: object) -> None:
    shuffled = list(several)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = []
    for order in (several, shuffled):
        said = {}
        for each in order:
            said = updated(said, each.source, {"a": each}, whole=each.trust is Trust.REPORTED)
        found.append(merge(said, NOW))
    assert found[0] == found[1]


@given(sets)
def test_merge_stays_what_it_is_until_the_next_expiry(several: list[PostureAttribute]) -> None:
    said = {"a": {each.source: each for each in several}}
    until = next_expiry(said, NOW)
    if until is None:
        assert merge(said, NOW) == merge(said, NOW + timedelta(days=99))
        return
    assert merge(said, until - timedelta(milliseconds=1)) == merge(said, NOW)
    assert until > NOW


@given(sets)
def test_what_is_stored_is_read_again(several: list[PostureAttribute]) -> None:
    said = {"a": {each.source: each for each in several}}
    assert decode(encode(said)) == said
    assert values(decode(encode(said))) == values(said)


def test_of_equal_trust_and_time_the_first_source_by_name_wins() -> None:
    both = {name: claim(name, source=name, trust=Trust.MANAGED) for name in ("zeta", "alpha")}
    winner = merge({"a": both}, NOW)["a"]
    assert (winner.source, [each.source for each in winner.others]) == ("alpha", ["zeta"])


def test_bad_word_of_the_device_stays_visible_beside_a_management_that_has_not_noticed() -> None:
    said = {"firewall": {"agent": claim(False), "fleet": claim(True, source="fleet", trust=Trust.MANAGED)}}
    winner = merge(said, NOW)["firewall"]
    assert (winner.value, winner.others[0].value, winner.others[0].trust) == (True, False, Trust.REPORTED)


def test_claim_ends_at_its_very_end() -> None:
    said = {
        "a": {
            "agent": claim(False),
            "tpm": claim(True, source="tpm", expires_at=NOW + seconds(1)),
        }
    }
    before, after = merge(said, NOW + seconds(0.999))["a"], merge(said, NOW + seconds(1))["a"]
    assert (before.source, before.expires_at) == ("agent", NOW + seconds(900))
    assert [each.source for each in before.others] == ["tpm"]
    assert (after.source, after.others) == ("agent", ())


def test_own_report_replaces_all_the_device_said_and_nothing_else() -> None:
    fleet = claim(source="fleet", trust=Trust.MANAGED)
    before = {"firewall": {"agent": claim(), "fleet": fleet}, "screen_lock": {"agent": claim()}}
    after = updated(before, "agent", {"disk_encryption": claim()}, whole=True)
    assert after == {"firewall": {"fleet": fleet}, "disk_encryption": {"agent": claim()}}
    assert "screen_lock" in before


def test_management_touches_only_what_it_names_and_never_goes_back() -> None:
    told = {name: claim(source="fleet", issued_at=NOW) for name in ("firewall", "screen_lock")}
    before = updated({}, "fleet", told, whole=False)
    newer = claim(False, source="fleet", issued_at=NOW + seconds(1))
    after = updated(before, "fleet", {"firewall": newer}, whole=False)
    assert after == {"firewall": {"fleet": newer}, "screen_lock": before["screen_lock"]}
    assert not_older(after, "fleet", told) == {"screen_lock": told["screen_lock"]}
    assert not_older(after, "other", told) == told


def test_device_is_fresh_while_something_unexpired_tells_each_attribute() -> None:
    long = claim(source="fleet", expires_at=NOW + seconds(10))
    said = {"a": {"agent": claim(expires_at=NOW + seconds(1)), "fleet": long}, "b": {"agent": claim()}}
    assert fresh_until(said) == NOW + seconds(10)
    assert fresh_until({}).year == 1970


@pytest.mark.parametrize("value", [1.5, None, [], {}, 2**53, -(2**53), "ä", "a\n", "x" * 257])
def test_value_that_no_report_may_have_is_not_read(value: object) -> None:
    import orjson

    with pytest.raises(ValueError):
        decode(orjson.dumps({"a": {"agent": [value, "reported", 0, 1]}}))
