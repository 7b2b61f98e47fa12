"""Every set of policies that was in force, by its digest, so that any decision can be made again by the same policies.

``sets/<digest>.tar.gz`` holds the files at their paths; whoever unpacks it can ask OPA the same. ``history.jsonl``
tells what came into force when, and ``quarantined/<digest>.json`` why a set must not. Workers share the folder: files
are written beside their place and moved there, and a line of the history is one write. Sets may name patients
(consents): folder and files are their owner's alone. Nothing is removed here; docs/operations.md says what may be.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from proxy.decide.policies.policy_set import PolicySet
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.model import PolicyDigest, wire_time

_LONGEST: Final = 64 << 20
_SIGN: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One line of the history."""

    digest: PolicyDigest
    as_of: str
    at: str


class Kept:
    def __init__(self, folder: Path) -> None:
        """:raises ConfigurationError: the folder cannot be made"""
        self._sets, self._quarantined = folder / "sets", folder / "quarantined"
        self._history = folder / "history.jsonl"
        try:
            for path in (folder, self._sets, self._quarantined):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"policy.store: {folder}: {error.strerror}") from error

    def keep(self, policies: PolicySet) -> None:
        """:raises OSError: it cannot be written"""
        path = self._path(policies.digest)
        if path.exists():
            return
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
            for name in sorted(policies.files):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(policies.files[name]), 0o600
                archive.addfile(entry, io.BytesIO(policies.files[name]))
        self._write(path, packed.getvalue())

    def came_into_force(self, digest: PolicyDigest, as_of: datetime, at: datetime) -> None:
        """:raises OSError: it cannot be written"""
        line = orjson.dumps({"digest": digest, "as_of": wire_time(as_of), "at": wire_time(at)}) + b"\n"
        descriptor = os.open(self._history, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def history(self) -> list[InForce]:
        """What came into force, oldest first. A line that was cut off is left out."""
        try:
            lines = self._history.read_bytes().splitlines()
        except OSError:
            return []
        return [told for line in lines if (told := _told(line)) is not None]

    def read(self, digest: PolicyDigest) -> PolicySet:
        """:raises PolicyInvalidError: it is not here, or is not what its name says"""
        try:
            with tarfile.open(self._path(digest), "r:gz") as archive:
                files: dict[str, bytes] = {}
                total = 0
                for entry in archive:
                    total += entry.size
                    content = archive.extractfile(entry) if entry.isreg() and total <= _LONGEST else None
                    if content is None:
                        raise PolicyInvalidError(f"policies {digest}: what is kept of them is no set of policies")
                    files[entry.name] = content.read()
        except (OSError, tarfile.TarError, EOFError) as error:
            raise PolicyInvalidError(f"policies {digest} are not kept here, or cannot be read") from error
        policies = PolicySet(files=files)
        if policies.digest != digest:
            raise PolicyInvalidError(f"policies {digest}: what is kept of them was changed")
        return policies

    def digests(self) -> Iterator[PolicyDigest]:
        for path in sorted(self._sets.glob("*.tar.gz")):
            yield PolicyDigest(path.name.removesuffix(".tar.gz"))

    def quarantine(self, digest: PolicyDigest, why: str, at: datetime) -> None:
        """:raises OSError: it cannot be written"""
        self._write(self._quarantined / f"{_checked(digest)}.json", orjson.dumps({"why": why, "at": wire_time(at)}))

    def quarantined(self) -> frozenset[str]:
        return frozenset(path.stem for path in self._quarantined.glob("*.json"))

    def release(self, digest: PolicyDigest) -> None:
        """Let a set come into force again.

        :raises OSError: it is not in quarantine
        """
        (self._quarantined / f"{_checked(digest)}.json").unlink()

    def _path(self, digest: PolicyDigest) -> Path:
        return self._sets / f"{_checked(digest)}.tar.gz"

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _checked(digest: PolicyDigest) -> PolicyDigest:
    """:raises PolicyInvalidError: it is no digest, and could be a path"""
    if len(digest) != 64 or not _SIGN.issuperset(digest):
        raise PolicyInvalidError("a digest of policies is 64 lower-case hexadecimal digits")
    return digest


def _told(line: bytes) -> InForce | None:
    try:
        value = orjson.loads(line)
        return InForce(digest=PolicyDigest(value["digest"]), as_of=value["as_of"], at=value["at"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
