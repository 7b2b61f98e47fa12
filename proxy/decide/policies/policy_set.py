"""A set of policies as one value: what is tried, compiled and named by the digest are the same bytes. Pure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from proxy.errors import PolicyInvalidError
from proxy.model import PolicyDigest

CAPABILITIES: Final = "capabilities.json"

_DOMAIN: Final = b"dicomward/policies/v1"
_RESERVED: Final = "dicomweb"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Files by path relative to the folder, with ``/``, as read at one moment. Nothing of them is judged yet."""

    files: Mapping[str, bytes]
    digest: PolicyDigest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self.files))

    def modules(self) -> Iterator[tuple[str, str]]:
        """Path and text of each Rego module, sorted by path.

        :raises PolicyInvalidError: one is not UTF-8
        """
        for path in sorted(self.files):
            if path.endswith(".rego"):
                try:
                    yield path, self.files[path].decode()
                except UnicodeDecodeError as error:
                    raise PolicyInvalidError(f"{path}: not UTF-8") from error

    def data(self) -> str:
        """The members of all data files as one JSON object.

        :raises PolicyInvalidError: a file is no JSON object, or two define the same member
        """
        merged: dict[str, object] = {}
        for path in sorted(self.files):
            if not path.startswith("data/"):
                continue
            for key, value in _json_object(path, self.files[path]).items():
                if key in merged or key == _RESERVED:
                    raise PolicyInvalidError(f"{path}: {key} is defined elsewhere too")
                merged[key] = value
        return orjson.dumps(merged).decode()

    def builtins(self) -> frozenset[str]:
        """Names of the built-ins that policies may call.

        :raises PolicyInvalidError: there is no such list
        """
        if CAPABILITIES not in self.files:
            raise PolicyInvalidError(f"{CAPABILITIES}: missing")
        listed = _json_object(CAPABILITIES, self.files[CAPABILITIES]).get("builtins")
        if not isinstance(listed, list) or not all(isinstance(b, dict) and "name" in b for b in listed):
            raise PolicyInvalidError(f"{CAPABILITIES}: has no list of built-ins")
        return frozenset(str(b["name"]) for b in listed)


def _json_object(path: str, content: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise PolicyInvalidError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise PolicyInvalidError(f"{path}: is not a JSON object")
    return value


def _digest(files: Mapping[str, bytes]) -> PolicyDigest:
    """SHA-256 over sorted paths and contents, each preceded by its length in eight bytes."""
    state = hashlib.sha256(_DOMAIN)
    for path in sorted(files, key=os.fsencode):
        for piece in (os.fsencode(path), files[path]):
            state.update(len(piece).to_bytes(8, "big"))
            state.update(piece)
    return PolicyDigest(state.hexdigest())
