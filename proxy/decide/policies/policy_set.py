"""A set of policies as one value: what is tried, compiled and named by the digest is the same. Pure.

The digest is over what policies mean to an engine and not over how they were carried, so a set has one digest whether
it came from a folder or a bundle:

    SHA-256( "dicomward/policies/v2" || for each piece: its length in eight bytes, then the piece )

and the pieces are: path and text of each module, in the order of paths; the merged data as canonical JSON (members
sorted, no white space); the names of the built-ins that policies may call, sorted, one a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from proxy.decide.policies.permitted import PERMITTED
from proxy.decide.policies.plain_json import parse_object
from proxy.errors import PolicyInvalidError
from proxy.model import JsonObject, JsonValue, PolicyDigest

CAPABILITIES: Final = "capabilities.json"
DATA: Final = "data.json"
MAX_FILES: Final = 512
MAX_FILE_BYTES: Final = 16 << 20
MAX_TOTAL_BYTES: Final = 32 << 20

_DOMAIN: Final = b"dicomward/policies/v2"
_RESERVED: Final = "dicomweb"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """Files by path with ``/``, as read at one moment: ``*.rego``, ``data/*.json`` or ``data.json``, and
    ``capabilities.json``. Whether they compile is not judged yet."""

    files: Mapping[str, bytes]
    digest: PolicyDigest = field(init=False)
    _modules: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)
    _data: str = field(init=False, repr=False, compare=False)
    _builtins: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """:raises PolicyInvalidError: a name is no plain path; a module is not UTF-8; data is no JSON that every engine
        reads alike, or two files define the same member; the list of built-ins is missing or longer than
        ``permitted.py``"""
        for path in self.files:
            if not is_plain(path):
                raise PolicyInvalidError(f"{path[:200]!a}: is no plain path, so what is kept of it could not be read")
        modules, data, builtins = tuple(_modules(self.files)), _data(self.files), _builtins(self.files)
        object.__setattr__(self, "_modules", modules)
        object.__setattr__(self, "_data", data.decode())
        object.__setattr__(self, "_builtins", builtins)
        object.__setattr__(self, "digest", _digest(modules, data, builtins))

    def modules(self) -> Iterator[tuple[str, str]]:
        """Path and text of each Rego module, sorted by path."""
        return iter(self._modules)

    def data(self) -> str:
        """The members of all data files as one JSON object, in canonical form."""
        return self._data

    def builtins(self) -> frozenset[str]:
        """Names of the built-ins that policies may call."""
        return self._builtins

    def capabilities(self) -> bytes:
        """The list of built-ins as it was read."""
        return self.files[CAPABILITIES]


def is_plain(path: str) -> bool:
    """Whether it leads to one place within a folder or an archive, and shows as what it is."""
    return path.isprintable() and "\\" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _modules(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for path in sorted(files):
        if path.endswith(".rego"):
            try:
                yield path, files[path].decode()
            except UnicodeDecodeError as error:
                raise PolicyInvalidError(f"{path}: not UTF-8") from error


def _data(files: Mapping[str, bytes]) -> bytes:
    merged: JsonObject = {}
    for path in sorted(files):
        if path != DATA and not path.startswith("data/"):
            continue
        for key, value in parse_object(path, files[path]).items():
            if key in merged or key == _RESERVED:
                raise PolicyInvalidError(f"{path}: {key} is defined elsewhere too")
            merged[key] = value
    try:
        return orjson.dumps(merged, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise PolicyInvalidError(f"data: {error}") from error


def _builtins(files: Mapping[str, bytes]) -> frozenset[str]:
    if CAPABILITIES not in files:
        raise PolicyInvalidError(f"{CAPABILITIES}: missing")
    listed: JsonValue = parse_object(CAPABILITIES, files[CAPABILITIES]).get("builtins")
    if not isinstance(listed, list):
        raise PolicyInvalidError(f"{CAPABILITIES}: has no list of built-ins")
    names = set[str]()
    for each in listed:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name.isascii() or not name.isprintable():
            raise PolicyInvalidError(f"{CAPABILITIES}: has no list of built-ins")
        names.add(name)
    if beyond := sorted(names - PERMITTED):
        raise PolicyInvalidError(f"{CAPABILITIES}: policies may never call {', '.join(beyond[:5])[:200]}")
    return frozenset(names)


def _digest(modules: tuple[tuple[str, str], ...], data: bytes, builtins: frozenset[str]) -> PolicyDigest:
    state = hashlib.sha256(_DOMAIN)
    pieces = [piece.encode() for module in modules for piece in module]
    for piece in (*pieces, data, "\n".join(sorted(builtins)).encode()):
        state.update(len(piece).to_bytes(8, "big"))
        state.update(piece)
    return PolicyDigest(state.hexdigest())
