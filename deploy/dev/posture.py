"""What the dev identities say of themselves, in signed reports through the running proxy: there is no other way in.

Nothing measured this: the values stand in for what the agent would collect on real devices.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import requests

from deploy.dev.layout import StackError
from deploy.dev.pki import IDENTITIES, Issued
from proxy.agent import Accepted, ReportClient, ReportRefusedError, Value, load_identity, make_report
from proxy.agent.report_client import NONCE_PATH, REPORT_PATH
from proxy.errors import DicomwardError
from proxy.model import REPORT_MEDIA_TYPE

COMPLIANT: Final[Mapping[str, Value]] = {
    "disk_encryption": True,
    "firewall": True,
    "malware_protection": True,
    "os_name": "debian",
    "os_version": "12",
    "patch_age_days": 3,
    "screen_lock": True,
    "secure_boot": True,
}
ROOTED: Final[Mapping[str, Value]] = {**COMPLIANT, "disk_encryption": False, "malware_protection": False}
SILENT: Final = ("revoked", "manager")
"""One may not report any more, the other is no device but what manages them."""
MOMENTS_S: Final = (1.0, 2.0, 4.0)
"""How long the report of ``stale`` holds: the next where a busy machine took longer than that to bring it."""


def values_of(name: str) -> Mapping[str, Value]:
    return ROOTED if name == "rooted" else COMPLIANT


def report(
    url: str, pki: Path, name: str, values: Mapping[str, Value] | None = None, *, valid_s: float | None = None
) -> Accepted:
    """One report of a dev identity, by default of what it always says.

    :raises SiteUnreachableError, ReportRefusedError: it was not taken
    """
    identity = load_identity(certificate=pki / f"{name}.crt", key=pki / f"{name}.key", authority=pki / "ca.crt")
    return ReportClient(url, identity).report(values_of(name) if values is None else values, valid_s=valid_s)


def report_over(made: requests.Session, url: str, issued: Issued, values: Mapping[str, Value]) -> requests.Response:
    """The same by a session of the caller's, which sees each answer and shows the certificate of ``issued``."""
    told = made.get(url + NONCE_PATH, timeout=30).json()
    body = make_report(
        values,
        site=told["site"],
        nonce=told["nonce"],
        certificate=issued.certificate,
        key=issued.key,
        now=datetime.now(UTC),
    )
    return made.post(url + REPORT_PATH, data=body, headers={"Content-Type": REPORT_MEDIA_TYPE}, timeout=30)


def refresh(url: str, pki: Path) -> None:
    """Report for every dev identity that keeps its posture current.

    :raises DicomwardError: one was not taken
    """
    for name in IDENTITIES:
        if name not in (*SILENT, "stale"):
            report(url, pki, name)


def report_all(url: str, pki: Path) -> None:
    """Report for every dev identity, and wait until the report of ``stale`` has expired.

    :raises StackError: one was not taken
    """
    try:
        end = _report_stale(url, pki)
        refresh(url, pki)
    except DicomwardError as error:
        raise StackError(f"A dev identity could not report its posture. {error.detail}") from error
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()))


def _report_stale(url: str, pki: Path) -> datetime:
    """Until when it holds."""
    for valid_s in MOMENTS_S:
        try:
            accepted = report(url, pki, "stale", valid_s=valid_s)
        except ReportRefusedError as refused:
            late = any(reason.code == "report-not-current" for reason in refused.reasons)
            if not late or valid_s == MOMENTS_S[-1]:
                raise
        else:
            return datetime.fromisoformat(accepted.expires_at) + timedelta(milliseconds=10)
    raise AssertionError("unreachable: the last moment returns or raises")
