"""Turns an engine's result into a ``Verdict``, or refuses it. Pure.

1. The result is JSON and an object with exactly ``allow``, ``reasons``, ``obligations``; undefined is none of that.
2. ``allow`` is a boolean; ``reasons`` are codes that the policies' METADATA tells of, sorted, each once, and empty if
   and only if ``allow``.
3. Each obligation has a type and exactly the members of that type. A type this proxy does not know cannot be met, so an
   allow that carries one becomes a denial, ``obligation-unknown``.
4. A mask names attributes by tag, keyword, value representation or group, each known to DICOM: a slip of the pen would
   leave in the answer what the mask was written to take out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Final

import orjson
from pydicom.datadict import RepeatersDictionary, keyword_dict  # type: ignore[attr-defined]
from pydicom.valuerep import STANDARD_VR

from proxy.decide.prepared import Prepared
from proxy.errors import PolicyUnavailableError
from proxy.model import MAX_INTEGER, JsonObject, Obligation, PolicyReason, Reason, Verdict

_KEYS: Final = frozenset({"allow", "reasons", "obligations"})
_TAG: Final = re.compile(r"[0-9A-F]{8}")
_KEYWORD: Final = re.compile(r"[A-Z][A-Za-z0-9]{1,63}")
_KEYWORDS: Final = keyword_dict.keys() | {entry[4] for tag, entry in RepeatersDictionary.items() if tag.count("x") <= 3}
"""Those of repeating groups (``OverlayData``, 60xx3000) among them."""
_GROUP: Final = re.compile(r"group:[0-9A-F]{4}")
_REPRESENTATIONS: Final = frozenset(f"VR:{vr}" for vr in STANDARD_VR)
_MAX_OBLIGATIONS: Final = 64


def parse_verdict(result: object, prepared: Prepared) -> Verdict:
    """Verdict of a ``decision``, from the value that its JSON is, by these policies.

    :raises PolicyUnavailableError: it is not a verdict
    """
    value = result
    if type(value) is not dict or value.keys() != _KEYS:
        raise PolicyUnavailableError("the decision is undefined or has other members than the contract's")
    allow, reasons, obligations = value["allow"], value["reasons"], value["obligations"]
    if type(allow) is not bool:
        raise PolicyUnavailableError("allow is not a boolean")
    codes = _reasons(reasons, prepared.reasons)
    if allow == bool(codes):
        raise PolicyUnavailableError("a decision allows, or it has reasons")
    if type(obligations) is not list or len(obligations) > _MAX_OBLIGATIONS:
        raise PolicyUnavailableError("obligations are not a list of reasonable length")
    parsed = tuple(_obligation(item) for item in obligations)
    if any(item.type not in _MEMBERS for item in parsed):
        codes, allow, parsed = tuple(sorted({*codes, Reason.OBLIGATION_UNKNOWN.value})), False, ()
    return Verdict(allow=allow, reasons=codes, obligations=parsed, policy=prepared.digest, policy_as_of=prepared.as_of)


def parse_visible(result: object, rows: int) -> frozenset[int]:
    """Indices of a ``visible``, from the value that its JSON is, each below ``rows``.

    :raises PolicyUnavailableError: it is not a list of such indices
    """
    value = result
    if type(value) is not list or not all(type(index) is int and 0 <= index < rows for index in value):
        raise PolicyUnavailableError("visible is not a list of row indices")
    return frozenset(value)


def load(result: str | bytes) -> object:
    """:raises PolicyUnavailableError: it is not JSON"""
    try:
        value: object = orjson.loads(result)
    except orjson.JSONDecodeError as error:
        raise PolicyUnavailableError("the result is not JSON") from error
    return value


def _reasons(value: object, known: Mapping[str, PolicyReason]) -> tuple[str, ...]:
    if type(value) is not list or not all(type(code) is str and code in known for code in value):
        raise PolicyUnavailableError("reasons are not a list of known codes")
    if any(first >= second for first, second in itertools.pairwise(value)):
        raise PolicyUnavailableError("reasons are not sorted, or one stands twice")
    return tuple(value)


def _obligation(value: object) -> Obligation:
    if type(value) is not dict or type(value.get("type")) is not str:
        raise PolicyUnavailableError("an obligation has no type")
    body: JsonObject = value
    kind: str = value["type"]
    members = _MEMBERS.get(kind)
    if members is not None and not members(body):
        raise PolicyUnavailableError(f"an obligation of type {kind} is malformed")
    return Obligation(type=kind, body=body)


def _bare(body: JsonObject) -> bool:
    return body.keys() == {"type"}


def _mask(body: JsonObject) -> bool:
    return {"type"} < body.keys() <= {"type", "attributes", "blank"} and all(
        _strings(selectors, _selects) for key, selectors in body.items() if key != "type"
    )


def _selects(selector: str) -> bool:
    return (
        selector == "private"
        or selector in _REPRESENTATIONS
        or _TAG.fullmatch(selector) is not None
        or _GROUP.fullmatch(selector) is not None
        or (_KEYWORD.fullmatch(selector) is not None and selector in _KEYWORDS)
    )


def _match(body: JsonObject) -> bool:
    attribute = body.get("attribute")
    return (
        body.keys() == {"type", "attribute", "values"}
        and type(attribute) is str
        and _TAG.fullmatch(attribute) is not None
        and _strings(body["values"], bool)
    )


def _limit(body: JsonObject) -> bool:
    return {"type"} < body.keys() <= {"type", "bytes", "seconds"} and all(
        type(n) is int and 0 < n <= MAX_INTEGER for key, n in body.items() if key != "type"
    )


def _strings(value: object, test: Callable[[str], object]) -> bool:
    return type(value) is list and bool(value) and all(type(item) is str and test(item) for item in value)


_MEMBERS: Final[Mapping[str, Callable[[JsonObject], bool]]] = {
    "seal": _bare,
    "filter_rows": _bare,
    "hide": _bare,
    "mask": _mask,
    "match": _match,
    "limit": _limit,
}
"""Obligation types of contract version 1 and what each consists of."""
