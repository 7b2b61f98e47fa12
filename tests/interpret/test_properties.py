"""Laws: interpret is total; what it accepts survives being written and read again; bodies do not depend on slices."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.errors import BodyError, BodyTooLargeError
from proxy.interpret import MultipartReader, headers_of, interpret, target_of
from proxy.interpret.dicom_header import PartUnreadableError, read_part_header
from proxy.interpret.elements import IncompleteError
from proxy.model import Action, Arrival, DicomRequest, Refusal

from .building import AT, BOUNDARY, IMPLICIT, INSTANCE, PEER, SERIES, STORE_TYPE, STUDY, arrival, body, dicom, parts

FILES = (dicom(), dicom(IMPLICIT))
BODY = body(*FILES)

uids = st.one_of(
    st.sampled_from([STUDY, SERIES, INSTANCE, "1.2.", "01", "", "..", "%2e"]),
    st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5}){0,4}", fullmatch=True),
)
words = st.sampled_from(["studies", "series", "instances", "metadata", "frames", "rendered", "servers"])
paths = st.one_of(
    st.builds(lambda segments: "/dicom-web/" + "/".join(segments), st.lists(st.one_of(words, uids), max_size=8)),
    st.builds(lambda s: f"/dicom-web/studies/{s}", uids),
    st.builds(lambda s, e, i: f"/dicom-web/studies/{s}/series/{e}/instances/{i}", uids, uids, uids),
    st.sampled_from(["/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances"]),
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
methods = st.one_of(st.sampled_from(["GET", "POST", "HEAD", "DELETE"]), st.text(max_size=8))


@settings(max_examples=800, deadline=None)
@given(method=methods, target=targets, raw=headers)
@example(method="GET", target="/dicom-web/studies?PatientName=%F4%8F%BF%BF", raw=())
@example(
    method="POST", target="/dicom-web/studies", raw=((b"Content-Type", STORE_TYPE.encode()), (b"Content-Length", b"5"))
)
def test_any_head_is_refused_or_survives_being_written_and_read_again(method, target, raw):
    first = interpret(Arrival(peer=PEER, method=method, target=target, headers=raw, at=AT))
    if isinstance(first, Refusal):
        return
    again = read_again(first)
    assert again == first
    assert target_of(again) == target_of(first)
    assert headers_of(again) == headers_of(first)


@settings(max_examples=500, deadline=None)
@given(
    pairs=st.dictionaries(keys, values, min_size=1, max_size=4),
    path=st.sampled_from(["studies", "series", "instances"]),
)
def test_any_search_is_refused_or_survives_being_written_and_read_again(pairs, path):
    first = interpret(arrival(f"/dicom-web/{path}?" + "&".join(f"{key}={value}" for key, value in pairs.items())))
    if isinstance(first, DicomRequest):
        assert read_again(first) == first
        assert target_of(first).isascii()


def read_again(request: DicomRequest) -> DicomRequest:
    """Interpret what the archive would be sent; what the archive is not sent is put back."""
    sent = list(headers_of(request))
    if request.action is Action.STORE:
        sent += [
            ("Content-Type", f'multipart/related; type="application/dicom"; boundary="{request.boundary}"'),
            ("Transfer-Encoding", "chunked"),
        ]
    again = interpret(arrival(target_of(request), method=request.method, headers=sent))
    assert isinstance(again, DicomRequest), again
    return replace(
        again,
        bytes=request.bytes,
        purpose=request.purpose,
        purpose_source=request.purpose_source,
        expect_continue=request.expect_continue,
    )


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
def test_a_damaged_body_is_refused_or_read_the_same_in_any_slices(where, replaced, dropped, size):
    damaged = BODY[:where] + replaced + BODY[where + dropped :]
    assert outcome(damaged, size) == outcome(damaged, len(damaged))


def outcome(data: bytes, size: int) -> object:
    reader, events = MultipartReader(BOUNDARY), []
    try:
        for start in range(0, len(data), size):
            events += reader.feed(data[start : start + size])
        reader.end()
    except (BodyError, BodyTooLargeError) as error:
        return type(error)
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
