from __future__ import annotations

import json
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ArchiveError
from proxy.fulfil import jsonlist
from proxy.fulfil.jsonlist import JsonList
from tests.fulfil.building import cut, datasets, element

CHUNK = 256 * 1024


def read(body: bytes, sizes: list[int]) -> list[Any]:
    found = JsonList()
    objects: list[Any] = []
    for chunk in cut(body, sizes):
        objects += found.feed(chunk)
    return objects + found.end()


@given(st.lists(datasets, max_size=4), st.lists(st.integers(1, 60), max_size=4), st.sampled_from([None, 1]))
def test_list_read_in_any_pieces_is_the_list_read_whole(
    rows: list[dict[str, Any]], sizes: list[int], indent: int | None
) -> None:
    for ascii_only in (True, False):
        body = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
        assert read(body, sizes) == orjson.loads(body) == rows


def test_numbers_come_out_as_they_went_in() -> None:
    numbers = [0.1, 1e-300, 1.7976931348623157e308, 5e-324, -0.0, 123456789012345678, 2**64 - 1, 1e22]
    body = orjson.dumps([{"00181041": element("FD", *numbers)}])
    for sizes in ([], [7]):
        (found,) = read(body, sizes)
        assert [repr(value) for value in found["00181041"]["Value"]] == list(map(repr, numbers))


@pytest.mark.parametrize("body", [b"[]", b" [ ] ", b"[{}]", b"\r\n[\t{} , {}\n]\r\n"])
def test_white_space_between_objects_is_nothing(body: bytes) -> None:
    for sizes in ([], [1]):
        assert read(body, sizes) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[",
        b"]",
        b"{}",
        b"null",
        b"[1]",
        b"[null]",
        b'["a"]',
        b"[[]]",
        b"[{}",
        b"[{},]",
        b"[,{}]",
        b"[{} {}]",
        b"[{}]]",
        b"[{}][{}]",
        b"[{}]{}",
        b"[{}] x",
        b"[{]",
        b'[{"a":}]',
        b'[{"a" 1}]',
        b"[{'a': 1}]",
        b'[{"a": NaN}]',
        b'[{"a": Infinity}]',
        b'[{"a": -Infinity}]',
        b'[{"a": 01}]',
        b'[{"a": "\n"}]',
        b'[{"a": "\xff"}]',
        b'[{"a": "\xc3"}]',
        b'[{"a": "\xed\xa0\x80"}]',
        b"[{}]\xc3",
        b"\xef\xbb\xbf[{}]",
        b'[{"a": 1' + b"0" * 5000 + b"}]",
        b'[{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        b"<html></html>",
    ],
)
def test_what_is_no_list_of_objects_is_an_error(body: bytes) -> None:
    for sizes in ([], [1], [3, 5]) if len(body) < 1000 else ([], [4096]):
        with pytest.raises(ArchiveError):
            read(body, sizes)


def test_object_leaves_as_soon_as_it_is_whole() -> None:
    found = JsonList()
    assert found.feed(b'[{"a": 1}, {"b"') == [{"a": 1}]
    assert found.feed(b": 2}, " + b" " * 20) == [{"b": 2}]
    assert found.feed(b"{}") == [{}]
    assert found.feed(b"]") == []
    assert found.end() == []


def test_object_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlist, "MAX_OBJECT", 100_000)
    found = JsonList()
    chunks = (b'[{"a": "', *[b"x" * 1000] * 200)
    with pytest.raises(ArchiveError):
        list(map(found.feed, chunks))


def test_objects_within_the_limit_pass_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlist, "MAX_OBJECT", 1000)
    rows = [{"a": "x" * 900}] * 50
    assert read(json.dumps(rows).encode(), [333]) == rows


def test_work_on_one_long_object_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[int] = []
    original = json.JSONDecoder.raw_decode

    def counting(self: json.JSONDecoder, text: str, position: int = 0) -> Any:
        scanned.append(len(text) - position)
        return original(self, text, position)

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    body = b'[{"00091001": {"vr": "OB", "InlineBinary": "' + b"A" * (8 << 20) + b'"}}]'
    assert len(read(body, [CHUNK // 16])) == 1
    assert sum(scanned) < 4 * len(body)


def test_memory_is_that_of_one_object_and_not_of_the_list() -> None:
    one = orjson.dumps({f"0008{n:04X}": element("LO", "some value " * 90) for n in range(20)})
    chunk = b",".join([one] * 12)
    found = JsonList()
    found.feed(b"[" + chunk)
    tracemalloc.start()
    count = 12
    while count < 2000:
        count += len(found.feed(b"," + chunk))
    found.feed(b"]")
    found.end()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * len(chunk)
