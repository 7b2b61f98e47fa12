"""The directory of roles: strict when read, and never worse than the last good one."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.identify.directory import Directory
from proxy.model import Role, User
from tests.identify.issuing import NOW, put

GOOD = b'{"users": {"clinic/4711": ["radiologist", "admin"]}, "devices": {"urn:pc:1": ["technologist"]}}'


def user(subject: str, issuer: str = "clinic") -> User:
    return User(id=f"{issuer}/{subject}", issuer=issuer, subject=subject, roles=(), purpose=None, expires_at=NOW)


def opened(folder: Path, content: bytes = GOOD) -> Directory:
    put(folder / "directory.json", content)
    return Directory(folder / "directory.json")


def directory_roles(*names: str) -> tuple[Role, ...]:
    return tuple(Role(name=name, source="directory") for name in names)


def test_roles_are_those_of_the_user_and_else_of_the_device(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    assert directory.roles(user("4711"), "urn:pc:1") == directory_roles("admin", "radiologist")
    assert directory.roles(None, "urn:pc:1") == directory_roles("technologist")
    assert directory.roles(user("4712"), "urn:pc:1") == ()
    assert directory.roles(user("4711", "other"), "urn:pc:1") == ()
    assert directory.roles(None, "clinic/4711") == ()


def test_sections_may_be_left_out(tmp_path: Path) -> None:
    assert opened(tmp_path, b"{}").roles(None, "urn:pc:1") == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"user": {}}',
        b'{"users": [], "devices": {}}',
        b'{"users": {"clinic/1": "radiologist"}}',
        b'{"users": {"clinic/1": [1]}}',
        b'{"users": {"clinic/1": [""]}}',
        b'{"users": {"clinic/1": ["a\\n"]}}',
        b'{"users": {"clinic/1": ["a", "a"]}}',
        b'{"users": {"clinic/1": null}}',
        b'{"users": {"clinic/1": ["a"], "clinic/1": ["b"]}}',
        b'{"users": {}, "users": {}}',
        b'{"users": {"4711": ["radiologist"]}}',
        b'{"users": {"/4711": ["radiologist"]}}',
        b'{"users": {"clinic/": ["radiologist"]}}',
        b'{"devices": {"": ["radiologist"]}}',
        json.dumps({"devices": {"a": ["r" * 129]}}).encode(),
        json.dumps({"devices": {"a": [str(number) for number in range(129)]}}).encode(),
    ],
)
def test_directory_of_another_form_is_refused_at_start_and_later(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match="directory"):
        opened(tmp_path, content)
    directory = opened(tmp_path)
    put(tmp_path / "directory.json", content)
    with caplog.at_level(logging.INFO):
        assert not directory.reload()
        assert not directory.reload()
    assert directory.failed
    assert directory.generation == 0
    assert directory.roles(None, "urn:pc:1") == directory_roles("technologist")
    assert len(caplog.records) == 1
    assert "radiologist" not in str(vars(caplog.records[0]))
    put(tmp_path / "directory.json", b'{"devices": {"urn:pc:1": ["radiologist"]}}')
    assert directory.reload()
    assert (directory.failed, directory.generation) == (False, 1)
    assert directory.roles(None, "urn:pc:1") == directory_roles("radiologist")


def test_directory_that_is_not_there_is_refused_at_start_and_kept_later(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"identify\.directory"):
        Directory(tmp_path / "directory.json")
    directory = opened(tmp_path)
    (tmp_path / "directory.json").unlink()
    assert not directory.reload()
    assert directory.failed
    assert directory.roles(None, "urn:pc:1") == directory_roles("technologist")
    put(tmp_path / "directory.json", GOOD)
    assert not directory.reload()
    assert not directory.failed


def test_directory_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="longer"):
        opened(tmp_path, b" " * (4 * 2**20) + GOOD)


def test_same_content_written_again_changes_no_generation(tmp_path: Path) -> None:
    directory = opened(tmp_path)
    put(tmp_path / "directory.json", GOOD + b"\n")
    assert not directory.reload()
    assert directory.generation == 0


def test_copy_of_the_same_size_that_brings_its_time_along_is_read(tmp_path: Path) -> None:
    directory, path = opened(tmp_path), tmp_path / "directory.json"
    before = path.stat()
    time.sleep(0.05)  # more than the grain of a file system's clock
    path.write_bytes(GOOD.replace(b"technologist", b"radiographer"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (before.st_size, before.st_ino, before.st_mtime_ns)
    assert directory.reload()
    assert directory.roles(None, "urn:pc:1") == directory_roles("radiographer")
