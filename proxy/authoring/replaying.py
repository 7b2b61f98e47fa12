"""``policy replay``: what candidate policies would have said of what was recorded. Pure but for the engine.

A record that never came to policy says nothing of policy, so these are counted apart: what the proxy refused before
(grammar, certificate), what got no verdict (engine late or broken), and what policy allowed and the proxy could not do
(an obligation that cannot be met). Rows of a search are not asked again: their attributes are not in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.decide.metadata import BY_POLICY
from proxy.errors import PolicyUnavailableError
from proxy.model import Action, JsonObject, Kind, PolicyReason, Reason, Verdict

Ask = Callable[[JsonObject], Verdict]

AFTER_POLICY: Final = frozenset(reason.value for reason in Reason) - {reason.value for reason in BY_POLICY}
"""Reasons that no policy gives: the proxy's own, or of a verdict that was narrowed."""
UNCHANGED: Final = ("allow->allow", "deny->deny")


@dataclass(slots=True)
class Replay:
    """Counts, as they come to be."""

    examples: int = 5
    """How many are kept for each change and reason."""
    changes: Counter[str] = field(default_factory=Counter)
    """``allow->deny`` and the like."""
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    """By change: codes that came (``allow->deny``, ``deny->deny``) or went (``deny->allow``)."""
    obligations: Counter[str] = field(default_factory=Counter)
    """Of ``allow->allow``: ``+mask`` for one that came, ``-mask`` for one that went."""
    shown: list[JsonObject] = field(default_factory=list)
    searches: int = 0
    before_policy: Counter[str] = field(default_factory=Counter)
    without_verdict: Counter[str] = field(default_factory=Counter)
    unmet: Counter[str] = field(default_factory=Counter)
    unmet_now: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    """Candidates without a verdict, by why; they count as denials."""
    _kept: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        return self.changes.total() + self.unmet.total()

    @property
    def different(self) -> int:
        return self.changes["allow->deny"] + self.changes["deny->allow"]

    def add(self, body: Mapping[str, Any], ask: Ask) -> None:
        """One decision or part."""
        verdict, policy_input = body["verdict"], body["input"]
        if body["kind"] == Kind.DECISION and not body["asked"]:
            self.before_policy.update(verdict["reasons"])
        elif not verdict["policy"]:
            self.without_verdict.update(verdict["reasons"])
        else:
            now = self._ask(policy_input, ask)
            if policy_input["request"]["action"] == Action.SEARCH:
                self.searches += 1
            if narrowed(verdict):
                self.unmet.update(verdict["reasons"])
                self.unmet_now["allow" if now.allow else "deny"] += 1
            elif now.allow and verdict["allow"] and not now.obligations and not verdict["obligations"]:
                self.changes["allow->allow"] += 1  # nine of ten, at no further cost
            else:
                self._compare(body, verdict, now)

    def _ask(self, policy_input: JsonObject, ask: Ask) -> Verdict:
        try:
            return ask(policy_input)
        except PolicyUnavailableError as error:
            self.failed[error.detail] += 1
            return Verdict.denied(error.code)

    def _compare(self, body: Mapping[str, Any], before: Mapping[str, Any], now: Verdict) -> None:
        change = f"{_word(before['allow'])}->{_word(now.allow)}"
        self.changes[change] += 1
        if change == "allow->allow":
            came, went = obligations_changed(before["obligations"], now)
            for sign, bodies in (("+", came), ("-", went)):
                self.obligations.update({f"{sign}{orjson.loads(each)['type']}" for each in bodies})
            if came or went:
                self._example("obligations", "", body, now)
            return
        told = before["reasons"] if change == "deny->allow" else now.reasons
        if change == "deny->deny":
            if tuple(before["reasons"]) == now.reasons:
                return
            told = sorted(set(now.reasons) ^ set(before["reasons"]))
        self.reasons.setdefault(change, Counter()).update(told)
        for code in told:
            self._example(change, code, body, now)

    def _example(self, change: str, code: str, body: Mapping[str, Any], now: Verdict) -> None:
        self._kept[change, code] += 1
        if self._kept[change, code] <= self.examples:
            self.shown.append({"change": change, "reason": code or None, **described(body), "now": list(now.reasons)})

    def to_wire(self, known: Mapping[str, PolicyReason]) -> JsonObject:
        """:param known: reasons of the candidate"""
        return {
            "asked": self.asked,
            "changes": dict(self.changes),
            "reasons": {
                change: [
                    {"code": code, "rule": known[code].rule if code in known else None, "count": count}
                    for code, count in codes.most_common()
                ]
                for change, codes in self.reasons.items()
            },
            "obligations": dict(self.obligations),
            "examples": list(self.shown),
            "searches": self.searches,
            "before_policy": dict(self.before_policy),
            "without_verdict": dict(self.without_verdict),
            "unmet": dict(self.unmet),
            "unmet_now": dict(self.unmet_now),
            "failed": dict(self.failed),
        }


def narrowed(verdict: Mapping[str, Any]) -> bool:
    """Policy allowed it, and the proxy could not do what came with that."""
    return not verdict["allow"] and AFTER_POLICY.issuperset(verdict["reasons"])


def obligations_changed(before: list[Any], now: Verdict) -> tuple[set[bytes], set[bytes]]:
    """Those that came and those that went, each as canonical JSON."""
    old, new = set(map(_canonical, before)), {_canonical(dict(each.body)) for each in now.obligations}
    return new - old, old - new


def described(body: Mapping[str, Any]) -> JsonObject:
    """Which decision it was, by ids and UIDs: who reads examples need not see patients."""
    asked, subject = body["input"]["request"], body["input"]["subject"]
    user = subject.get("user")
    return {
        "decision": body["id"],
        "part": body.get("part"),
        "time": body["time"],
        "action": asked["action"],
        "study": asked["study"],
        "series": asked["series"],
        "instance": asked["instance"],
        "device": subject["certificate"]["name"],
        "user": user["id"] if isinstance(user, dict) else None,
        "before": list(body["verdict"]["reasons"]),
    }


def _word(allow: bool) -> str:
    return "allow" if allow else "deny"


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
