from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dev.kubo import kubo_child, kubo_url
from proxy import commitment
from proxy.anchor.evidence import AuditorKey, FolderStore, Header, KuboClient, KuboStore, Sealed, seal_bundle
from proxy.model import RecordRow

ROOT = Path(__file__).resolve().parents[3]
CONTRACT, ORIGIN = b"\xc0" * 20, b"\x0a" * 32


def ipfs() -> str:
    """The real program; skipped where it cannot be had."""
    own = ROOT / ".tools/bin/ipfs"
    if own.exists():
        return str(own)
    if os.environ.get("CI") and shutil.which("go"):
        pytest.fail("Kubo is not here, although it could have been built")
    pytest.skip("no Kubo in .tools/bin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real daemon in a private swarm."""
    ipfs()
    folder, port = tmp_path_factory.mktemp("kubo"), free_port()
    child = kubo_child(folder / "repo", folder / "log", port)
    child.start()
    yield kubo_url(port)
    child.stop()


@pytest.fixture(scope="session")
def public_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real daemon that would join a public network if it could find one."""
    ipfs()
    folder, port = tmp_path_factory.mktemp("public-kubo"), free_port()
    child = kubo_child(folder / "repo", folder / "log", port, private=False)
    child.start()
    yield kubo_url(port)
    child.stop()


@pytest.fixture(scope="session")
def key() -> AuditorKey:
    return AuditorKey.generate()


@pytest.fixture(scope="session")
def other_key() -> AuditorKey:
    return AuditorKey.generate()


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore.prepared(tmp_path / "evidence")


def kubo_store(folder: FolderStore, url: str, *, timeout_s: float = 20, public_swarm: bool = False) -> KuboStore:
    return KuboStore(folder, KuboClient(url, timeout_s=timeout_s), public_swarm=public_swarm)


def rows(first: int, count: int, size: int = 40) -> list[RecordRow]:
    made = []
    for index in range(first, first + count):
        salt, body = secrets.token_bytes(32), secrets.token_bytes(size)
        leaf = commitment.leaf_of(salt, body)
        made.append(RecordRow(index=index, kind=None, id="", salt=salt, body=body, leaf=leaf, head=None))
    return made


def header(first: int = 0, count: int = 3, origin: bytes = ORIGIN) -> Header:
    return Header(chain_id=31337, contract=CONTRACT, origin=origin, first=first, count=count)


def sealed(key: AuditorKey, first: int = 0, count: int = 3, size: int = 40) -> Sealed:
    return seal_bundle(header(first, count), rows(first, count, size), [key.auditor])
