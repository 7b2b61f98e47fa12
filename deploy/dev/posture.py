"""What the dev stack claims to know of its devices.

Nothing measured this: it stands in for a device management that would.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from deploy.dev.pki import IDENTITIES, DevPki
from proxy.model import DeviceId, PostureAttribute, Trust
from proxy.posture.store import PostureStore

COMPLIANT: Final[Mapping[str, bool | int]] = {
    "disk_encryption": True,
    "patch_age_days": 3,
    "screen_lock": True,
    "firewall": True,
    "malware_protection": True,
}
ROOTED: Final[Mapping[str, bool | int]] = {**COMPLIANT, "disk_encryption": False, "malware_protection": False}
VALID: Final = timedelta(hours=24)


def attributes(
    values: Mapping[str, bool | int], *, issued_at: datetime, valid: timedelta = VALID
) -> dict[str, PostureAttribute]:
    """``values`` as this stack's device management would report them."""
    return {
        name: PostureAttribute(
            value=value, source="dev-stack", trust=Trust.MANAGED, issued_at=issued_at, expires_at=issued_at + valid
        )
        for name, value in values.items()
    }


def fill(path: Path, pki: DevPki, now: datetime | None = None) -> None:
    """Write the posture of every dev identity; ``stale`` was last seen two days ago."""
    now = now or datetime.now(UTC)
    store = PostureStore(path)
    try:
        for name in IDENTITIES:
            issued_at = now - timedelta(days=2) if name == "stale" else now
            values = ROOTED if name == "rooted" else COMPLIANT
            store.put(DeviceId(pki.device_id(name)), attributes(values, issued_at=issued_at))
    finally:
        store.close()
