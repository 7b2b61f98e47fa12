"""``disk_encryption``: whether the file systems of the system and of homes lie on LUKS (dm-crypt), and nowhere else.

Drives that encrypt themselves, ZFS, eCryptfs and the disks of a virtual machine's host are not looked into: what lies
on them is unknown or, where it is a plain partition, not encrypted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.agent.findings import Finding, Machine, UnknownError

NAME: Final = "disk_encryption"
LUKS: Final = "crypto_LUKS"
PLAIN_TYPES: Final = frozenset({"disk", "part", "lvm", "mpath", "linear", "md"})
"""Kinds of block device that do not encrypt what they hold; RAID levels are named ``raid...``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    target: str
    source: str
    kind: str
    """Type of the file system."""
    uuid: str


def disk_encryption(machine: Machine) -> Finding:
    """``True`` where all are encrypted, ``False`` where one is known not to be, otherwise unknown."""
    doubts: list[str] = []
    mounts: dict[str, Mount] = {}
    for path in dict.fromkeys(("/", "/home", machine.home)):
        try:
            mount = parse_findmnt(machine.run(("findmnt", "-J", "-v", "-o", "TARGET,SOURCE,FSTYPE,UUID", "-T", path)))
            mounts[mount.target] = mount
        except UnknownError as error:
            if path == "/":
                return Finding(name=NAME, value=None, how=str(error))
            doubts.append(f"{path}: {error}")
    for mount in mounts.values():
        try:
            if not _encrypted(machine, mount):
                return Finding(name=NAME, value=False, how=f"lsblk: {mount.target} lies on {mount.source} in clear")
        except UnknownError as error:
            doubts.append(f"{mount.target}: {error}")
    if doubts:
        return Finding(name=NAME, value=None, how="; ".join(doubts))
    return Finding(name=NAME, value=True, how=f"lsblk: LUKS under {', '.join(sorted(mounts))}")


def _encrypted(machine: Machine, mount: Mount) -> bool:
    devices = _devices(machine, mount)
    answers = [parse_lsblk(machine.run(("lsblk", "-J", "-s", "-o", "NAME,TYPE,FSTYPE", device))) for device in devices]
    return all(answers)


def _devices(machine: Machine, mount: Mount) -> Sequence[str]:
    """:raises UnknownError: it lies on no block device of this machine"""
    if mount.kind == "btrfs":  # one of several devices is all that a mount names
        names = machine.names(f"/sys/fs/btrfs/{mount.uuid}/devices") if mount.uuid else ()
        if not names:
            raise UnknownError("the devices of its btrfs are not known")
        return [f"/dev/{name}" for name in names]
    if not mount.source.startswith("/dev/"):
        raise UnknownError(f"{mount.kind} on {mount.source} is no block device of this machine")
    return (mount.source,)


def parse_findmnt(output: str) -> Mount:
    """The one file system in what ``findmnt -J -v -o TARGET,SOURCE,FSTYPE,UUID -T PATH`` prints (util-linux).

    :raises UnknownError: it is something else
    """
    match _json(output, "findmnt"):
        case {"filesystems": [{"target": str(target), "source": str(source), "fstype": str(kind), **more}]}:
            uuid = more.get("uuid")
            return Mount(target=target, source=source, kind=kind, uuid=_plain_name(uuid))
    raise UnknownError("findmnt printed something else than one file system")


def parse_lsblk(output: str) -> bool:
    """Whether all below one device is LUKS, by ``lsblk -J -s -o NAME,TYPE,FSTYPE DEVICE`` (util-linux).

    :raises UnknownError: it cannot be told
    """
    match _json(output, "lsblk"):
        case {"blockdevices": [dict(device)]}:
            return _below(device, 0)
    raise UnknownError("lsblk printed something else than one device")


def _below(device: dict[str, Any], depth: int) -> bool:
    if depth > 32:
        raise UnknownError("lsblk nests deeper than devices do")
    kind, below = device.get("type"), device.get("children", [])
    if not isinstance(kind, str) or not isinstance(below, list) or not all(isinstance(one, dict) for one in below):
        raise UnknownError("lsblk printed something else than devices")
    if kind == "crypt":
        # dm-verity and dm-integrity are of this type too, and encrypt nothing.
        if below and all(one.get("fstype") == LUKS for one in below):
            return True
        raise UnknownError(f"{device.get('name')} is of device mapper's crypt, and not on LUKS")
    if kind not in PLAIN_TYPES and not kind.startswith("raid"):
        raise UnknownError(f"devices of type {kind} are not known")
    return bool(below) and all(_below(one, depth + 1) for one in below)


def _plain_name(uuid: object) -> str:
    return uuid if isinstance(uuid, str) and uuid.replace("-", "").isalnum() else ""


def _json(output: str, command: str) -> object:
    try:
        return json.loads(output)
    except (ValueError, RecursionError) as error:
        raise UnknownError(f"{command} printed what is not JSON") from error
