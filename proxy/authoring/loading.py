"""Policies that nobody has tried yet, on an engine of this process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from proxy.decide.candidate import try_in_child
from proxy.decide.embedded import EmbeddedEngine
from proxy.decide.policies import PolicySet
from proxy.decide.prepared import Prepared

TRIAL_S: Final = 30.0
"""Longer than a site gives a candidate: this machine may be a laptop, and nobody waits at an archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    prepared: Prepared
    engine: EmbeddedEngine


def loaded(policies: PolicySet) -> Loaded:
    """Prepare and try in a child process, then compile here.

    :raises PolicyInvalidError: they do not compile, answer nonsense or do not end
    :raises PolicyUnavailableError: no process could be started
    """
    prepared = try_in_child(policies, datetime.now(UTC), TRIAL_S)
    return Loaded(prepared=prepared, engine=EmbeddedEngine(prepared))
