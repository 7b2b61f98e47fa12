from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.posture.nonces import make_nonce, nonce_end
from proxy.strict import base64url, unbase64url
from tests.posture.making import NOW, seconds

KEY, MINE, THEIRS = b"k" * 32, b"m" * 32, b"t" * 32


def test_nonce_is_good_for_a_minute_and_not_longer() -> None:
    nonce = make_nonce(KEY, MINE, NOW)
    assert nonce_end(KEY, nonce, MINE, NOW) == NOW + seconds(60)
    assert nonce_end(KEY, nonce, MINE, NOW + seconds(60)) == NOW + seconds(60)
    assert nonce_end(KEY, nonce, MINE, NOW + seconds(60.001)) is None


def test_nonce_made_later_than_now_is_not_good() -> None:
    assert nonce_end(KEY, make_nonce(KEY, MINE, NOW + seconds(0.001)), MINE, NOW) is None


def test_nonce_within_one_millisecond_is_good() -> None:
    made = NOW.replace(microsecond=1999)
    assert nonce_end(KEY, make_nonce(KEY, MINE, made), MINE, NOW.replace(microsecond=1001)) is not None


def test_nonce_is_for_one_certificate_and_by_one_key() -> None:
    nonce = make_nonce(KEY, MINE, NOW)
    assert nonce_end(KEY, nonce, THEIRS, NOW) is None
    assert nonce_end(b"x" * 32, nonce, MINE, NOW) is None


def test_two_nonces_are_two() -> None:
    assert make_nonce(KEY, MINE, NOW) != make_nonce(KEY, MINE, NOW)


@given(st.integers(0, 56 * 8 - 1))
def test_nonce_with_one_bit_flipped_is_not_ours(bit: int) -> None:
    content = bytearray(unbase64url(make_nonce(KEY, MINE, NOW)))
    content[bit // 8] ^= 1 << bit % 8
    assert nonce_end(KEY, base64url(bytes(content)), MINE, NOW) is None


@given(st.one_of(st.text(), st.binary(max_size=80).map(base64url)))
def test_anything_else_is_not_ours(text: str) -> None:
    assert nonce_end(KEY, text, MINE, NOW) is None


def test_nonce_has_one_spelling() -> None:
    nonce = make_nonce(KEY, MINE, NOW)
    for other in (nonce + "=", nonce + "A", nonce[:-1], " " + nonce, nonce + "\n", nonce.swapcase()):
        assert nonce_end(KEY, other, MINE, NOW) is None
