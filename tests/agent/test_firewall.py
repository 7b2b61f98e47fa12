"""Firewalls by what firewall-cmd 1.3, ufw 0.36, nft 1.0 and iptables 1.8 print."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent.findings import UnknownError
from proxy.agent.firewall import BOTH, firewall, parse_firewalld, parse_iptables, parse_nft, parse_ufw
from tests.agent.machine import RecordedMachine

UFW = """Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
"""
META = {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}
TABLE = {"table": {"family": "inet", "name": "filter", "handle": 1}}
ACCEPT = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
IPV6 = {"/proc/net/if_inet6": b"00000000000000000000000000000001 01 80 10 80       lo\n"}
NO_IPV6 = {"/proc/net/if_inet6": b""}


def chain(policy: str = "accept", *, family: str = "inet", hook: str = "input") -> dict[str, Any]:
    base = {"type": "filter", "hook": hook, "prio": 0, "policy": policy}
    return {"chain": {"family": family, "table": "filter", "name": "input", "handle": 1, **base}}


def rule(*expr: dict[str, Any], family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "filter", "chain": "input", "handle": 4, "expr": list(expr)}}


def ruleset(*entries: dict[str, Any]) -> str:
    return json.dumps({"nftables": [META, TABLE, *entries]})


NFT = "nft -j list ruleset"
OPEN = ruleset(chain())


def on(commands: dict[str, str], files: dict[str, bytes] = IPV6, **more: Any) -> bool | int | str | None:
    return firewall(RecordedMachine(commands=commands, files=files, user=0, **more)).value


@pytest.mark.parametrize(
    "text",
    [
        ruleset(chain("drop")),
        ruleset(chain(), rule(ACCEPT, {"accept": None}), rule({"counter": {"packets": 1, "bytes": 2}}, {"drop": None})),
        ruleset(chain(), rule({"log": {"prefix": "no "}}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}})),
        ruleset(chain("drop", family="ip"), chain("drop", family="ip6")),
    ],
)
def test_nftables_that_refuses_what_no_rule_takes_is_on(text: str) -> None:
    assert parse_nft(text) == BOTH
    assert on({NFT: text}) is True


@pytest.mark.parametrize(
    "text",
    [
        ruleset(),
        OPEN,
        ruleset(chain("drop", hook="forward"), chain("drop", hook="output")),
        ruleset(chain(), rule(ACCEPT, {"drop": None})),
        ruleset(chain(), rule({"drop": None}), rule({"accept": None})),
        ruleset(chain(), rule({"drop": None}, family="ip")),
        ruleset(chain("drop", family="bridge")),
    ],
)
def test_nftables_that_takes_what_no_rule_names_is_off(text: str) -> None:
    assert parse_nft(text) == frozenset()
    assert on({NFT: text}) is False


def test_guard_of_ipv4_alone_is_off_where_ipv6_is_spoken() -> None:
    text = ruleset(chain("drop", family="ip"))
    assert on({NFT: text}, IPV6) is False
    assert on({NFT: text}, NO_IPV6) is True
    assert on({NFT: text}, {}) is False


def test_ufw_and_firewalld_are_on_where_they_say_so() -> None:
    assert on({"ufw status verbose": UFW}) is True
    assert on({"firewall-cmd --state": "running\n"}) is True
    assert parse_ufw("Status: inactive\n") == frozenset()
    assert parse_ufw(UFW.replace("deny (incoming)", "allow (incoming)")) == frozenset()
    assert parse_firewalld("not running\n") == frozenset()


def test_older_iptables_are_looked_at_too() -> None:
    drop = "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n"
    assert on({NFT: OPEN, "iptables -S INPUT": drop, "ip6tables -S INPUT": drop}) is True
    assert on({NFT: OPEN, "iptables -S INPUT": drop, "ip6tables -S INPUT": "-P INPUT ACCEPT\n"}) is False


def test_what_cannot_be_read_is_unknown() -> None:
    found = firewall(RecordedMachine(commands={"firewall-cmd --state": "not running\n"}))
    assert found.value is None
    assert "nft is missing" in found.how
    # the kernel has rules of the older kind, and nothing here reads them
    assert on({NFT: OPEN}, folders={"/proc/net": ("ip_tables_names", "tcp")}) is None
    assert on({NFT: OPEN}, folders={"/proc/net": ("tcp",)}) is False


@pytest.mark.parametrize(
    ("text", "guards"),
    [
        ("-P INPUT DROP\n", True),
        (
            "-P INPUT ACCEPT\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n-A INPUT -j REJECT --reject-with x\n",
            True,
        ),
        ("-P INPUT ACCEPT\n", False),
        ("-P INPUT ACCEPT\n-A INPUT -p tcp -j DROP\n", False),
        ('-P INPUT ACCEPT\n-A INPUT -m comment --comment "-j DROP" -j ACCEPT\n', False),
    ],
)
def test_iptables_by_policy_and_last_rule(text: str, guards: bool) -> None:
    assert parse_iptables(text) is guards


@given(
    st.text()
    | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
        json.dumps
    )
)
def test_anything_else_is_unknown_and_never_on(text: str) -> None:
    for parse in (parse_nft, parse_iptables):
        with pytest.raises(UnknownError):
            parse(text)
    assert parse_ufw(text) == frozenset()


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["chain", "rule"]),
            st.dictionaries(st.sampled_from(["family", "table", "name", "chain", "hook", "expr"]), st.text()),
        )
    )
)
def test_rulesets_of_odd_members_are_unknown_or_off(entries: list[dict[str, Any]]) -> None:
    with suppress(UnknownError):
        assert parse_nft(json.dumps({"nftables": entries})) == frozenset()
