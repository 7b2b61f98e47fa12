"""Every set of policies that was in force, by its digest, so that any decision can be made again by the same policies.

``sets/<digest>.tar.gz`` holds the files at their paths; whoever unpacks it can ask OPA the same. ``history.jsonl``
tells what came into force when, and ``quarantined/<digest>.json`` why a set must not. Workers share the folder: files
are written beside their place and moved there, and a line of the history is one write. Sets may name patients
(consents): folder and files are their owner's alone. Nothing is removed here; docs/operations.md says what may be.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from proxy.decide.policies.archive import pack_files, unpack_files
from proxy.decide.policies.policy_set import PolicySet
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.model import PolicyDigest, wire_time

_SIGN: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One line of the history."""

    digest: PolicyDigest
    as_of: str
    at: str
    serial: int | None = None
    """Of the signed bundle that brought it."""


class Kept:
    def __init__(self, folder: Path, *, make: bool = True) -> None:
        """
        :param make: ``False`` for whoever reads alone: nothing is written, whatever the folder is
        :raises ConfigurationError: the folder cannot be made
        """
        self.folder = folder
        self._sets, self._quarantined = folder / "sets", folder / "quarantined"
        self._history = folder / "history.jsonl"
        if not make:
            return
        try:
            for path in (folder, self._sets, self._quarantined):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"policy.store: {folder}: {error.strerror}") from error

    def keep(self, policies: PolicySet) -> None:
        """Durable when it returns. What was damaged since is written again.

        :raises OSError: it cannot be written
        """
        path, packed = self._path(policies.digest), pack_files(policies.files)
        if not path.exists() or path.read_bytes() != packed:
            self._write(path, packed)

    def came_into_force(self, digest: PolicyDigest, as_of: datetime, at: datetime, serial: int | None = None) -> None:
        """Durable when it returns.

        :raises OSError: it cannot be written
        """
        told = {"digest": digest, "as_of": wire_time(as_of), "at": wire_time(at)}
        line = orjson.dumps(told if serial is None else told | {"serial": serial}) + b"\n"
        descriptor = os.open(self._history, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the line before was cut off: it must not take this one with it
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
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
            files = unpack_files(self._path(digest).read_bytes())
        except OSError as error:
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
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
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
        digest = _checked(PolicyDigest(value["digest"]))
        return InForce(digest=digest, as_of=str(value["as_of"]), at=str(value["at"]), serial=value.get("serial"))
    except (orjson.JSONDecodeError, KeyError, TypeError, PolicyInvalidError):
        return None
