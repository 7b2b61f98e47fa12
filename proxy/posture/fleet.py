"""Bodies of Fleet (fleetdm.com), as far as they tell whether a host passes a policy (pure).

Two shapes::

    {"timestamp": "...", "policy": {"id": 1, "name": "Firewall on"}, "hosts": [{"id": 7, "hostname": "pc7"}]}
    {"timestamp": "...", "host": {"hostname": "pc7", "uuid": "...", "policies": [{"name": "...", "response": "pass"}]}}

Each host of the first fails the policy. The format is somebody else's: members that are not used are not looked at,
those that are have to be of their type. What is told of policies that the site does not map is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from proxy.posture.webhooks import ManagedSettings
from proxy.strict import loads

MOST_HOSTS: Final = 10_000
MOST_POLICIES: Final = 10_000
_KEY: Final = re.compile(r"[!-~]{1,255}")
_RESPONSES: Final = ("pass", "fail", "")
"""Passed, failed, not run yet."""

Values = Mapping[str, bool | int | str]


def read_fleet(body: bytes, settings: ManagedSettings) -> Mapping[str, Values]:
    """Values by attribute, by name of the device. Empty where nothing that is mapped is told.

    :raises ValueError: the body has neither shape; its text holds none of the content
    """
    found = _object(loads(body))
    if "host" in found and not found.keys() & {"policy", "hosts"}:
        host = _object(found["host"])
        told = _values(_responses(host), settings)
        hosts = [host]
    elif "policy" in found and "hosts" in found and "host" not in found:
        told = _values({_text(_object(found["policy"]), "name"): "fail"}, settings)
        hosts = [_object(host) for host in _list(found["hosts"], MOST_HOSTS)]
    else:
        raise ValueError("is neither of a policy nor of a host")
    # A key that no certificate could name is of no device of ours; one that is missing means that the site chose wrong.
    keys = [_text(host, settings.key) for host in hosts] if told else []
    return {settings.device.replace("{}", key): told for key in keys if _KEY.fullmatch(key)}


def _responses(host: dict[str, object]) -> dict[str, str]:
    made: dict[str, str] = {}
    for each in _list(host.get("policies"), MOST_POLICIES):
        policy = _object(each)
        name, response = _text(policy, "name"), _text(policy, "response")
        if response not in _RESPONSES or made.setdefault(name, response) != response:
            raise ValueError("a policy has one response, which is pass, fail or nothing")
    return made


def _values(responses: Mapping[str, str], settings: ManagedSettings) -> Values:
    """Where several policies tell one attribute, one that fails is what counts."""
    made: dict[str, bool | int | str] = {}
    for wanted in ("pass", "fail"):
        for mapped in settings.attributes:
            if responses.get(mapped.policy) == wanted:
                made[mapped.attribute] = mapped.passing if wanted == "pass" else mapped.failing
    return made


def _object(value: object) -> dict[str, object]:
    if type(value) is not dict:
        raise ValueError("is not an object")
    return value


def _list(value: object, most: int) -> list[object]:
    if type(value) is not list or len(value) > most:
        raise ValueError("is not a list, or too long")
    return value


def _text(members: dict[str, object], name: str) -> str:
    value = members.get(name)
    if type(value) is not str:
        raise ValueError("is not a text")
    return value
