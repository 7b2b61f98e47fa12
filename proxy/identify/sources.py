"""Where an authority's revocation lists come from: files that are looked at, addresses that are fetched from.

A source keeps what it last gave that could be taken, and why what it gives now cannot be.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from proxy.errors import ConfigurationError
from proxy.identify import revocation
from proxy.identify.authorities import Ca, Stamp, stamp
from proxy.identify.profile import Profile
from proxy.identify.revocation import Failure, RevocationList
from proxy.model import Reason

logger = logging.getLogger(__name__)

_NOTHING: Final = Failure(reason=Reason.REVOCATION_MISSING, detail="nothing was had yet")


class Source:
    """A list, or why there is none."""

    def __init__(self, location: str, accepted: Profile) -> None:
        self.location = location
        self._accepted = accepted
        self.taken: RevocationList | None = None
        self.failure: Failure | None = _NOTHING

    def held_to(self, cas: Sequence[Ca]) -> None:
        """The authority has other certificates: what was taken is examined under them."""
        if self.taken is not None:
            self._put(revocation.examine(self.taken.crl, cas, self._accepted))

    def _put(self, judged: RevocationList | Failure) -> None:
        if isinstance(judged, Failure):
            self.taken, self.failure = None, judged
        else:
            self.taken, self.failure = judged, None

    def _judged(self, content: bytes, cas: Sequence[Ca]) -> RevocationList | Failure:
        crl = revocation.read(content)
        return crl if isinstance(crl, Failure) else revocation.examine(crl, cas, self._accepted)


class FileSource(Source):
    """A file. One that changed and cannot be taken gets one more look, for a copy may be under way."""

    def __init__(self, location: str, accepted: Profile) -> None:
        super().__init__(location, accepted)
        self._path = Path(location)
        self._stamp: Stamp = None
        self._looked = False
        """Whether what the stamp tells of was read to the end."""
        self._doubted = False

    def due(self) -> bool:
        return self._doubted or not self._looked or stamp(self._path) != self._stamp

    def held_to(self, cas: Sequence[Ca]) -> None:
        super().held_to(cas)
        self._looked = False

    def look(self, cas: Sequence[Ca]) -> None:
        """Read the file if it changed."""
        if not self.due():
            return
        self._stamp, self._looked = stamp(self._path), True
        judged = self._read(cas)
        if isinstance(judged, Failure) and self.taken is not None and not self._doubted:
            self._doubted = True
            return
        self._doubted = False
        self._put(judged)

    def _read(self, cas: Sequence[Ca]) -> RevocationList | Failure:
        try:
            with self._path.open("rb") as file:
                content = file.read(revocation.MOST_BYTES + 1)
        except FileNotFoundError:
            return Failure(reason=Reason.REVOCATION_UNREADABLE, detail="there is no such file")
        except OSError as error:
            self._looked = False
            return Failure(reason=Reason.REVOCATION_UNREADABLE, detail=f"cannot be read: {error.strerror}")
        return self._judged(content, cas)


class FetchedSource(Source):
    """An address. What came from it is kept in a file, so that a start needs no network and takes no older list.

    Nothing that it gives, or fails to give, takes a list out of force: plain HTTP is anybody's to change.
    """

    def __init__(self, location: str, accepted: Profile, cache: Path | None) -> None:
        super().__init__(location, accepted)
        self._kept = None if cache is None else cache / f"{hashlib.sha256(location.encode()).hexdigest()}.crl"

    def restore(self, cas: Sequence[Ca]) -> None:
        """Take what was kept by an earlier process."""
        if self._kept is None:
            return
        try:
            content = self._kept.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            logger.error("a kept revocation list cannot be read", extra={"error": error.strerror})
            return
        self._put(self._judged(content, cas))

    def take(self, content: bytes, cas: Sequence[Ca]) -> Failure | None:
        """Take what was fetched: the reason why it cannot be, or ``None``."""
        judged = self._judged(content, cas)
        if isinstance(judged, Failure):
            if self.taken is None:
                self.failure = judged
            return judged
        if self.taken is None or judged.authority != self.taken.authority or judged.supersedes(self.taken):
            self._put(judged)
            self._keep(judged)
        elif judged.digest != self.taken.digest:
            logger.warning("an older revocation list was fetched, and is not taken", extra={"url": self.location})
        return None

    def _keep(self, taken: RevocationList) -> None:
        if self._kept is None:
            return
        draft = self._kept.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(taken.crl.public_bytes(Encoding.DER))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._kept)
        except OSError as error:
            logger.error("a revocation list cannot be kept", extra={"error": error.strerror})


def opened_cache(folder: Path) -> Path:
    """:raises ConfigurationError: there is no such folder, and none can be made"""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"identify.crl_cache: {folder}: {error.strerror}") from error
    return folder
