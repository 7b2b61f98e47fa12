"""``firewall``: whether what comes in is refused unless a rule lets it in, for each IP version spoken here.

Known as such: ufw and firewalld where they say that they are on, nftables and iptables where the filter of incoming
packets drops or rejects what no rule took. Reading rules needs root: without it only firewalld can be told to be on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.agent.findings import Finding, Machine, UnknownError

NAME: Final = "firewall"
BOTH: Final = frozenset({"ip", "ip6"})
NONE: Final[frozenset[str]] = frozenset()
FAMILIES: Final[Mapping[str, frozenset[str]]] = {"inet": BOTH, "ip": frozenset({"ip"}), "ip6": frozenset({"ip6"})}
REFUSING: Final = ("drop", "reject")


def firewall(machine: Machine) -> Finding:
    guarded, doubts, spoken = set[str](), dict[str, str](), _spoken(machine)
    asked: tuple[tuple[str, Callable[[Machine], frozenset[str]]], ...] = (
        ("firewalld", _firewalld),
        ("ufw", _ufw),
        ("nft", _nft),
        ("iptables", _iptables),
    )
    for name, ask in asked:
        try:
            guarded |= ask(machine)
        except UnknownError as error:
            doubts[name] = str(error)
        if spoken <= guarded:
            return Finding(name=NAME, value=True, how=f"{name}: what comes in is refused unless a rule takes it")
    # firewalld and ufw write rules of nftables or iptables: who has read those has seen all there are.
    if "nft" in doubts or ("iptables" in doubts and _older_rules(machine)):
        return Finding(name=NAME, value=None, how="; ".join(doubts.values()))
    return Finding(name=NAME, value=False, how="nft: incoming packets are taken that no rule names")


def _spoken(machine: Machine) -> frozenset[str]:
    """The IP versions of this machine."""
    try:
        return BOTH if machine.read("/proc/net/if_inet6").strip() else frozenset({"ip"})
    except UnknownError:
        return BOTH


def _older_rules(machine: Machine) -> bool:
    """Whether there may be rules that nft does not show, of iptables before nftables."""
    try:
        return bool({"ip_tables_names", "ip6_tables_names"} & set(machine.names("/proc/net")))
    except UnknownError:
        return True


def _firewalld(machine: Machine) -> frozenset[str]:
    return parse_firewalld(machine.run(("firewall-cmd", "--state"), accepted=(0, 252)))


def _ufw(machine: Machine) -> frozenset[str]:
    return parse_ufw(machine.run(("ufw", "status", "verbose")))


def _nft(machine: Machine) -> frozenset[str]:
    return parse_nft(machine.run(("nft", "-j", "list", "ruleset")))


def _iptables(machine: Machine) -> frozenset[str]:
    four, six = (machine.run((command, "-S", "INPUT")) for command in ("iptables", "ip6tables"))
    return (frozenset({"ip"}) if parse_iptables(four) else NONE) | (frozenset({"ip6"}) if parse_iptables(six) else NONE)


def parse_firewalld(output: str) -> frozenset[str]:
    """The IP versions that it guards, by ``firewall-cmd --state`` (status 0 running, 252 not)."""
    return BOTH if output.strip() == "running" else NONE


def parse_ufw(output: str) -> frozenset[str]:
    """By ``ufw status verbose``: on, and refusing what comes in by default."""
    lines = [line.strip() for line in output.split("\n")]
    default = next((line for line in lines if line.startswith("Default:")), "")
    refuses = default.removeprefix("Default:").strip().startswith(("deny (incoming)", "reject (incoming)"))
    return BOTH if "Status: active" in lines and refuses else NONE


def parse_nft(output: str) -> frozenset[str]:
    """By ``nft -j list ruleset`` (libnftables-json(5)): the base chains of the input hook, their policy and last rule.

    :raises UnknownError: it is something else
    """
    try:
        listed = json.loads(output)["nftables"]
        entries = [one for one in listed if isinstance(one, dict)]
        chains = [one["chain"] for one in entries if "chain" in one]
        rules = [one["rule"] for one in entries if "rule" in one]
        guarding = [chain for chain in chains if chain.get("hook") == "input" and _guards(chain, rules)]
        return NONE.union(*(FAMILIES.get(chain["family"], NONE) for chain in guarding))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownError("nft printed what is not a ruleset") from error


def _guards(chain: Mapping[str, Any], rules: list[Any]) -> bool:
    if chain.get("policy") == "drop":
        return True
    own = [rule for rule in rules if (rule["family"], rule["table"], rule["chain"]) == _place(chain)]
    if not own:
        return False
    # Counters and logs decide nothing; any other expression before the verdict is a condition.
    last = [part for part in own[-1]["expr"] if not {"counter", "log"} & part.keys()]
    return len(last) == 1 and any(verdict in last[0] for verdict in REFUSING)


def _place(chain: Mapping[str, Any]) -> tuple[object, object, object]:
    return chain["family"], chain["table"], chain["name"]


def parse_iptables(output: str) -> bool:
    """By ``iptables -S INPUT``: policy, and last rule.

    :raises UnknownError: it is something else
    """
    lines = [line for line in output.split("\n") if line]
    if not lines or not lines[0].startswith("-P INPUT "):
        raise UnknownError("iptables printed no chain INPUT")
    if lines[0] in ("-P INPUT DROP", "-P INPUT REJECT"):
        return True
    try:
        words = shlex.split(lines[-1])
    except ValueError as error:
        raise UnknownError("iptables printed what is not a rule") from error
    return words[:3] == ["-A", "INPUT", "-j"] and words[3:4] in (["DROP"], ["REJECT"])
