"""Disk encryption by what findmnt and lsblk of util-linux 2.38 print."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.agent.disks import disk_encryption, parse_findmnt, parse_lsblk
from proxy.agent.findings import UnknownError
from tests.agent.machine import RecordedMachine

FINDMNT = "findmnt -J -v -o TARGET,SOURCE,FSTYPE,UUID -T"
LSBLK = "lsblk -J -s -o NAME,TYPE,FSTYPE"
UUID = "0a3b7a52-9a0e-4f57-8e62-2f3c4d5e6f70"

LUKS_ON_LVM = """{
   "blockdevices": [
      {
         "name": "vg0-root",
         "type": "lvm",
         "fstype": "ext4",
         "children": [
            {
               "name": "nvme0n1p3_crypt",
               "type": "crypt",
               "fstype": "LVM2_member",
               "children": [
                  {
                     "name": "nvme0n1p3",
                     "type": "part",
                     "fstype": "crypto_LUKS",
                     "children": [
                        {
                           "name": "nvme0n1",
                           "type": "disk",
                           "fstype": null
                        }
                     ]
                  }
               ]
            }
         ]
      }
   ]
}
"""
PLAIN = """{
   "blockdevices": [
      {
         "name": "sda2",
         "type": "part",
         "fstype": "ext4",
         "children": [
            {
               "name": "sda",
               "type": "disk",
               "fstype": null
            }
         ]
      }
   ]
}
"""


def mount(target: str, source: str, kind: str = "ext4") -> str:
    return json.dumps({"filesystems": [{"target": target, "source": source, "fstype": kind, "uuid": UUID}]}, indent=3)


def device(name: str, kind: str, fstype: str | None, *below: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "type": kind, "fstype": fstype}
    return {**made, "children": list(below)} if below else made


def listed(top: dict[str, Any]) -> str:
    return json.dumps({"blockdevices": [top]})


def machine(mounts: dict[str, str], devices: dict[str, str], **more: Any) -> RecordedMachine:
    return RecordedMachine(
        commands={
            **{f"{FINDMNT} {path}": said for path, said in mounts.items()},
            **{f"{LSBLK} {path}": said for path, said in devices.items()},
        },
        **more,
    )


ROOT = mount("/", "/dev/mapper/vg0-root")
HOME = mount("/home", "/dev/sda2")


def test_all_on_luks_is_encrypted() -> None:
    everywhere = {"/": ROOT, "/home": ROOT, "/home/ada": ROOT}
    found = disk_encryption(machine(everywhere, {"/dev/mapper/vg0-root": LUKS_ON_LVM}))
    assert found.value is True


def test_home_in_clear_beside_an_encrypted_system_is_not_encrypted() -> None:
    mounts = {"/": ROOT, "/home": HOME, "/home/ada": HOME}
    found = disk_encryption(machine(mounts, {"/dev/mapper/vg0-root": LUKS_ON_LVM, "/dev/sda2": PLAIN}))
    assert found.value is False
    assert "/home lies on /dev/sda2 in clear" in found.how


@pytest.mark.parametrize(
    ("source", "kind"),
    [("overlay", "overlay"), ("rpool/ROOT/debian", "zfs"), ("nas:/home", "nfs4"), ("tmpfs", "tmpfs")],
)
def test_home_on_no_device_of_this_machine_is_unknown(source: str, kind: str) -> None:
    home = mount("/home", source, kind)
    mounts = {"/": ROOT, "/home": home, "/home/ada": home}
    found = disk_encryption(machine(mounts, {"/dev/mapper/vg0-root": LUKS_ON_LVM}))
    assert found.value is None
    assert kind in found.how


def test_home_in_clear_is_known_whatever_else_is_not() -> None:
    mounts = {"/": mount("/", "rpool/ROOT", "zfs"), "/home": HOME, "/home/ada": HOME}
    assert disk_encryption(machine(mounts, {"/dev/sda2": PLAIN})).value is False


def test_without_findmnt_it_is_unknown() -> None:
    found = disk_encryption(RecordedMachine())
    assert (found.value, found.how) == (None, "the command findmnt is missing")


def test_second_device_of_a_btrfs_counts() -> None:
    mounts = dict.fromkeys(("/", "/home", "/home/ada"), mount("/", "/dev/dm-0", "btrfs"))
    devices = {"/dev/dm-0": LUKS_ON_LVM, "/dev/sda2": PLAIN}
    folders = {f"/sys/fs/btrfs/{UUID}/devices": ("dm-0", "sda2")}
    assert disk_encryption(machine(mounts, devices, folders=folders)).value is False
    assert disk_encryption(machine(mounts, devices)).value is None
    alone = {f"/sys/fs/btrfs/{UUID}/devices": ("dm-0",)}
    assert disk_encryption(machine(mounts, devices, folders=alone)).value is True


def test_mirror_with_one_half_in_clear_is_not_encrypted() -> None:
    half = device(
        "luks", "crypt", "linux_raid_member", device("sda1", "part", "crypto_LUKS", device("sda", "disk", None))
    )
    clear = device("sdb1", "part", "linux_raid_member", device("sdb", "disk", None))
    assert parse_lsblk(listed(device("md0", "raid1", "ext4", half, half))) is True
    assert parse_lsblk(listed(device("md0", "raid1", "ext4", half, clear))) is False


@pytest.mark.parametrize("below", ["DM_verity_hash", "DM_integrity", None])
def test_verity_and_integrity_are_not_taken_for_encryption(below: str | None) -> None:
    top = device("root", "crypt", "ext4", device("sda2", "part", below, device("sda", "disk", None)))
    with pytest.raises(UnknownError, match="not on LUKS"):
        parse_lsblk(listed(top))


def test_file_behind_a_loop_device_is_unknown() -> None:
    with pytest.raises(UnknownError, match="loop"):
        parse_lsblk(listed(device("loop0", "loop", "ext4")))


@pytest.mark.parametrize("parse", [parse_findmnt, parse_lsblk])
@given(text=st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_anything_else_is_unknown(parse: Any, text: str) -> None:
    with pytest.raises(UnknownError):
        parse(text)


def test_chain_without_end_is_unknown() -> None:
    top = device("sda", "disk", None)
    for _ in range(50):
        top = device("x", "part", None, top)
    with pytest.raises(UnknownError, match="nests"):
        parse_lsblk(listed(top))


@given(
    name=st.sampled_from(["type", "children", "fstype"]),
    value=st.none() | st.integers() | st.text() | st.lists(st.none()),
)
def test_no_change_of_one_member_turns_clear_into_encrypted(name: str, value: Any) -> None:
    top = device("sda2", "part", "ext4", device("sda", "disk", None))
    top[name] = value
    with suppress(UnknownError):
        assert parse_lsblk(listed(top)) is False
