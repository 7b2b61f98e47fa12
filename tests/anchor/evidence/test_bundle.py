"""Bundles: what goes in comes out for the auditors, and whatever else is refused by its own name."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.cobblestone import Cobblestone128Encryptor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.anchor.evidence import (
    AuditorKey,
    Sealed,
    cid_of,
    header_of,
    load_auditor,
    load_auditor_key,
    open_bundle,
    rewrap,
    seal_bundle,
    write_keys,
)
from proxy.anchor.evidence import bundle as module
from proxy.commitment import encode
from proxy.errors import ConfigurationError, EvidenceError, EvidenceFault
from proxy.model import RecordRow
from tests.anchor.evidence.conftest import header, rows, sealed

KEY = AuditorKey.generate()
RECORD = (0).to_bytes(4, "big") + bytes(32)
"""An empty body."""


def fault(content: bytes, envelope: bytes, key: AuditorKey = KEY) -> EvidenceFault:
    with pytest.raises(EvidenceError) as refused:
        open_bundle(content, envelope, key)
    return refused.value.fault


def forged(
    padded: bytes | None = None, plain: bytes | None = None, line: bytes | None = None, **changes: Any
) -> tuple[bytes, bytes]:
    """A bundle by somebody who has the auditor's public key: sealed as it should be, over whatever is given."""
    head = replace(header(0, 1), **changes)
    line = head.line() if line is None else line
    if padded is None:
        compressed = zlib.compress(RECORD if plain is None else plain)
        padded = len(compressed).to_bytes(8, "big") + compressed
    content_key, digest = Cobblestone128Encryptor.generate_key(), hashlib.sha256(line).digest()
    encryptor = Cobblestone128Encryptor(content_key, digest)
    content = line + b"\n" + encryptor.update(padded) + encryptor.finalize()
    wrapped = KEY.auditor.wrap(content_key, b"dicomward/evidence/1" + digest)
    said = {
        "format": "dicomward-evidence-keys/1",
        "cid": cid_of(content),
        **head.to_wire(),
        "keys": [{"auditor": KEY.auditor.id, "wrapped": base64.b64encode(wrapped).decode()}],
    }
    return content, encode(said)


def reworded(envelope: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    said = orjson.loads(envelope)
    change(said)
    return orjson.dumps(said)


@settings(max_examples=40)
@given(bodies=st.lists(st.binary(max_size=2000), min_size=1, max_size=20), first=st.integers(0, 2**53 - 100))
def test_what_was_sealed_is_opened(bodies: list[bytes], first: int) -> None:
    made = [replace(row, body=body) for row, body in zip(rows(first, len(bodies)), bodies, strict=True)]
    bundle = seal_bundle(header(first, len(bodies)), made, [KEY.auditor])
    opened = open_bundle(bundle.content, bundle.envelope, KEY)
    assert opened.records == [(row.salt, row.body) for row in made]
    assert opened.header == header_of(bundle.envelope) == header(first, len(bodies))
    assert bundle.cid == cid_of(bundle.content)


def test_each_auditor_opens_it_and_nobody_else(key: AuditorKey, other_key: AuditorKey) -> None:
    bundle = seal_bundle(header(), rows(0, 3), [key.auditor, other_key.auditor])
    assert open_bundle(bundle.content, bundle.envelope, key) == open_bundle(bundle.content, bundle.envelope, other_key)
    assert fault(bundle.content, bundle.envelope, KEY) is EvidenceFault.NO_KEY


def test_size_says_little_and_content_says_no_record() -> None:
    made = [replace(row, body=b"PATIENT^NAME" * row.index) for row in rows(0, 3)]
    small, large = (seal_bundle(header(), made[:3], [KEY.auditor]), sealed(KEY, 0, 3, 5000))
    assert len(small.content) == len(large.content)
    assert b"PATIENT" not in small.content + small.envelope


def test_sealed_twice_is_not_the_same() -> None:
    made = rows(0, 3)
    one, other = (seal_bundle(header(), made, [KEY.auditor]) for _ in range(2))
    assert one.cid != other.cid


@pytest.mark.parametrize(
    ("made", "auditors"),
    [
        (rows(0, 2), 1),
        (rows(1, 3), 1),
        (list(reversed(rows(0, 3))), 1),
        (rows(0, 3), 0),
        ([replace(row, salt=b"short") for row in rows(0, 3)], 1),
    ],
    ids=["fewer", "others", "order", "nobody", "salt"],
)
def test_rows_that_are_not_the_headers_are_not_sealed(made: list[RecordRow], auditors: int) -> None:
    with pytest.raises(ValueError):
        seal_bundle(header(), made, [KEY.auditor] * auditors)


def test_rows_too_large_to_be_opened_are_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="too large"):
        sealed(KEY, 0, 3, 400)


# ------------------------------------------------------------------------------------------ hostile


def test_content_of_another_bundle_is_unreadable() -> None:
    one, other = sealed(KEY), sealed(KEY)
    assert fault(other.content, one.envelope) is EvidenceFault.UNREADABLE


def test_envelope_of_another_under_this_identifier_is_unreadable() -> None:
    one, other = sealed(KEY), sealed(KEY)
    envelope = reworded(other.envelope, lambda said: said.update(cid=one.cid))
    assert fault(one.content, envelope) is EvidenceFault.UNREADABLE


@settings(max_examples=60)
@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_one_bit_of_the_content_is_unreadable_even_with_its_own_identifier(place: int, bit: int) -> None:
    bundle = BUNDLE
    changed = bytearray(bundle.content)
    changed[place % len(changed)] ^= 1 << bit
    content = bytes(changed)
    envelope = reworded(bundle.envelope, lambda said: said.update(cid=cid_of(content)))
    assert fault(content, envelope) is EvidenceFault.UNREADABLE


@settings(max_examples=40)
@given(length=st.integers(min_value=0))
def test_truncated_content_is_unreadable(length: int) -> None:
    content = BUNDLE.content[: length % len(BUNDLE.content)]
    envelope = reworded(BUNDLE.envelope, lambda said: said.update(cid=cid_of(content)))
    assert fault(content, envelope) is EvidenceFault.UNREADABLE


@settings(max_examples=200)
@given(content=st.binary(max_size=300), envelope=st.binary(max_size=300))
def test_noise_is_unreadable(content: bytes, envelope: bytes) -> None:
    assert fault(content, envelope) is EvidenceFault.UNREADABLE
    assert fault(BUNDLE.content, envelope) is EvidenceFault.UNREADABLE
    assert fault(content, BUNDLE.envelope) is EvidenceFault.UNREADABLE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(name=st.sampled_from(["cid", "format", "chain_id", "contract", "origin", "first", "count", "keys"]), value=JSON)
def test_envelope_with_anything_in_a_field_is_refused(name: str, value: Any) -> None:
    envelope = reworded(BUNDLE.envelope, lambda said: said.update({name: value}))
    assume(orjson.loads(envelope) != orjson.loads(BUNDLE.envelope) or type(value) is bool)
    expected = EvidenceFault.NO_KEY if name == "keys" else EvidenceFault.UNREADABLE
    assert fault(BUNDLE.content, envelope) in (expected, EvidenceFault.UNREADABLE)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": "31337"},
        {"chain_id": True},
        {"first": False},
        {"count": 1.0},
        {"count": 0},
        {"count": module.MAX_RECORDS + 1},
        {"first": -1},
        {"origin": "0a" * 31},
        {"origin": "0A" * 32},
        {"contract": "0X" + "c0" * 20},
        {"contract": "c0" * 20},
        {"format": "dicomward-evidence/2"},
        {"more": 1},
    ],
    ids=str,
)
def test_header_in_any_other_form_is_unreadable(change: dict[str, Any]) -> None:
    line = encode({"format": "dicomward-evidence/1", **header(0, 1).to_wire()})
    said = {**orjson.loads(line), **change}
    content, envelope = forged(line=orjson.dumps(said, option=orjson.OPT_SORT_KEYS))
    assert fault(content, envelope) is EvidenceFault.UNREADABLE
    altered = reworded(forged()[1], lambda kept: kept.update({k: v for k, v in change.items() if k != "format"}))
    if "format" not in change:
        with pytest.raises(EvidenceError):
            header_of(altered)


def test_header_spelt_otherwise_or_without_an_end_is_unreadable() -> None:
    line = header(0, 1).line()
    for spelt in (line.replace(b":", b": "), line + b" ", b"", line[:-1], b" " * 2000):
        assert fault(*forged(line=spelt)) is EvidenceFault.UNREADABLE


def test_forged_bundle_that_is_whole_opens() -> None:
    """What the forger does is right but for what each test changes."""
    assert open_bundle(*forged(), KEY).records == [(bytes(32), b"")]


def test_header_that_lies_of_how_many_records_there_are_is_unreadable() -> None:
    assert fault(*forged(plain=RECORD * 2)) is EvidenceFault.UNREADABLE
    assert fault(*forged(count=2)) is EvidenceFault.UNREADABLE
    assert fault(*forged(plain=b"")) is EvidenceFault.UNREADABLE


@pytest.mark.parametrize(
    "plain",
    [
        (1).to_bytes(4, "big") + bytes(32),
        (2**32 - 1).to_bytes(4, "big") + bytes(32) + b"body",
        bytes(35),
        bytes(3),
        RECORD + b"\0",
        RECORD + RECORD[:-1],
    ],
    ids=["one-past", "far-past", "no-salt", "no-length", "trailing", "half-a-record"],
)
def test_lengths_past_the_end_and_trailing_bytes_are_unreadable(plain: bytes) -> None:
    assert fault(*forged(plain=plain)) is EvidenceFault.UNREADABLE


COMPRESSED = zlib.compress(RECORD)
LENGTH = len(COMPRESSED).to_bytes(8, "big")


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        LENGTH,
        bytes(8) + COMPRESSED,
        (len(COMPRESSED) + 1).to_bytes(8, "big") + COMPRESSED,
        (2**64 - 1).to_bytes(8, "big") + COMPRESSED,
        LENGTH + COMPRESSED + b"\0\0x",
        (len(COMPRESSED) - 1).to_bytes(8, "big") + COMPRESSED[:-1],
        (len(COMPRESSED) + 1).to_bytes(8, "big") + COMPRESSED + b"x",
        (9).to_bytes(8, "big") + b"not zlib.",
    ],
    ids=["empty", "only", "zero", "past", "far", "hidden", "cut", "after", "noise"],
)
def test_malformed_padding_and_compression_are_unreadable(padded: bytes) -> None:
    assert fault(*forged(padded=padded)) is EvidenceFault.UNREADABLE


def test_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 2**20)
    bomb = zlib.compress(bytes(2**26))
    content, envelope = forged(padded=len(bomb).to_bytes(8, "big") + bomb)
    unpacked = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self._real = real()

        def decompress(self, data: bytes, limit: int) -> bytes:
            unpacked.append(self._real.decompress(data, limit))
            return unpacked[-1]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(module.zlib, "decompressobj", Counting)
    assert fault(content, envelope) is EvidenceFault.UNREADABLE
    assert sum(map(len, unpacked)) == 2**20


@pytest.mark.parametrize(
    "wrapped",
    ["", "AA==", "not base64", base64.b64encode(bytes(1200)).decode()],
    ids=["empty", "short", "text", "zeros"],
)
def test_wrapped_key_that_is_none_is_unreadable(wrapped: str) -> None:
    envelope = reworded(BUNDLE.envelope, lambda said: said["keys"][0].update(wrapped=wrapped))
    assert fault(BUNDLE.content, envelope) is EvidenceFault.UNREADABLE


def test_envelope_larger_than_one_can_be_is_unreadable() -> None:
    assert fault(BUNDLE.content, BUNDLE.envelope + b" " * 2**20) is EvidenceFault.UNREADABLE


# ------------------------------------------------------------------------------------------ auditors


def test_rewrapped_for_another_the_content_stays_and_the_former_cannot(key: AuditorKey, other_key: AuditorKey) -> None:
    bundle = sealed(key)
    envelope = rewrap(bundle.envelope, bundle.content, key, [other_key.auditor])
    assert open_bundle(bundle.content, envelope, other_key) == open_bundle(bundle.content, bundle.envelope, key)
    assert fault(bundle.content, envelope, key) is EvidenceFault.NO_KEY
    with pytest.raises(EvidenceError):
        rewrap(bundle.envelope, bundle.content, other_key, [other_key.auditor])


def test_keys_are_read_as_they_were_written(tmp_path: Path) -> None:
    key = AuditorKey.generate()
    private, public = write_keys(tmp_path, "auditor", key)
    assert private.stat().st_mode & 0o777 == 0o600
    assert load_auditor_key(private) == key
    assert load_auditor(public) == key.auditor
    assert key.raw.hex() not in repr(key)
    assert repr(key.raw)[2:20] not in repr(key)


def test_keys_that_exist_are_not_replaced(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "auditor", KEY)
    with pytest.raises(ConfigurationError, match=r"auditor\.key"):
        write_keys(tmp_path, "auditor", AuditorKey.generate())
    assert load_auditor_key(private) == KEY
    private.unlink()
    with pytest.raises(ConfigurationError, match=r"auditor\.pub"):
        write_keys(tmp_path, "auditor", AuditorKey.generate())
    assert load_auditor(public) == KEY.auditor


def test_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    private, _ = write_keys(tmp_path, "auditor", KEY)
    private.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_auditor_key(private)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"dicomward-auditor-public-key/1\n",
        b"dicomward-auditor-public-key/1\nAAAA\n",
        b"dicomward-auditor-public-key/2\n" + base64.b64encode(KEY.auditor.raw),
        b"dicomward-auditor-public-key/1\n" + base64.b64encode(KEY.auditor.raw) + b"\nmore",
        b"dicomward-auditor-public-key/1\n" + base64.b64encode(b"\xff" * 1216),
        b"dicomward-auditor-public-key/1\n***" + base64.b64encode(KEY.auditor.raw),
        b"\xff\xfe",
        b"dicomward-auditor-private-key/1\n" + base64.b64encode(KEY.raw),
    ],
    ids=["empty", "no-key", "short", "version", "more", "off-curve", "not-base64", "not-ascii", "private"],
)
def test_what_is_no_public_key_is_refused_and_not_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        load_auditor(path)
    assert str(path) in refused.value.detail
    assert base64.b64encode(KEY.raw).decode()[:16] not in refused.value.detail


def test_public_key_is_no_private_one(tmp_path: Path) -> None:
    _, public = write_keys(tmp_path, "auditor", KEY)
    public.chmod(0o600)
    with pytest.raises(ConfigurationError, match="private-key"):
        load_auditor_key(public)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_auditor_key(tmp_path / "absent")


BUNDLE: Sealed = sealed(KEY)
