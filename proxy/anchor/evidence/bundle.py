"""One bundle: the records of a range of one origin, closed to everybody but the auditors. Pure.

::

    content   = header line || LF || Cobblestone-128(content key, context, padded)   context: SHA-256(header line)
    padded    = length of compressed, 8 bytes big endian || compressed || zeros up to a multiple of 64 KiB
    compressed = zlib(each record: length of body, 4 bytes big endian || salt, 32 || body)
    envelope  = {"cid", "keys": [{"auditor", "wrapped": HPKE(content key, info)}], ...header}
    info      = "dicomward/evidence/1" || SHA-256(header line)

The header is canonical JSON and in the clear: which range of which origin, as the chain says it too. The content key
is in the envelope alone, which never goes to IPFS: destroying it erases every copy of the content.

Nobody signs a bundle: what it is worth shows when its records give the leaves that were anchored.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import orjson
from cryptography.cobblestone import Cobblestone128Decryptor, Cobblestone128Encryptor
from cryptography.exceptions import InvalidTag

from proxy.anchor.evidence.auditors import Auditor, AuditorKey
from proxy.anchor.evidence.cid import cid_of
from proxy.commitment import SALT_BYTES, encode
from proxy.errors import EvidenceError, EvidenceFault
from proxy.model import JsonObject, RecordRow

FORMAT: Final = "dicomward-evidence/1"
KEYS_FORMAT: Final = "dicomward-evidence-keys/1"
MAX_RECORDS: Final = 65_536
MAX_BYTES: Final = 256 * 2**20
"""Most a bundle holds uncompressed; more is not opened, so that no bundle fills a verifier's memory."""
PADDING_BYTES: Final = 64 * 2**10
"""So that the size of a bundle says little about its records."""

_MAX_HEADER: Final = 1024
_MAX_ENVELOPE: Final = 2**20
_INFO: Final = b"dicomward/evidence/1"
_LENGTH: Final = 4
_PREFIX: Final = _LENGTH + SALT_BYTES
_COMPRESSION: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    chain_id: int
    contract: bytes
    origin: bytes
    first: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.count

    def line(self) -> bytes:
        return encode({"format": FORMAT, **self.to_wire()})

    def to_wire(self) -> JsonObject:
        return {
            "chain_id": self.chain_id,
            "contract": "0x" + self.contract.hex(),
            "origin": self.origin.hex(),
            "first": self.first,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    cid: str
    content: bytes
    envelope: bytes
    """Canonical JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    header: Header
    records: list[tuple[bytes, bytes]]
    """Salt and body of each, in order; not yet held against any leaf."""


def seal_bundle(header: Header, rows: Sequence[RecordRow], auditors: Sequence[Auditor]) -> Sealed:
    """Close ``rows``, which are those of ``header`` in order, to the ``auditors``.

    :raises ValueError: they are not, there is no auditor, or it would be too large to be opened
    """
    if [row.index for row in rows] != list(range(header.first, header.end)) or not 0 < len(rows) <= MAX_RECORDS:
        raise ValueError("the rows are not those of the header")
    if not auditors:
        raise ValueError("evidence is for at least one auditor")
    plain = b"".join(len(row.body).to_bytes(_LENGTH, "big") + row.salt + row.body for row in rows)
    if len(plain) > MAX_BYTES or any(len(row.salt) != SALT_BYTES for row in rows):
        raise ValueError("the rows are too large for one bundle, or have no salt")
    compressed = zlib.compress(plain, _COMPRESSION)
    padding = -(8 + len(compressed)) % PADDING_BYTES
    line = header.line()
    digest = hashlib.sha256(line).digest()
    key = Cobblestone128Encryptor.generate_key()
    encryptor = Cobblestone128Encryptor(key, digest)
    content = b"".join(
        (
            line,
            b"\n",
            encryptor.update(len(compressed).to_bytes(8, "big") + compressed + bytes(padding)),
            encryptor.finalize(),
        )
    )
    cid = cid_of(content)
    return Sealed(cid=cid, content=content, envelope=_envelope(header, cid, key, auditors))


def open_bundle(content: bytes, envelope: bytes, key: AuditorKey) -> Opened:
    """What a bundle holds. Whether ``content`` is of the CID it was fetched by is the store's to say.

    :raises EvidenceError: ``NO_KEY`` or ``UNREADABLE``
    """
    line, separator, sealed = content.partition(b"\n") if b"\n" in content[:_MAX_HEADER] else (b"", b"", b"")
    header = _header(line)
    if not separator or header is None:
        raise _unreadable("its first line is no header")
    said, keys = _parse_envelope(envelope)
    # Compared as written: to Python, False and 0 and 0.0 are one.
    if encode(said) != encode({"cid": cid_of(content), "format": KEYS_FORMAT, **header.to_wire()}):
        raise _unreadable("its envelope is another's")
    padded = _decrypt(sealed, _unwrap(keys, line, key), hashlib.sha256(line).digest())
    length = int.from_bytes(padded[:8], "big")
    if not 0 < length <= len(padded) - 8 or any(padded[8 + length :]):
        raise _unreadable("its padding is malformed")
    return Opened(header=header, records=_records(_decompress(padded[8 : 8 + length]), header.count))


def rewrap(envelope: bytes, content: bytes, key: AuditorKey, auditors: Sequence[Auditor]) -> bytes:
    """The envelope for these auditors in place of those before: by one of them, since nobody else can open it.

    :raises EvidenceError: as for :func:`open_bundle`
    """
    opened = open_bundle(content, envelope, key)
    said, keys = _parse_envelope(envelope)
    return _envelope(opened.header, str(said["cid"]), _unwrap(keys, opened.header.line(), key), auditors)


def header_of(envelope: bytes) -> Header:
    """Which records a bundle says it holds, told by its envelope: nothing of it is secret.

    :raises EvidenceError: ``UNREADABLE``
    """
    said, _ = _parse_envelope(envelope)
    said.pop("cid", None)
    header = _header(encode({**said, "format": FORMAT}))
    if header is None:
        raise _unreadable("its envelope is malformed")
    return header


def auditors_of(envelope: bytes) -> tuple[str, ...]:
    """Ids of those who may open a bundle, as its envelope says.

    :raises EvidenceError: ``UNREADABLE``
    """
    return tuple(one.get("auditor", "") for one in _parse_envelope(envelope)[1])


def _envelope(header: Header, cid: str, key: bytes, auditors: Sequence[Auditor]) -> bytes:
    info = _info(header.line())
    return encode(
        {
            "format": KEYS_FORMAT,
            "cid": cid,
            **header.to_wire(),
            "keys": [
                {"auditor": one.id, "wrapped": base64.b64encode(one.wrap(key, info)).decode("ascii")}
                for one in sorted(set(auditors), key=lambda one: one.id)
            ],
        }
    )


def _info(line: bytes) -> bytes:
    return _INFO + hashlib.sha256(line).digest()


def _header(line: bytes) -> Header | None:
    try:
        said: dict[str, Any] = orjson.loads(line)
        header = Header(
            chain_id=said["chain_id"],
            contract=bytes.fromhex(said["contract"][2:]),
            origin=bytes.fromhex(said["origin"]),
            first=said["first"],
            count=said["count"],
        )
        # Written again, it has to be the same: one spelling, nothing added, no number that is a text.
        whole = header.line() == line and len(header.contract) == 20 and len(header.origin) == 32
        whole = whole and all(type(one) is int for one in (header.chain_id, header.first, header.count))
        return header if whole and header.first >= 0 and 0 < header.count <= MAX_RECORDS else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_envelope(envelope: bytes) -> tuple[JsonObject, list[dict[str, str]]]:
    try:
        if len(envelope) > _MAX_ENVELOPE:
            raise ValueError("too large")
        said: dict[str, Any] = orjson.loads(envelope)
        keys = said.pop("keys")
        if not all(type(one) is dict and all(type(value) is str for value in one.values()) for one in keys):
            raise ValueError("keys")
        encode(said)  # has to be possible, for what is done with it
        return said, keys
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unreadable("its envelope is malformed") from None


def _unwrap(keys: Sequence[dict[str, str]], line: bytes, key: AuditorKey) -> bytes:
    mine = [one for one in keys if one.get("auditor") == key.auditor.id]
    if not mine:
        raise EvidenceError(EvidenceFault.NO_KEY, "it was not made for this auditor")
    try:
        content_key = key.unwrap(base64.b64decode(mine[0].get("wrapped", ""), validate=True), _info(line))
    except ValueError:
        content_key = None
    if content_key is None:
        raise _unreadable("the key in its envelope was not made for it")
    return content_key


def _decrypt(sealed: bytes, key: bytes, context: bytes) -> bytes:
    try:
        decryptor = Cobblestone128Decryptor(key, context)
        return decryptor.update(sealed) + decryptor.finalize()
    except (InvalidTag, ValueError):
        raise _unreadable("it does not decrypt") from None


def _decompress(compressed: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        plain = decompressor.decompress(compressed, MAX_BYTES)
    except zlib.error:
        raise _unreadable("it does not decompress") from None
    if not decompressor.eof or decompressor.unused_data:
        raise _unreadable("it does not decompress to what a bundle may hold")
    return plain


def _records(plain: bytes, count: int) -> list[tuple[bytes, bytes]]:
    starts = [0]
    while starts[-1] < len(plain) and len(starts) <= count:
        start = starts[-1]
        starts.append(start + _PREFIX + int.from_bytes(plain[start : start + _LENGTH], "big"))
    if len(starts) != count + 1 or starts[-1] != len(plain):
        raise _unreadable("it does not hold the records that it says")
    return [(plain[start + _LENGTH : start + _PREFIX], plain[start + _PREFIX : end]) for start, end in pairwise(starts)]


def _unreadable(why: str) -> EvidenceError:
    return EvidenceError(EvidenceFault.UNREADABLE, why)
