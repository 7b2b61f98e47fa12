"""A node that tells the truth but for one word."""

from __future__ import annotations

from collections.abc import Callable

from tests.anchor.between import Between


class LyingNode(Between):
    """Before a real one. ``word`` becomes ``other`` wherever it answers, or with ``asked`` wherever it is asked."""

    def __init__(self, target: str, word: str, other: str, *, asked: bool = False) -> None:
        self.lies = 0
        self._word, self._other, self._asked = word.encode(), other.encode(), asked
        super().__init__(target, self._pass_on)

    def _pass_on(self, question: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        return ask(self._told(question)) if self._asked else self._told(ask(question))

    def _told(self, text: bytes) -> bytes:
        self.lies += text.count(self._word)
        return text.replace(self._word, self._other)
