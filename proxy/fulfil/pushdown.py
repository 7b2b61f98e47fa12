"""``match`` obligations: asked of the archive where it answers the same, enforced on every row either way. Pure.

Pushing down is only for speed: the archive looks through fewer rows. It is done where a test on the real archive shows
that a list means what the row rule means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from proxy.fulfil.uids import STUDY, is_uid
from proxy.model import Obligation, Query, ResourceContext, StudyUid

PATIENT_ID: Final = "00100020"
MAX_LIST: Final = 4096
"""Characters of the longest list that is pushed down: the target of a request must stay within what archives take."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


def _is_plain(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None


_EXACT: Final[dict[str, Callable[[str], bool]]] = {PATIENT_ID: _is_plain, STUDY: is_uid}
"""Attributes that can be pushed down, and which values an archive takes for nothing but themselves."""


def understood(obligation: Obligation) -> bool:
    """Whether a ``match`` is of the form of the contract and on an attribute that can be enforced."""
    attribute, values = obligation.body.get("attribute"), obligation.body.get("values")
    return (
        type(attribute) is str
        and attribute in _EXACT
        and type(values) is list
        and bool(values)
        and all(type(value) is str and value for value in values)
    )


def pushdown(query: Query, obligations: Iterable[Obligation]) -> Query | None:
    """The query narrowed to what every ``match`` lets through; ``None`` where no row can match.

    :raises ValueError: a ``match`` is not of the form of the contract
    """
    asked = dict(query.match)
    for attribute, allowed in _demands(obligations):
        exact = _EXACT[attribute]
        if not all(map(exact, allowed)):
            continue
        if attribute in asked:
            own = asked[attribute].split(",") if attribute == STUDY else [asked[attribute]]
            if not all(map(exact, own)):
                continue
            if allowed.isdisjoint(own):
                if _differ_in_case_only(allowed, own):
                    continue
                return None
            allowed = allowed.intersection(own)
        joined = ",".join(sorted(allowed))
        if len(joined) <= MAX_LIST:
            asked[attribute] = joined
    return replace(query, match=tuple(sorted(asked.items())))


def matches(resource: ResourceContext, study: StudyUid, obligations: Iterable[Obligation]) -> bool:
    """Whether a row is within what every ``match`` lets through.

    :raises ValueError: a ``match`` is not of the form of the contract
    """
    for attribute, allowed in _demands(obligations):
        if attribute == STUDY:
            value: str | None = study
        else:
            value = resource.patient_id if resource.known else None
        if value is None or value.rstrip(" ") not in allowed:
            return False
    return True


def _differ_in_case_only(allowed: frozenset[str], own: list[str]) -> bool:
    """Orthanc takes ``p1`` for ``P1``: then it is left to the archive what the client's own value finds."""
    return not {value.lower() for value in allowed}.isdisjoint(value.lower() for value in own)


def _demands(obligations: Iterable[Obligation]) -> Iterator[tuple[str, frozenset[str]]]:
    for obligation in obligations:
        if obligation.type != "match":
            continue
        if not understood(obligation):
            raise ValueError("a match that this proxy does not understand")
        values: Any = obligation.body["values"]
        yield str(obligation.body["attribute"]), frozenset(values)
