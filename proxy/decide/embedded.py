"""Rego in this process: regorus, one prepared engine.

It cannot be interrupted and holds the interpreter lock, so only policies that a child process has tried
(``candidate.py``) are given to a worker. ``set_input_json`` with orjson's output and ``eval_rule_as_json`` is the
fastest correct way in and out that was measured; the engine computes a rule once an evaluation.
"""

from __future__ import annotations

from typing import Final

import orjson
import regorus
from cachetools import LRUCache

from proxy.decide.engine import Pulse
from proxy.decide.prepared import Prepared, brief
from proxy.decide.verdict import load, parse_verdict, parse_visible
from proxy.errors import PolicyInvalidError, PolicyUnavailableError
from proxy.model import JsonObject, Verdict

DECISION = "data.dicomweb.authz.decision"
VISIBLE = "data.dicomweb.authz.visible"
_VERDICTS: Final = 256
"""Results whose verdicts are kept: policies answer with few, and to read one costs a tenth of a decision."""


class EmbeddedEngine:
    """One set of policies, compiled. Its digest goes into every verdict it gives.

    Use it on the thread that made it: the library panics on any other.
    """

    def __init__(self, prepared: Prepared, pulse: Pulse | None = None) -> None:
        """Compile.

        :raises PolicyInvalidError: a module does not parse, or its data does not; the message names the file
        """
        self._prepared = prepared
        self._pulse = pulse
        self._verdicts: LRUCache[str, Verdict] = LRUCache(_VERDICTS)
        self._engine = regorus.Engine()
        self._engine.set_gather_prints(True)
        try:
            for path, text in prepared.modules:
                self._engine.add_policy(path, text)
            self._engine.add_data_json(prepared.data)
        except RuntimeError as error:
            raise PolicyInvalidError(brief(error)) from error

    def decide_now(self, policy_input: JsonObject) -> Verdict:
        """One evaluation of ``decision``.

        :raises PolicyUnavailableError: undefined, malformed, or an error of evaluation
        """
        result = self._evaluate(DECISION, policy_input)
        verdict = self._verdicts.get(result)
        if verdict is None:
            verdict = self._verdicts[result] = parse_verdict(load(result), self._prepared)
        return verdict

    def visible_now(self, policy_input: JsonObject) -> frozenset[int]:
        """Indices into ``rows`` of what the subject may see.

        :raises PolicyUnavailableError: as for :meth:`decide_now`
        """
        rows = policy_input.get("rows")
        return parse_visible(load(self._evaluate(VISIBLE, policy_input)), len(rows) if isinstance(rows, list) else 0)

    def _evaluate(self, rule: str, policy_input: JsonObject) -> str:
        if self._pulse is not None:
            self._pulse.began(self._prepared.digest)
        try:
            self._engine.set_input_json(orjson.dumps(policy_input).decode())
            result: str = self._engine.eval_rule_as_json(rule)
        except (RuntimeError, TypeError) as error:
            raise PolicyUnavailableError(brief(error)) from error
        except BaseException as error:
            # A panic of the native engine is no Exception. Nothing here awaits, so all else that is none is a signal.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise PolicyUnavailableError("the engine panicked") from error
        finally:
            if self._pulse is not None:
                self._pulse.ended()
        return result


class Embedded:
    """:class:`proxy.decide.engine.Engine` of this process: decides on the loop's own thread, since handing over costs
    more than deciding."""

    def __init__(self, pulse: Pulse | None = None) -> None:
        self._pulse = pulse
        self._engine: EmbeddedEngine | None = None

    async def load(self, prepared: Prepared) -> None:
        """Blocks while it compiles: an engine belongs to the thread that made it."""
        self._engine = EmbeddedEngine(prepared, self._pulse)

    async def decide(self, policy_input: JsonObject) -> Verdict:
        return self._loaded().decide_now(policy_input)

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        return self._loaded().visible_now(policy_input)

    async def close(self) -> None:
        self._engine = None

    def _loaded(self) -> EmbeddedEngine:
        if self._engine is None:
            raise PolicyUnavailableError("no policies are loaded")
        return self._engine
