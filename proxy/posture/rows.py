"""What is read from and written to the tables of the posture store, each within the transaction of its caller."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from proxy.model import DeviceClaims, DeviceId, PostureReport, Taken, Trust
from proxy.posture.claims import (
    Said,
    decode,
    encode,
    fresh_until,
    from_milliseconds,
    not_older,
    to_milliseconds,
    updated,
    values,
)

_PUT = """
INSERT INTO device VALUES (:id, 1, (SELECT coalesce(max(change), 0) + 1 FROM device), :fresh, :reported, :claims)
ON CONFLICT (id) DO UPDATE SET generation = generation + 1, change = excluded.change, claims = excluded.claims,
  fresh_until = excluded.fresh_until, reported_at = coalesce(excluded.reported_at, reported_at)
"""


def read_device(connection: sqlite3.Connection, device: DeviceId) -> tuple[Said, int]:
    """What is said of it, and its generation, which is 0 where nothing ever was."""
    row = connection.execute("SELECT claims, generation FROM device WHERE id = ?", (device,)).fetchone()
    return ({}, 0) if row is None else (decode(row[0]), int(row[1]))


def reported_at(connection: sqlite3.Connection, device: DeviceId) -> datetime | None:
    row = connection.execute("SELECT reported_at FROM device WHERE id = ?", (device,)).fetchone()
    return None if row is None or row[0] is None else from_milliseconds(row[0])


def is_spent(connection: sqlite3.Connection, once: str) -> bool:
    return connection.execute("SELECT 1 FROM spent WHERE once = ?", (once,)).fetchone() is not None


def spend(connection: sqlite3.Connection, once: str, until: datetime, now: datetime) -> bool:
    """False: it was spent before. What would have ended by now is forgotten."""
    connection.execute("DELETE FROM spent WHERE until < ?", (to_milliseconds(now),))
    row = (once, to_milliseconds(until))
    return connection.execute("INSERT OR IGNORE INTO spent VALUES (?, ?)", row).rowcount == 1


def put(connection: sqlite3.Connection, report: PostureReport, now: datetime) -> Taken | None:
    """``None``: its ``once`` is spent, or the device itself said something later before."""
    if report.once is not None and not spend(connection, *report.once, now):
        return None
    own = report.trust is Trust.REPORTED
    if own and not all(_is_later(connection, claim.device, report.issued_at) for claim in report.claims):
        return None
    changed: list[DeviceId] = []
    attributes = 0
    for claim in report.claims:
        is_changed, count = _put_device(connection, claim, report, own=own)
        changed += [claim.device] if is_changed else []
        attributes += count
    return Taken(changed=tuple(changed), attributes=attributes)


def _is_later(connection: sqlite3.Connection, device: DeviceId, issued_at: datetime) -> bool:
    before = reported_at(connection, device)
    return before is None or before < issued_at


def _put_device(
    connection: sqlite3.Connection, claim: DeviceClaims, report: PostureReport, *, own: bool
) -> tuple[bool, int]:
    """Whether a value changed, and how many claims are in force by this."""
    before, _ = read_device(connection, claim.device)
    told = claim.attributes if own else not_older(before, report.source, claim.attributes)
    after = updated(before, report.source, told, whole=own)
    changed = values(after) != values(before)
    if own or changed or after != before:
        row = {
            "id": claim.device,
            "fresh": to_milliseconds(fresh_until(after)),
            "reported": to_milliseconds(report.issued_at) if own else None,
            "claims": encode(after),
        }
        connection.execute(_PUT, row)
    return changed, len(told)
