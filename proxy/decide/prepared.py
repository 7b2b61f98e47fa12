"""Policies made ready for an engine.

What follows from data alone is worked out once and not by every decision: the packages below
``data.dicomweb.prepared``, which never look at ``input``, are evaluated when policies are loaded, and their outcome
takes their place as data. Sections of data that only they read are left out then. Both engines are given the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from proxy.decide.metadata import reasons_of
from proxy.decide.policies import PolicySet
from proxy.model import PolicyDigest, PolicyReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    policies: PolicySet
    """The source, by whose digest everything here goes."""
    modules: tuple[tuple[str, str], ...]
    """Path and text of what is compiled."""
    data: str
    """One JSON object: what is loaded beside."""
    builtins: frozenset[str]
    reasons: Mapping[str, PolicyReason]
    as_of: datetime
    """When the policies were issued, or read where nobody says so."""

    @property
    def digest(self) -> PolicyDigest:
        return self.policies.digest


def prepare(policies: PolicySet, as_of: datetime) -> Prepared:
    """:raises PolicyInvalidError: something of the set cannot be read"""
    modules = tuple(policies.modules())
    return Prepared(
        policies=policies,
        modules=modules,
        data=policies.data(),
        builtins=policies.builtins(),
        reasons=reasons_of(modules),
        as_of=as_of,
    )
