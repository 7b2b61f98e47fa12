"""Laws: interpret is total; what it accepts survives being written and read again; bodies do not depend on slices."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.errors import BodyError, BodyTooLargeError
from proxy.interpret import MultipartReader, headers_of, interpret, target_of, upstream
from proxy.interpret.dicom_header import PartUnreadableError, read_part_header
from proxy.interpret.elements import IncompleteError
from proxy.model import Action, Arrival, Capabilities, DicomRequest, Refusal

from .building import AT, BOUNDARY, IMPLICIT, INSTANCE, PEER, SERIES, STORE_TYPE, STUDY, arrival, body, dicom, parts
from .requests import mutated_requests, requests, spellings

FILES = (dicom(), dicom(IMPLICIT))
BODY = body(*FILES)

uids = st.one_of(
    st.sampled_from([STUDY, SERIES, INSTANCE, "1.2.", "01", "", "..", "%2e"]),
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5}){0,4}", fullmatch=True),
)
words = st.sampled_from(
    ["studies", "series", "instances", "metadata", "frames", "rendered", "bulk", "1", "7fe00010", "servers"]
)
paths = st.one_of(
    st.builds(lambda segments: "/dicom-web/" + "/".join(segments), st.lists(st.one_of(words, uids), max_size=8)),
    st.builds(lambda s: f"/dicom-web/studies/{s}", uids),
    st.builds(lambda s, e, i: f"/dicom-web/studies/{s}/series/{e}/instances/{i}", uids, uids, uids),
    st.sampled_from(["/", "/wado", "/dicom-web/", "/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances"]),
)
MATCHED = ["PatientName", "00100020", "StudyDate", "StudyInstanceUID", "0020000d", "ModalitiesInStudy", "StudyTime"]
keys = st.sampled_from([*MATCHED, "SeriesNumber", "SOPInstanceUID", "limit", "offset", "includefield", "_method"])
values = st.one_of(
    st.sampled_from(
        ["20200101-", "10-1130", "CT,MR,CT", "1.3,1.2", "true", "all", "5", "A+B", "M%C3%BCller*", "%25", "%00"]
    ),
    st.text(st.sampled_from("ABc019.*?^=-_ +%,;&/\\é"), max_size=12),
)
queries = st.lists(st.tuples(keys, values), min_size=1, max_size=4).map(lambda q: "&".join(f"{k}={v}" for k, v in q))
targets = st.one_of(paths, st.builds(lambda p, q: f"{p}?{q}", paths, queries), st.text(max_size=60))
accepts = st.sampled_from(
    [
        b"*/*",
        b"application/dicom+json",
        b'multipart/related; type="application/dicom"; transfer-syntax=*',
        b"a/b;q=0.5,*/*",
    ]
)
headers = st.lists(
    st.one_of(
        st.tuples(st.just(b"Accept"), accepts),
        st.tuples(st.just(b"Content-Type"), st.just(STORE_TYPE.encode())),
        st.tuples(st.just(b"Content-Length"), st.sampled_from([b"0", b"10", b"x"])),
        st.tuples(st.just(b"Purpose-Of-Use"), st.sampled_from([b"TREAT", b"treat"])),
        st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=20)),
        st.tuples(st.sampled_from([b"Accept", b"Content-Type", b"Expect", b"Connection"]), st.binary(max_size=30)),
    ),
    max_size=5,
).map(tuple)
searched = st.sampled_from(["studies", "series", "instances", f"studies/{STUDY}/series"])
methods = st.one_of(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "DELETE"]), st.text(max_size=8))


@settings(max_examples=600, deadline=None)
@given(method=methods, target=targets, raw=headers, foreign=st.booleans())
@example(method="GET", target="/dicom-web/studies?PatientName=%F4%8F%BF%BF", raw=(), foreign=False)
def test_any_head_gives_a_value(method, target, raw, foreign):
    found = interpret(Arrival(peer=PEER, method=method, target=target, headers=raw, at=AT, foreign=foreign))
    assert isinstance(found, (DicomRequest, Capabilities, Refusal))
    if isinstance(found, DicomRequest):
        holds(found)


@settings(max_examples=500, deadline=None)
@given(asked=requests())
def test_what_is_in_the_grammar_is_read_and_survives_being_written_and_read_again(asked):
    found = interpret(arrival(asked.target, method=asked.method, headers=asked.headers))
    assert isinstance(found, DicomRequest), (asked, found)
    assert (found.action, found.level, found.method) == (asked.route.action, asked.route.level, asked.method) or (
        asked.route.path == "/wado" and found.action is Action.RETRIEVE
    )
    holds(found)


@settings(max_examples=500, deadline=None)
@given(asked=mutated_requests())
def test_what_is_nearly_in_the_grammar_is_refused_or_survives_all_the_same(asked):
    found = interpret(arrival(asked.target, method=asked.method, headers=asked.headers))
    if isinstance(found, DicomRequest):
        holds(found)


@settings(max_examples=500, deadline=None)
@given(pairs=st.dictionaries(keys, values, min_size=1, max_size=4), path=searched)
def test_any_search_is_refused_or_survives_being_written_and_read_again(pairs, path):
    first = interpret(arrival(f"/dicom-web/{path}?" + "&".join(f"{key}={value}" for key, value in pairs.items())))
    if isinstance(first, DicomRequest):
        holds(first)


@settings(max_examples=250, deadline=None)
@given(asked=requests(), data=st.data())
def test_the_order_of_parameters_and_the_spelling_of_attributes_make_no_difference(asked, data):
    path, mark, query = asked.target.partition("?")
    pairs = [pair.split("=", 1) for pair in query.split("&")] if mark else []
    spelled = [f"{data.draw(spellings(name))}={value}" for name, value in data.draw(st.permutations(pairs))]
    other = f"{path}?{'&'.join(spelled)}" if mark else path
    first, second = (
        interpret(arrival(target, method=asked.method, headers=asked.headers)) for target in (asked.target, other)
    )
    assert first == second


def holds(request: DicomRequest) -> None:
    """What the archive is sent means what we say it means, and saying it twice changes nothing."""
    asked = upstream(request)
    assert upstream(asked) == asked
    assert (target_of(asked), headers_of(asked)) == (target_of(request), headers_of(request))
    assert target_of(request).isascii()
    sent = list(headers_of(request))
    if request.action is Action.STORE:
        store_type = f'multipart/related; type="application/dicom"; boundary="{request.boundary}"'
        sent += [("Content-Type", store_type), *announced(request)]
    assert interpret(arrival(target_of(request), method=asked.method, headers=sent)) == asked


def announced(request: DicomRequest) -> Iterator[tuple[str, str]]:
    """What a store goes on with as it came."""
    yield ("Transfer-Encoding", "chunked") if request.bytes is None else ("Content-Length", str(request.bytes))
    if request.purpose is not None:
        yield ("Purpose-Of-Use", request.purpose)
    if request.expect_continue:
        yield ("Expect", "100-continue")


@settings(max_examples=150, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=30))
def test_slices_do_not_change_what_a_body_holds(cuts):
    reader, events, start = MultipartReader(BOUNDARY), [], 0
    for stop in [*sorted(cuts), len(BODY)]:
        events += reader.feed(BODY[start:stop])
        start = stop
    reader.end()
    assert [content for _, content in parts(events)] == list(FILES)


@settings(max_examples=400, deadline=None)
@given(
    where=st.integers(0, len(BODY) - 1),
    replaced=st.binary(max_size=6),
    dropped=st.integers(0, 6),
    size=st.integers(1, 700),
)
@example(where=1287, replaced=b"", dropped=6, size=11)
def test_a_damaged_body_is_refused_or_read_the_same_in_any_slices(where, replaced, dropped, size):
    damaged = BODY[:where] + replaced + BODY[where + dropped :]
    assert outcome(damaged, size) == outcome(damaged, len(damaged))


def outcome(data: bytes, size: int) -> object:
    reader, events = MultipartReader(BOUNDARY), []
    try:
        for start in range(0, len(data), size):
            events += reader.feed(data[start : start + size])
        reader.end()
    except (BodyError, BodyTooLargeError):
        # Where two rules are broken, slices decide which of them is met first.
        return None
    return parts(events)


@settings(max_examples=800, deadline=None)
@given(
    file=st.sampled_from(FILES), where=st.integers(128, 700), replaced=st.binary(max_size=8), dropped=st.integers(0, 8)
)
def test_a_damaged_header_is_read_or_refused_and_nothing_else(file, where, replaced, dropped):
    damaged = file[:where] + replaced + file[where + dropped :]
    for complete in (True, False):
        try:
            read_part_header(damaged, complete=complete, declared_syntax=None)
        except PartUnreadableError:
            pass
        except IncompleteError:
            assert not complete
