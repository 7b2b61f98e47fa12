from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.anchor.evidence import cid_of, is_cid
from proxy.anchor.evidence.cid import CHUNK_BYTES, MAX_LINKS, cid_of_chunks
from proxy.anchor.evidence.kubo_client import ADD
from tests.anchor.evidence.conftest import ipfs

FULL = os.environ.get("DICOMWARD_FULL") == "1"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ipfs")
    subprocess.run([ipfs(), "init", "--empty-repo", "--profile=test"], env=own(path), check=True, capture_output=True)
    return path


def own(path: Path) -> dict[str, str]:
    return {"IPFS_PATH": str(path), "HOME": str(path)}


def kubos(repository: Path, content: bytes) -> str:
    options = [f"--{name}={value}" for name, value in ADD.items() if name != "pin"]
    command = [ipfs(), "add", "--offline", "--only-hash", "--quieter", *options]
    done = subprocess.run(command, env=own(repository), input=content, capture_output=True, check=True, timeout=60)
    return done.stdout.decode("ascii").strip()


EDGES = (
    *(0, 1, 255, 256, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 17 * CHUNK_BYTES + 5),
    *((MAX_LINKS * CHUNK_BYTES, MAX_LINKS * CHUNK_BYTES + 1, (MAX_LINKS + 2) * CHUNK_BYTES) if FULL else ()),
)


@pytest.mark.parametrize("size", EDGES)
def test_identifier_is_kubos_at_each_edge(repository: Path, size: int) -> None:
    content = b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]
    assert cid_of(content) == kubos(repository, content)


@settings(max_examples=100 if FULL else 15)
@given(size=st.integers(0, 6 * CHUNK_BYTES), byte=st.integers(0, 255))
def test_identifier_is_kubos_for_any_size(repository: Path, size: int, byte: int) -> None:
    content = bytes([byte]) * size
    assert cid_of(content) == kubos(repository, content)


def test_second_level_of_links_is_kubos() -> None:
    """174 chunks and one more; Kubo's word, so that no run has to hash 182 MB."""
    chunks = [bytes(CHUNK_BYTES)] * MAX_LINKS
    assert cid_of_chunks([*chunks, b"\0"]) == "bafybeibvh2wc7n5urwrvmv7nxmk2htrwz3mqqs4ulqcnzwpxtpxoer6xmu"


@given(content=st.binary(min_size=1, max_size=300), place=st.integers(0, 299), bit=st.integers(0, 7))
def test_one_bit_gives_another_identifier(content: bytes, place: int, bit: int) -> None:
    changed = bytearray(content)
    changed[place % len(content)] ^= 1 << bit
    assert cid_of(bytes(changed)) != cid_of(content)
    assert is_cid(cid_of(content))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../../etc/passwd",
        "b/" + "a" * 57,
        "b" + "a" * 57 + "\n",
        "b" + "a" * 58 + "\n",
        "b" + "A" * 58,
        "b" + "a" * 59,
        "b" + "\u0430" * 58,
        "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX",
        "b" + "a" * 29 + "\0" + "a" * 28,
    ],
)
def test_what_may_not_name_a_file_is_no_identifier(text: str) -> None:
    assert not is_cid(text)
