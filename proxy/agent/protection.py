"""``malware_protection`` and ``secure_boot``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.agent.findings import Finding, Machine, UnknownError

SERVICES: Final[Mapping[str, str]] = {
    "clamav-daemon.service": "ClamAV",
    "clamd@scan.service": "ClamAV",
    "falcon-sensor.service": "CrowdStrike Falcon",
    "mdatp.service": "Microsoft Defender",
    "sentinelone.service": "SentinelOne",
    "cbagentd.service": "Carbon Black",
    "ds_agent.service": "Trend Micro",
    "sophos-spl.service": "Sophos",
    "esets.service": "ESET",
    "eea.service": "ESET",
    "traps_pmd.service": "Cortex XDR",
    "kesl.service": "Kaspersky",
}
"""Services that are known to watch for malware. That one runs is all that is known: not what it scans."""
EFI: Final = "/sys/firmware/efi"
SECURE_BOOT: Final = f"{EFI}/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""The variable of UEFI 2.10, 3.3: four bytes of attributes as efivarfs gives them, then one byte, 1 for on."""


def malware_protection(machine: Machine) -> Finding:
    """``True`` where a known service runs, ``False`` where one is installed and none runs.

    Where none is installed it is unknown: there may be one that is not known here.
    """
    name = "malware_protection"
    command = ("systemctl", "show", "--property=Id,LoadState,ActiveState", "--", *SERVICES)
    try:
        states = parse_units(machine.run(command))
    except UnknownError as error:
        return Finding(name=name, value=None, how=str(error))
    for unit, active in states.items():
        if active:
            return Finding(name=name, value=True, how=f"systemctl: {SERVICES[unit]} runs ({unit})")
    for unit in states:
        return Finding(name=name, value=False, how=f"systemctl: {SERVICES[unit]} is installed and does not run")
    return Finding(name=name, value=None, how="none of the services that are known here is installed")


def parse_units(output: str) -> Mapping[str, bool]:
    """The installed ones of ``SERVICES`` and whether they run, by ``systemctl show``: blocks of ``key=value``.

    :raises UnknownError: it is something else
    """
    states: dict[str, bool] = {}
    for block in output.strip().split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        if not {"Id", "LoadState", "ActiveState"} <= fields.keys():
            raise UnknownError("systemctl did not tell how services are")
        if fields["LoadState"] == "loaded" and fields["Id"] in SERVICES:
            states[fields["Id"]] = fields["ActiveState"] == "active"
    return states


def secure_boot(machine: Machine) -> Finding:
    name = "secure_boot"
    try:
        if not machine.names(EFI):
            raise UnknownError("the machine was not started by EFI, or does not show it")
    except UnknownError as error:
        return Finding(name=name, value=None, how=str(error))
    try:
        return Finding(name=name, value=parse_secure_boot(machine.read(SECURE_BOOT)), how="EFI variable SecureBoot")
    except UnknownError as error:
        why = str(error)
    try:
        return Finding(name=name, value=parse_mokutil(machine.run(("mokutil", "--sb-state"))), how="mokutil")
    except UnknownError as error:
        return Finding(name=name, value=None, how=f"{why}; {error}")


def parse_secure_boot(content: bytes) -> bool:
    """:raises UnknownError: it is not the variable"""
    if len(content) != 5 or content[4] not in (0, 1):
        raise UnknownError("the EFI variable SecureBoot is not of its form")
    return content[4] == 1


def parse_mokutil(output: str) -> bool:
    """First line of ``mokutil --sb-state``.

    :raises UnknownError: it is something else
    """
    lines = [line.strip() for line in output.split("\n")]
    if "SecureBoot disabled" in lines:
        return False
    if "SecureBoot enabled" in lines:
        # In setup mode anybody may enrol keys, so nothing is enforced.
        return not any("Setup Mode" in line for line in lines)
    raise UnknownError("mokutil said something else")
