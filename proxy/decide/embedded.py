"""Rego in this process: regorus, one prepared engine.

It cannot be interrupted and holds the interpreter lock, so only policies that a child process has tried
(``candidate.py``) are given to a worker. ``set_input_json`` with orjson's output and ``eval_rule_as_json`` is the
fastest correct way in and out that was measured; the engine computes a rule once an evaluation.
"""

from __future__ import annotations

import orjson
import regorus

from proxy.decide.calls import check_calls
from proxy.decide.policies import PolicySet
from proxy.decide.verdict import parse_verdict, parse_visible
from proxy.errors import PolicyInvalidError, PolicyUnavailableError
from proxy.model import JsonObject, PolicyDigest, Verdict

DECISION = "data.dicomweb.authz.decision"
VISIBLE = "data.dicomweb.authz.visible"


class EmbeddedEngine:
    """One set of policies, compiled. Its digest goes into every verdict it gives.

    Use it on the thread that made it: the library panics on any other.
    """

    generation = 0

    def __init__(self, policies: PolicySet) -> None:
        """Compile.

        :raises PolicyInvalidError: a module does not parse, or calls what it may not; the message names the file
        """
        self.digest: PolicyDigest = policies.digest
        self._engine = regorus.Engine()
        self._engine.set_gather_prints(True)
        try:
            for path, text in policies.modules():
                self._engine.add_policy(path, text)
            check_calls(orjson.loads(self._engine.get_ast_as_json()), policies.builtins())
            self._engine.add_data_json(policies.data())
        except RuntimeError as error:
            raise PolicyInvalidError(_brief(error)) from error

    async def decide(self, policy_input: JsonObject) -> Verdict:
        """See ``ports.PolicyEngine``; runs on the loop's own thread, since handing over costs more than deciding."""
        return self.decide_now(policy_input)

    def decide_now(self, policy_input: JsonObject) -> Verdict:
        """One evaluation of ``decision``.

        :raises PolicyUnavailableError: undefined, malformed, or an error of evaluation
        """
        return parse_verdict(self._evaluate(DECISION, policy_input), self.digest)

    def visible_now(self, policy_input: JsonObject) -> frozenset[int]:
        """Indices into ``rows`` of what the subject may see.

        :raises PolicyUnavailableError: as for :meth:`decide_now`
        """
        rows = policy_input.get("rows")
        return parse_visible(self._evaluate(VISIBLE, policy_input), len(rows) if isinstance(rows, list) else 0)

    def _evaluate(self, rule: str, policy_input: JsonObject) -> str:
        try:
            self._engine.set_input_json(orjson.dumps(policy_input).decode())
            result: str = self._engine.eval_rule_as_json(rule)
        except (RuntimeError, TypeError) as error:
            raise PolicyUnavailableError(_brief(error)) from error
        except BaseException as error:
            # A panic of the native engine is no Exception. Nothing here awaits, so all else that is none is a signal.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise PolicyUnavailableError("the engine panicked") from error
        return result


def _brief(error: Exception) -> str:
    """The engine's message on one line, without its stack."""
    return " ".join(str(error).partition("Stack backtrace")[0].split()) or type(error).__name__
