"""A node that does what it is asked, and whose reply is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.anchor.between import Between


class LossyProxy(Between):
    def __init__(self, target: str) -> None:
        self.dropped = 0
        self._seen = 0
        self._method = ""
        self._every = 0
        super().__init__(target, self._pass_on)

    def drop(self, method: str, every: int) -> None:
        """Lose each ``every``-th reply to ``method``; zero loses none."""
        self._method, self._every, self._seen = method, every, 0

    def _pass_on(self, question: bytes, ask: Callable[[bytes], bytes]) -> bytes | None:
        answer = ask(question)
        return None if self._loses(json.loads(question)["method"]) else answer

    def _loses(self, method: str) -> bool:
        if not self._every or method != self._method:
            return False
        self._seen += 1
        if self._seen % self._every:
            return False
        self.dropped += 1
        return True
