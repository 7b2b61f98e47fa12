"""``policy replay --recorded``: every decision made again by the very policies that made it.

Equal are verdict, reasons and obligations. Where the proxy narrowed an allow (an obligation it could not meet), the
record holds the proxy's reason, and what can be said is that policy allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import LRUCache

from proxy.authoring.loading import Loaded, loaded
from proxy.authoring.replaying import described, narrowed, obligations_changed
from proxy.decide.policies import Kept
from proxy.errors import PolicyInvalidError, PolicyUnavailableError
from proxy.model import JsonObject, Kind, PolicyDigest, Verdict

ENGINES: Final = 8
"""Sets of policies loaded at once."""


@dataclass(slots=True)
class Audit:
    kept: Kept
    examples: int = 20
    checked: int = 0
    before_policy: int = 0
    without_verdict: int = 0
    different: int = 0
    shown: list[JsonObject] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """By digest, why the set cannot be asked."""
    unchecked: Counter[str] = field(default_factory=Counter)
    """By digest, decisions of a set that is missing."""
    sets: set[str] = field(default_factory=set)
    _engines: LRUCache[str, Loaded] = field(default_factory=lambda: LRUCache(ENGINES))

    @property
    def clean(self) -> bool:
        return not self.different and not self.missing

    def add(self, body: Mapping[str, Any]) -> None:
        """One decision or part."""
        verdict = body["verdict"]
        digest = verdict["policy"]
        if body["kind"] == Kind.DECISION and not body["asked"]:
            self.before_policy += 1
        elif not digest:
            self.without_verdict += 1
        elif (engine := self._engine(digest)) is None:
            self.unchecked[digest] += 1
        else:
            self.checked += 1
            difference = _difference(engine, body["input"], verdict)
            if difference:
                self.different += 1
                if len(self.shown) < self.examples:
                    self.shown.append({**described(body), "policy": digest, "difference": difference})

    def _engine(self, digest: str) -> Loaded | None:
        found = self._engines.get(digest)
        if found is None and digest not in self.missing:
            try:
                found = self._engines[digest] = loaded(self.kept.read(PolicyDigest(digest)))
                self.sets.add(digest)
            except PolicyInvalidError as error:
                self.missing[digest] = error.detail
        return found

    def to_wire(self) -> JsonObject:
        return {
            "clean": self.clean,
            "checked": self.checked,
            "different": self.different,
            "examples": list(self.shown),
            "sets": [*sorted(self.sets)],
            "missing": {
                digest: {"why": why, "decisions": self.unchecked[digest]} for digest, why in self.missing.items()
            },
            "before_policy": self.before_policy,
            "without_verdict": self.without_verdict,
        }


def _difference(engine: Loaded, policy_input: JsonObject, recorded: Mapping[str, Any]) -> str:
    try:
        now = engine.engine.decide_now(policy_input)
    except PolicyUnavailableError as error:
        return f"its policies give no verdict now: {error.detail}"
    if now.allow != recorded["allow"]:
        if now.allow and narrowed(recorded):
            return ""
        return f"recorded {_word(recorded['allow'])}, and its policies say {_word(now.allow)}"
    return _details(now, recorded)


def _details(now: Verdict, recorded: Mapping[str, Any]) -> str:
    if list(now.reasons) != recorded["reasons"]:
        return f"recorded the reasons {recorded['reasons']}, and its policies give {list(now.reasons)}"
    if any(obligations_changed(recorded["obligations"], now)):
        return "recorded other obligations than its policies give"
    return ""


def _word(allow: bool) -> str:
    return "allow" if allow else "deny"
