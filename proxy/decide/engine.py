"""What puts policies into force: an engine of either kind, and who watches that it comes back."""

from __future__ import annotations

from typing import Protocol

from proxy.decide.prepared import Prepared
from proxy.model import JsonObject, PolicyDigest, Verdict


class Engine(Protocol):
    """The embedded engine, or the OPA server. Which policies it is to use is said by :meth:`load`."""

    async def load(self, prepared: Prepared) -> None:
        """From now on verdicts are by these policies; returns once they are.

        :raises PolicyInvalidError: they do not compile; the ones before stay in force
        """
        ...

    async def decide(self, policy_input: JsonObject) -> Verdict:
        """See ``ports.PolicyEngine``. The verdict names the policies that gave it.

        :raises PolicyUnavailableError: nothing is loaded, undefined, malformed, late, or no answer
        """
        ...

    async def visible(self, policy_input: JsonObject) -> frozenset[int]:
        """See ``ports.PolicyEngine``.

        :raises PolicyUnavailableError: as for :meth:`decide`
        """
        ...

    async def close(self) -> None: ...


class Pulse(Protocol):
    """Tells a supervisor that the engine is at work, in case it never ends."""

    def began(self, digest: PolicyDigest) -> None: ...

    def ended(self) -> None: ...
