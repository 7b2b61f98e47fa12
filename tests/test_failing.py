"""A refusal says which attribute it is about, who said so and how long ago."""

from __future__ import annotations

from typing import Any

from proxy.failing import ATTRIBUTE_OF, failing
from proxy.model import ATTRIBUTES, Reason

TIME = "2026-11-22T12:00:00.000Z"


def said(value: Any, *others: dict[str, Any], trust: str = "reported", expires: str = "12:10:00") -> dict[str, Any]:
    return {
        "value": value,
        "source": "agent" if trust == "reported" else "mdm",
        "trust": trust,
        "issued_at": "2026-11-22T11:55:00.500Z",
        "expires_at": f"2026-11-22T{expires}.000Z",
        "others": list(others),
    }


def names(reason: Reason, posture: dict[str, Any]) -> list[str]:
    return [each.name for each in failing(reason, posture, TIME)]


def test_value_that_fails_is_told_with_source_and_age() -> None:
    (found,) = failing(Reason.POSTURE_FIREWALL_OFF, {"firewall": said(False), "screen_lock": said(False)}, TIME)
    assert found.to_wire() == {
        "name": "firewall",
        "value": False,
        "source": "agent",
        "trust": "reported",
        "issued_at": "2026-11-22T11:55:00.500Z",
        "expires_at": "2026-11-22T12:10:00.000Z",
        "age_s": 299,
    }


def test_source_that_speaks_against_the_device_is_named_and_the_other_is_not() -> None:
    (found,) = failing(Reason.POSTURE_FIREWALL_OFF, {"firewall": said(True, said(False), trust="managed")}, TIME)
    assert (found.said["source"], found.said["value"]) == ("agent", False)


def test_each_expired_attribute_is_told() -> None:
    posture = {"firewall": said(True, expires="11:59:59"), "screen_lock": said(True), "b": said(1, expires="12:00:00")}
    assert names(Reason.POSTURE_STALE, posture) == ["b", "firewall"]


def test_missing_attributes_are_named_without_a_source() -> None:
    posture = {name: said(True) for name in ATTRIBUTE_OF.values() if name != "screen_lock"}
    (found,) = failing(Reason.POSTURE_MISSING, posture, TIME)
    assert (found.name, found.to_wire()["source"], found.age_s) == ("screen_lock", None, None)


def test_low_trust_names_what_only_the_device_said() -> None:
    posture = {"firewall": said(True, trust="managed"), "screen_lock": said(True)}
    assert names(Reason.POSTURE_TRUST_TOO_LOW, posture) == ["screen_lock"]


def test_other_reasons_are_about_no_attribute() -> None:
    assert names(Reason.ACTION_NOT_PERMITTED, {"firewall": said(False)}) == []
    assert names(Reason.POSTURE_FIREWALL_OFF, {}) == []


def test_every_attribute_is_one_that_devices_tell() -> None:
    assert set(ATTRIBUTE_OF.values()) <= set(ATTRIBUTES)
