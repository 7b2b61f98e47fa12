"""Content identifiers as the design fixes them: the same for a folder and for Kubo. Pure.

CIDv1, SHA-256, chunks of 1 MiB as raw leaves, balanced, at most 174 links a node, links in DAG-PB (IPLD) around
UnixFS file nodes, base32 in lower case. ``ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576`` gives the
same; a test holds both side by side. Sources: IPLD's DAG-PB and UnixFS specifications.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 2**20
MAX_LINKS: Final = 174

_RAW: Final = 0x55
_DAG_PB: Final = 0x70
_SHA2_256: Final = b"\x12\x20"
_FILE: Final = 2
_CID: Final = re.compile(r"b[a-z2-7]{58}")


@dataclass(frozen=True, slots=True)
class _Node:
    cid: bytes
    content_bytes: int
    total_bytes: int
    """With every node below."""


def cid_of(content: bytes) -> str:
    """The identifier of these bytes."""
    view = memoryview(content)
    return cid_of_chunks(view[start : start + CHUNK_BYTES] for start in range(0, len(content) or 1, CHUNK_BYTES))


def cid_of_chunks(chunks: Iterable[bytes | memoryview]) -> str:
    """The identifier of content that comes in chunks of :data:`CHUNK_BYTES`, the last one at most that long."""
    nodes = [_leaf(chunk) for chunk in chunks]
    while len(nodes) > 1:
        nodes = [_parent(nodes[start : start + MAX_LINKS]) for start in range(0, len(nodes), MAX_LINKS)]
    return "b" + base64.b32encode(nodes[0].cid).decode("ascii").rstrip("=").lower()


def is_cid(text: str) -> bool:
    """Whether this is an identifier of ours in form; only then may it name a file."""
    return _CID.fullmatch(text) is not None


def _leaf(chunk: bytes | memoryview) -> _Node:
    return _Node(cid=_cid(_RAW, hashlib.sha256(chunk).digest()), content_bytes=len(chunk), total_bytes=len(chunk))


def _parent(children: Sequence[_Node]) -> _Node:
    links = b"".join(
        _field(2, _field(1, child.cid) + _field(2, b"") + _number(3, child.total_bytes)) for child in children
    )
    size = sum(child.content_bytes for child in children)
    sizes = b"".join(_number(4, child.content_bytes) for child in children)
    encoded = links + _field(1, _number(1, _FILE) + _number(3, size) + sizes)
    return _Node(
        cid=_cid(_DAG_PB, hashlib.sha256(encoded).digest()),
        content_bytes=size,
        total_bytes=len(encoded) + sum(child.total_bytes for child in children),
    )


def _cid(codec: int, digest: bytes) -> bytes:
    return bytes((1, codec)) + _SHA2_256 + digest


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
