"""How much of each origin its site stands by: behind that, its successor carries what there was."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.ports import SpoolReader


def ends(readers: Mapping[bytes, SpoolReader]) -> dict[bytes, int]:
    """Number of records by origin, in the order given. Together they hold each record once."""
    agreed = {reader.predecessor: reader.agreed for reader in readers.values() if reader.predecessor is not None}
    found: dict[bytes, int] = {}
    for origin, reader in readers.items():
        limit = agreed.get(origin)
        found[origin] = reader.count() if limit is None else min(reader.count(), limit)
    return found
