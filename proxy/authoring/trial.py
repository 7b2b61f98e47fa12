"""One decision as an author wants to see it: the verdict, which rules gave its reasons, and what did not hold."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.authoring.conditions import Condition, failing
from proxy.authoring.loading import Loaded
from proxy.errors import PolicyUnavailableError
from proxy.model import JsonObject, JsonValue, PolicyReason, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    verdict: Verdict
    reasons: tuple[PolicyReason, ...]
    """Of a denial, what is told of its reasons; a reason of the proxy's own has no rule."""
    conditions: tuple[Condition, ...]
    """Of a denial, the conditions of the decision that did not hold."""
    shown: bool | None
    """Of a search, whether it would show the object; ``None`` for what is no search."""
    failure: str
    """Why there is no verdict, where there is none: the proxy denies then."""

    def to_wire(self) -> JsonObject:
        reasons: list[JsonValue] = [
            {"code": each.code, "title": each.title, "remedy": each.remedy, "rule": each.rule} for each in self.reasons
        ]
        wire: JsonObject = {
            "allow": self.verdict.allow,
            "reasons": reasons,
            "obligations": [dict(each.body) for each in self.verdict.obligations],
            "conditions": [each.to_wire() for each in self.conditions],
            "policy": self.verdict.policy,
        }
        if self.shown is not None:
            wire["shown"] = self.shown
        if self.failure:
            wire["failure"] = self.failure
        return wire


def judge(loaded: Loaded, policy_input: JsonObject, rows: JsonObject | None = None) -> Outcome:
    """
    :param rows: of a search, the input of ``visible`` with one row
    """
    failure = ""
    try:
        verdict = loaded.engine.decide_now(policy_input)
        shown = None if rows is None else verdict.allow and bool(loaded.engine.visible_now(rows))
    except PolicyUnavailableError as error:
        verdict, shown, failure = Verdict.denied(error.code, policy=loaded.prepared.digest), None, error.detail
    return Outcome(
        verdict=verdict,
        reasons=tuple(_told(loaded, code) for code in verdict.reasons),
        conditions=() if verdict.allow else failing(loaded.prepared, policy_input),
        shown=shown,
        failure=failure,
    )


def _told(loaded: Loaded, code: str) -> PolicyReason:
    found = loaded.prepared.reasons.get(code)
    if found is not None:
        return found
    title = (
        "The policies give no verdict" if code == Reason.POLICY_UNAVAILABLE else "The proxy cannot meet an obligation"
    )
    return PolicyReason(code=code, title=title, remedy="Correct the policies: dicomward policy check.", rule="")
