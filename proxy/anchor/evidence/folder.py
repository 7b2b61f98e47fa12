"""Evidence in a folder: ``content/<cid>``, ``keys/<cid>.json``, and ``erased/<cid>.json`` for what was destroyed."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, Self

import orjson

from proxy.anchor.evidence.bundle import MAX_BYTES
from proxy.anchor.evidence.cid import cid_of, is_cid
from proxy.commitment import encode
from proxy.errors import EvidenceError, EvidenceFault
from proxy.model import wire_time

_CONTENT: Final = "content"
_KEYS: Final = "keys"
_ERASED: Final = "erased"
_DRAFT: Final = ".draft"
_MAX_CONTENT: Final = MAX_BYTES + 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """That a bundle was destroyed on purpose."""

    time: str
    reason: str


class EvidenceStore(Protocol):
    """Where bundles are. What it gives was hashed again: content is of its CID or does not come."""

    def put(self, cid: str, content: bytes, envelope: bytes) -> None:
        """Durable when it returns, and read back.

        :raises EvidenceError: ``STORE``, or ``ALTERED`` where something else came back
        """
        ...

    def content(self, cid: str) -> bytes:
        """:raises EvidenceError: ``ABSENT``, ``ALTERED``, ``ERASED`` or ``STORE``"""
        ...

    def envelope(self, cid: str) -> bytes:
        """:raises EvidenceError: ``ABSENT``, ``ERASED`` or ``STORE``"""
        ...

    def replace_envelope(self, cid: str, envelope: bytes) -> None:
        """:raises EvidenceError: ``ABSENT``, ``ERASED`` or ``STORE``"""
        ...

    def cids(self) -> list[str]:
        """Every bundle that has an envelope."""
        ...

    def erased(self, cid: str) -> Erasure | None:
        """What was noted when it was erased."""
        ...

    def erasures(self) -> list[str]:
        """Every bundle that was erased."""
        ...

    def erase(self, cid: str, reason: str, now: datetime) -> None:
        """Destroy keys and content, and note that it was done. Again: the same.

        :raises EvidenceError: ``STORE``
        """
        ...

    def remove(self, cid: str) -> None:
        """Take back what was put and never published, without a note."""
        ...


class FolderStore:
    """:class:`EvidenceStore` in a folder that only its owner may enter.

    Built for one that is there, it changes nothing: an auditor's copy may be on a medium that cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        """:raises EvidenceError: ``STORE``: there is no such folder of evidence"""
        self._folder = folder
        if not (folder / _KEYS).is_dir():
            raise EvidenceError(EvidenceFault.STORE, f"{folder} is no folder of evidence")

    @classmethod
    def made(cls, folder: Path) -> Self:
        """The folder, made where it is not there.

        :raises EvidenceError: ``STORE``: it cannot be used
        """
        try:
            for name in (_CONTENT, _KEYS, _ERASED):
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _store(error) from error
        return cls(folder)

    @classmethod
    def prepared(cls, folder: Path) -> Self:
        """For the one process that makes bundles: what an earlier run left half done goes too.

        :raises EvidenceError: ``STORE``: the folder cannot be used
        """
        store = cls.made(folder)
        try:
            for name in (_CONTENT, _KEYS, _ERASED):
                for draft in (folder / name).glob(f"*{_DRAFT}"):
                    draft.unlink()
        except OSError as error:
            raise _store(error) from error
        for cid in store.erasures():
            store.remove(cid)
        return store

    def put(self, cid: str, content: bytes, envelope: bytes) -> None:
        # The keys first: content without keys would be lost, keys without content are tidied away.
        self._write(self._path(_KEYS, cid), envelope)
        self._write(self._path(_CONTENT, cid), content)
        self.content(cid)

    def content(self, cid: str) -> bytes:
        content = self._read(_CONTENT, cid)
        if cid_of(content) != cid:
            raise EvidenceError(EvidenceFault.ALTERED, f"the content of {cid} is not what was published")
        return content

    def envelope(self, cid: str) -> bytes:
        return self._read(_KEYS, cid)

    def replace_envelope(self, cid: str, envelope: bytes) -> None:
        self.envelope(cid)
        self._write(self._path(_KEYS, cid), envelope)

    def put_envelope(self, cid: str, envelope: bytes) -> None:
        """The envelope alone: content is elsewhere.

        :raises EvidenceError: ``STORE``
        """
        self._write(self._path(_KEYS, cid), envelope)

    def cids(self) -> list[str]:
        return self._listed(_KEYS)

    def erasures(self) -> list[str]:
        return self._listed(_ERASED) if (self._folder / _ERASED).is_dir() else []

    def erase(self, cid: str, reason: str, now: datetime) -> None:
        # The note first: a crash in between leaves a bundle that says it is erased, and is when asked again.
        self.note_erased(cid, Erasure(time=wire_time(now), reason=reason))
        self.remove(cid)

    def note_erased(self, cid: str, erasure: Erasure) -> None:
        """:raises EvidenceError: ``STORE``"""
        note = encode({"cid": cid, "time": erasure.time, "reason": erasure.reason})
        self._write(self._path(_ERASED, cid), note)

    def remove(self, cid: str) -> None:
        try:
            for name in (_KEYS, _CONTENT):
                self._path(name, cid).unlink(missing_ok=True)
                _fsync_folder(self._folder / name)
        except OSError as error:
            raise _store(error) from error

    def erased(self, cid: str) -> Erasure | None:
        """What was noted when it was erased."""
        with suppress(OSError, ValueError, KeyError, TypeError, EvidenceError):
            said = orjson.loads(_read_file(self._path(_ERASED, cid), 2**16))
            return Erasure(time=str(said["time"]), reason=str(said["reason"]))
        return None

    def _listed(self, name: str) -> list[str]:
        try:
            names = [path.name.removesuffix(".json") for path in (self._folder / name).iterdir()]
        except OSError as error:
            raise _store(error) from error
        return sorted(name for name in names if is_cid(name))

    def _path(self, name: str, cid: str) -> Path:
        """:raises EvidenceError: ``ABSENT``: what a chain or a bundle says is no name of a file"""
        if not is_cid(cid):
            raise EvidenceError(EvidenceFault.ABSENT, "what was published is no identifier of this form")
        return self._folder / name / (cid if name == _CONTENT else f"{cid}.json")

    def _read(self, name: str, cid: str) -> bytes:
        path = self._path(name, cid)
        try:
            return _read_file(path, _MAX_CONTENT)
        except FileNotFoundError:
            if (erased := self.erased(cid)) is not None:
                raise EvidenceError(EvidenceFault.ERASED, f"erased at {erased.time}: {erased.reason}") from None
            what = "content" if name == _CONTENT else "envelope"
            raise EvidenceError(EvidenceFault.ABSENT, f"the {what} of {cid} is not there") from None
        except OSError as error:
            raise _store(error) from error

    def _write(self, path: Path, content: bytes) -> None:
        draft = path.with_name(path.name + _DRAFT)
        try:
            draft.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(draft, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            _fsync_folder(path.parent)
        except OSError as error:
            raise _store(error) from error


def _read_file(path: Path, limit: int) -> bytes:
    """:raises OSError: it cannot be read, is a link, or is larger than ``limit``"""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(0, "larger than evidence can be")
    return content


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store(error: OSError) -> EvidenceError:
    return EvidenceError(EvidenceFault.STORE, f"the evidence folder cannot be used: {error.strerror}")
