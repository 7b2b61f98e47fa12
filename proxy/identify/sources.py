"""Where an authority's revocation lists come from: files that are looked at, addresses that are fetched from.

A source keeps what it last gave that could be taken, and why what it gives now cannot be.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from proxy.identify import revocation
from proxy.identify.authorities import Ca
from proxy.identify.kept import Kept
from proxy.identify.profile import Profile
from proxy.identify.revocation import Failure, RevocationList
from proxy.identify.stamped import Stamp, stamp
from proxy.model import Reason

logger = logging.getLogger(__name__)

_NOTHING: Final = Failure(reason=Reason.REVOCATION_MISSING, detail="nothing was had yet")


class Source:
    """Lists, or why there is none."""

    def __init__(self, location: str, accepted: Profile) -> None:
        self.location = location
        self._accepted = accepted
        self.lists: dict[bytes, RevocationList] = {}
        """By :attr:`Ca.key` of whose they are."""
        self.failure: Failure | None = _NOTHING

    def held_to(self, cas: Sequence[Ca]) -> None:
        """The authority has other certificates: what was taken is examined under them."""
        judged = [revocation.examine(each.crl, cas, self._accepted) for each in self.lists.values()]
        self.lists = {}
        for each in judged:
            self._put(each)

    def _put(self, judged: RevocationList | Failure) -> None:
        """A failure takes nothing out of force, and is told where there is nothing."""
        if not isinstance(judged, Failure):
            self.lists[judged.authority] = judged
            self.failure = None
        elif not self.lists:
            self.failure = judged

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
        if isinstance(judged, Failure) and self.lists and not self._doubted:
            self._doubted = True
            return
        self._doubted, self.lists = False, {}
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
    """An address, and what came from it, also to other workers and before the last start.

    Nothing that it gives, or fails to give, takes a list out of force: plain HTTP is anybody's to change. So a list of
    another certificate of the authority stands beside what was taken, in memory and in files, never in its place.
    """

    def __init__(self, location: str, accepted: Profile, cache: Path | None) -> None:
        super().__init__(location, accepted)
        self._kept = None if cache is None else Kept(cache, location)
        self._unkept: set[bytes] = set()
        self._first: bytes | None = None
        """:attr:`Ca.key` of whose list was the first from here."""

    def held_to(self, cas: Sequence[Ca]) -> None:
        super().held_to(cas)
        self._unkept &= self.lists.keys()
        if self._first not in self.lists:
            self._first = None
        if self._kept is not None:
            self._kept.forget()
        self.restore(cas)

    def restore(self, cas: Sequence[Ca]) -> None:
        """Take what was kept by an earlier process, or by another one."""
        if self._kept is None:
            return
        for key in {ca.key: None for ca in cas}:
            content = self._kept.read_if_changed(key)
            if content is not None:
                judged = self._judged(content, cas)
                if isinstance(judged, Failure) or judged.supersedes(self.lists.get(judged.authority)):
                    self._put(judged)
        if self._first is None and len(self.lists) == 1:
            (self._first,) = self.lists

    def take(self, content: bytes, cas: Sequence[Ca], now: datetime, grace: timedelta) -> Failure | None:
        """Take what was fetched: what is wrong with it, or ``None``.

        :param grace: for which a list is good beyond its end
        """
        judged = self._judged(content, cas)
        if isinstance(judged, Failure):
            self._put(judged)
            return judged
        if self._kept is None:
            return self._taken(judged, now, grace)
        try:
            with self._kept.exclusive():
                self.restore(cas)
                failure = self._taken(judged, now, grace)
                for key in tuple(self._unkept):
                    self._kept.write(key, self.lists[key].crl.public_bytes(Encoding.DER))
                    self._unkept.discard(key)
                return failure
        except OSError as error:
            logger.error("a revocation list cannot be kept", extra={"error": error.strerror})
        return self._taken(judged, now, grace)

    def _taken(self, judged: RevocationList, now: datetime, grace: timedelta) -> Failure | None:
        key = judged.authority
        known = self.lists.get(key)
        if judged.too_early_for(known, now + revocation.SKEW, grace):
            return _not_in_force("it begins later, and the one in force is good", key)
        if judged.supersedes(known):
            self._put(judged)
            self._unkept.add(key)
        elif known is not None and judged.digest != known.digest:
            logger.warning("an older revocation list was fetched, and is not taken", extra={"url": self.location})
            return _not_in_force("it is older than the one in force", key)
        if self._first not in (None, key):
            return _not_in_force("it is of another certificate than those before, whose list is not renewed", key)
        self._first = key
        return None


def _not_in_force(detail: str, key: bytes) -> Failure:
    return Failure(reason=Reason.REVOCATION_STALE, detail=detail, authority=key)
