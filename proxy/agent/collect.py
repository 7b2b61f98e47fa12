"""All that the agent finds out about its machine, in order of name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from proxy.agent.desktop import screen_lock
from proxy.agent.disks import disk_encryption
from proxy.agent.findings import Finding, Machine, Value
from proxy.agent.firewall import firewall
from proxy.agent.protection import malware_protection, secure_boot
from proxy.agent.system import os_name, os_version, patch_age_days


def collect(machine: Machine, now: datetime) -> Sequence[Finding]:
    """Ask everything once; takes up to some seconds. What one collector cannot tell leaves the others alone."""
    return (
        disk_encryption(machine),
        firewall(machine),
        malware_protection(machine),
        os_name(machine),
        os_version(machine),
        patch_age_days(machine, now),
        screen_lock(machine),
        secure_boot(machine),
    )


def known(findings: Sequence[Finding]) -> dict[str, Value]:
    """What goes into a report: unknown attributes are left out."""
    return {finding.name: finding.value for finding in findings if finding.value is not None}
