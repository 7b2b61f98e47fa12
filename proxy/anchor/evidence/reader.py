"""One origin's records out of published bundles, as an auditor sees them: no spool, no host of the site."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

from proxy.anchor.chain_values import OriginState, Publication
from proxy.anchor.evidence.auditors import AuditorKey
from proxy.anchor.evidence.bundle import Header, open_bundle
from proxy.anchor.evidence.folder import EvidenceStore
from proxy.commitment import genesis
from proxy.errors import EvidenceError, EvidenceFault
from proxy.model import RecordRow

Lost = Callable[[Publication, EvidenceError], None]
Content = tuple[bytes, bytes]
"""Salt and body of a record."""

_FORMS: Final = (EvidenceFault.ERASED, EvidenceFault.ALTERED, EvidenceFault.UNREADABLE, EvidenceFault.NO_KEY)
"""What says most about a bundle that was published more than once, first."""


class EvidenceReader:
    """:class:`proxy.ports.SpoolReader` over what was published of one origin. Holds one bundle at a time.

    A bundle that is lost gives no records, and is told of once.
    """

    def __init__(
        self,
        header: Header,
        state: OriginState,
        publications: Iterable[Publication],
        store: EvidenceStore,
        key: AuditorKey,
        lost: Lost,
    ) -> None:
        """
        :param header: names the chain, the contract and the origin; its range is not looked at
        :param publications: as the chain lists them
        :raises ChainError: they could not be fetched
        """
        self.origin = header.origin
        self.chain_id = header.chain_id
        self.contract = header.contract
        self.predecessor = state.predecessor
        self.agreed = state.agreed if state.predecessor is not None else None
        self.receipt_key = state.receipt_key
        self._store = store
        self._key = key
        self._lost = lost
        self._published = state.published
        self._bundles = _chained(publications)
        self._open: tuple[int, list[Content]] = (-1, [])

    @property
    def gap(self) -> int | None:
        """Where publications stop to follow each other although the contract counts further: a node that lies."""
        end = self._bundles[-1][-1].end if self._bundles else 0
        return None if end == self._published else end

    def count(self) -> int:
        return self._published

    def floor(self) -> int:
        """Evidence begins with the first record."""
        return 0

    def head(self, count: int) -> bytes | None:
        """Evidence keeps no heads but the first, which follows from the origin."""
        return genesis(self.chain_id, self.contract, self.origin) if count == 0 else None

    def contents(self, first: int, count: int) -> list[tuple[int, list[Content]]]:
        """What the bundles hold of this range, each piece with the index at which it begins."""
        found: list[tuple[int, list[Content]]] = []
        for number, bundle in enumerate(self._bundles):
            start, end = bundle[0].first, bundle[0].end
            if start < first + count and first < end:
                inside = self._contents(number)[max(0, first - start) : max(0, first + count - start)]
                if inside:
                    found.append((max(start, first), inside))
        return found

    def rows(self, first: int, count: int) -> list[RecordRow]:
        """Leaves are computed from what the bundles hold."""
        return [
            _row(index, salt, body)
            for start, inside in self.contents(first, count)
            for index, (salt, body) in enumerate(inside, start)
        ]

    def find(self, decision: str) -> list[RecordRow]:
        """Evidence has no index: every bundle is opened."""
        wanted = decision.encode("ascii", "replace")
        return [
            _row(index, salt, body)
            for number, bundle in enumerate(self._bundles)
            for index, (salt, body) in enumerate(self._contents(number), bundle[0].first)
            if decision and b'"id":"' + wanted + b'"' in body
        ]

    def close(self) -> None:
        self._open = (-1, [])

    def _contents(self, number: int) -> list[Content]:
        if self._open[0] != number:
            self._open = (-1, [])  # the one before goes before the next one comes
            self._open = (number, self._load(self._bundles[number]))
        return self._open[1]

    def _load(self, said: list[Publication]) -> list[Content]:
        failures: list[EvidenceError] = []
        for publication in said:
            try:
                return self._read(publication)
            except EvidenceError as error:
                if error.fault is EvidenceFault.STORE:
                    raise
                failures.append(error)
        ranked = sorted(failures, key=lambda one: _FORMS.index(one.fault) if one.fault in _FORMS else len(_FORMS))
        self._lost(said[0], ranked[0])
        return []

    def _read(self, publication: Publication) -> list[Content]:
        opened = open_bundle(self._store.content(publication.cid), self._store.envelope(publication.cid), self._key)
        if opened.header != Header(
            chain_id=self.chain_id,
            contract=self.contract,
            origin=self.origin,
            first=publication.first,
            count=publication.count,
        ):
            raise EvidenceError(EvidenceFault.UNREADABLE, "it is of other records than those it was published for")
        return opened.records


def _row(index: int, salt: bytes, body: bytes) -> RecordRow:
    leaf = hashlib.sha256(b"\x00" + salt + body).digest()
    return RecordRow(index=index, kind=None, id="", salt=salt, body=body, leaf=leaf, head=None)


def _chained(publications: Iterable[Publication]) -> list[list[Publication]]:
    """For each range, in order, what was said of it, newest first.

    The contract takes only the continuation the first time, and anything of what is published afterwards. So what
    continues is a bundle, and what repeats its range is another copy; a later word on some other range is neither.
    """
    bundles: dict[tuple[int, int], list[Publication]] = {}
    end = 0
    for one in publications:
        if one.first == end:
            bundles[one.first, one.end] = [one]
            end = one.end
        elif (one.first, one.end) in bundles:
            bundles[one.first, one.end].insert(0, one)
    return list(bundles.values())
