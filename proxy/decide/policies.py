"""Reads a folder of policies as one value: what is tried, compiled and named by the digest are the same bytes.

What counts: every ``*.rego`` but tests, ``data/*.json``, ``capabilities.json``. Names that begin with a dot or end with
``~`` are an editor's and do not count. The folder itself may be a link, configuration names it; nothing in it may be.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from proxy.errors import PolicyInvalidError
from proxy.model import PolicyDigest

MAX_FILES: Final = 512
MAX_FILE_BYTES: Final = 1 << 20
MAX_TOTAL_BYTES: Final = 8 << 20
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


def read_policies(folder: Path) -> PolicySet:
    """All that counts in a folder.

    :raises PolicyInvalidError: it cannot be read, holds a link, or more than is reasonable
    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        for path in _walk(folder, ""):
            content = _read(folder / path, path)
            total += len(content)
            if len(files) >= MAX_FILES or total > MAX_TOTAL_BYTES:
                raise PolicyInvalidError(
                    f"{path}: the folder holds more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes"
                )
            files[path] = content
    except OSError as error:
        raise PolicyInvalidError(f"{error.filename or folder}: {error.strerror}") from error
    if not any(path.endswith(".rego") for path in files):
        raise PolicyInvalidError(f"{folder}: holds no policy")
    return PolicySet(files=files)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder / prefix) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = prefix + entry.name
        if entry.name.startswith(".") or entry.name.endswith("~"):
            continue
        if entry.is_symlink():
            raise PolicyInvalidError(f"{path}: is a symbolic link")
        if entry.is_dir(follow_symlinks=False):
            if prefix == "data/":
                raise PolicyInvalidError(f"{path}: data has no folders")
            yield from _walk(folder, f"{path}/")
        elif _counts(path):
            yield path


def _counts(path: str) -> bool:
    if path.startswith("data/"):
        if not path.endswith(".json"):
            raise PolicyInvalidError(f"{path}: data is JSON in files named *.json")
        return True
    return path == CAPABILITIES or (path.endswith(".rego") and not path.endswith("_test.rego"))


def _read(path: Path, name: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PolicyInvalidError(f"{name}: is not a regular file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise PolicyInvalidError(f"{name}: is larger than {MAX_FILE_BYTES} bytes")
    return content


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
