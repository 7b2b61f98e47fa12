"""Admission: token buckets per certificate and per address, before anything costs an fsync."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

REMEMBERED: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    per_s: float
    burst: int


class _Buckets:
    """Token buckets in the form of the generic cell rate algorithm (ITU-T I.371): one number a key.

    The number is the time at which the bucket will be full again. Keys not heard of for long fall out; that
    forgives, it never refuses.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._interval_s = 1 / bucket.per_s
        # The microsecond is for sums of floats: without it a bucket of one token may never give it.
        self._depth_s = self._interval_s * bucket.burst + 1e-6
        self._full_at: LRUCache[Hashable, float] = LRUCache(REMEMBERED)

    def take(self, key: Hashable, now_s: float) -> bool:
        full_at = max(now_s, self._full_at.get(key, 0.0)) + self._interval_s
        if full_at - now_s > self._depth_s:
            return False
        self._full_at[key] = full_at
        return True


class Admission:
    def __init__(self, *, certificate: Bucket, address: Bucket) -> None:
        self._certificates = _Buckets(certificate)
        self._addresses = _Buckets(address)

    def admits(self, certificate: bytes | None, address: str, now_s: float) -> bool:
        """``now_s`` is monotonic. Both buckets are asked, so that one certificate cannot spend an address."""
        return self._certificates.take(certificate, now_s) and self._addresses.take(address, now_s)
