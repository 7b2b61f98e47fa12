from __future__ import annotations

import hashlib
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from proxy.commitment import canonical, encode, genesis, head_after, leaf_of, next_head
from proxy.model import MAX_INTEGER

ascii_keys = st.text(st.characters(max_codepoint=0x7F), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-MAX_INTEGER, max_value=MAX_INTEGER)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_keys, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(ascii_keys, values, max_size=6))
def test_canonical_is_rfc_8785(record: dict[str, Any]) -> None:
    assert canonical(record) == rfc8785.dumps(record)


@given(st.dictionaries(ascii_keys, values, max_size=6))
def test_what_is_encoded_unchecked_has_the_same_bytes(record: dict[str, Any]) -> None:
    assert encode(record) == canonical(record)


@pytest.mark.parametrize("value", [2**53, 2**64, "\ud800", b"bytes", {1, 2}, Ellipsis], ids=ascii)
def test_what_no_json_can_hold_is_refused_unchecked_too(value: Any) -> None:
    with pytest.raises(ValueError):
        encode({"a": value})


@given(st.dictionaries(ascii_keys, scalars, max_size=6), st.randoms(use_true_random=False))
def test_canonical_does_not_depend_on_the_order_of_keys(record: dict[str, Any], random: Any) -> None:
    items = list(record.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(record)


@pytest.mark.parametrize(
    "value",
    [1.0, -0.0, float("nan"), float("inf"), 0.5, 1e300, -2.5e-9, MAX_INTEGER + 1, -MAX_INTEGER - 1, 2**64, 2**200],
    ids=str,
)
@pytest.mark.parametrize("place", [lambda v: {"a": v}, lambda v: {"a": [{"b": v}]}], ids=["top", "nested"])
def test_number_without_one_canonical_form_is_refused(value: Any, place: Any) -> None:
    with pytest.raises(ValueError):
        canonical(place(value))


@given(st.floats(), st.lists(scalars, max_size=3), ascii_keys)
def test_no_float_passes_wherever_it_stands(value: float, beside: list[Any], key: str) -> None:
    for record in (
        {key: value},
        {"a": [*beside, value]},
        {"a": [value, *beside]},
        {"b": {"text": '":1.5', key: [value]}},
    ):
        with pytest.raises(ValueError):
            canonical(record)


@given(st.text(max_size=8).filter(lambda key: not key.isascii()), scalars)
def test_no_key_passes_that_is_not_ascii(key: str, value: Any) -> None:
    with pytest.raises(ValueError):
        canonical({"a": [{key: value}]})


@pytest.mark.parametrize("key", ["é", "a\u0301", "\U0001f600", "\ud800"], ids=ascii)
def test_key_that_is_not_ascii_is_refused(key: str) -> None:
    with pytest.raises(ValueError):
        canonical({"outer": {key: 1}})


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"], ids=ascii)
def test_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        canonical({"a": text})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, Ellipsis, {1: "x"}, {"a": (1.5,)}], ids=repr)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        canonical({"a": value})


def test_record_that_nests_without_end_is_refused() -> None:
    nested: Any = []
    for _ in range(2000):
        nested = [nested]
    with pytest.raises(ValueError):
        canonical({"a": nested})


def test_canonical_vector() -> None:
    record = {"v": 1, "kind": "event", "b": {"z": [True, None, "é€\n"], "A": -7}, "": ""}
    assert canonical(record) == '{"":"","b":{"A":-7,"z":[true,null,"é€\\n"]},"kind":"event","v":1}'.encode()


def test_leaf_vector() -> None:
    salt, body = bytes(range(32)), b'{"v":1}'
    assert leaf_of(salt, body) == hashlib.sha256(b"\x00" + salt + body).digest()
    assert leaf_of(salt, body).hex() == "588b925f9ee3279da7f40a4763ef5bc001c4cd1f9fcb412fc22503044c05fbba"


def test_head_vector() -> None:
    head, leaf = b"\x11" * 32, b"\x22" * 32
    assert next_head(head, leaf) == hashlib.sha256(head + leaf).digest()
    assert next_head(head, leaf).hex() == "5189c77d29fe5d546a045ec46986852785fea5c13ac7da9c115ff5fb6edf817c"
    assert next_head(head, leaf) != next_head(leaf, head)
    assert head_after(head, [leaf, head]) == next_head(next_head(head, leaf), head)
    assert head_after(head, []) == head


def test_genesis_vector() -> None:
    contract, origin = bytes.fromhex("5fbdb2315678afecb367f032d93f642f64180aa3"), b"\x33" * 32
    assert genesis(31337, contract, origin).hex() == "abd8cc6ae94e04d9da1f547e155f62005ed52eb6852d8a15168ada9438da5973"


@given(
    st.integers(min_value=0, max_value=2**256 - 1),
    st.binary(min_size=20, max_size=20),
    st.binary(min_size=32, max_size=32),
)
def test_genesis_is_bound_to_chain_contract_and_origin(chain_id: int, contract: bytes, origin: bytes) -> None:
    here = genesis(chain_id, contract, origin)
    assert here != genesis(chain_id ^ 1, contract, origin)
    assert here != genesis(chain_id, bytes([contract[0] ^ 1]) + contract[1:], origin)
    assert here != genesis(chain_id, contract, origin[:-1] + bytes([origin[-1] ^ 1]))


@pytest.mark.parametrize(("contract", "origin"), [(b"\0" * 19, b"\0" * 32), (b"\0" * 20, b"\0" * 33), (b"", b"")])
def test_genesis_of_wrong_sizes_is_refused(contract: bytes, origin: bytes) -> None:
    with pytest.raises(ValueError):
        genesis(1, contract, origin)
