"""What reading costs: ``python tests/bench/interpret.py``. CPU time, medians of interleaved runs."""

from __future__ import annotations

import os
import statistics
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime

from proxy.interpret import MultipartReader, interpret, target_of
from proxy.model import Arrival, DicomRequest, Peer

UID = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
HEADERS = (
    (b"Host", b"localhost:8443"),
    (b"User-Agent", b"python-requests/2.32.5"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
    (b"Purpose-Of-Use", b"TREAT"),
)
DICOM = (b"Accept", b'multipart/related; type="application/dicom"; transfer-syntax=*')
FRAMES = (b"Accept", b'multipart/related; type="application/octet-stream"; transfer-syntax=*')
IMAGE = (b"Accept", b"image/avif,image/webp,image/*,*/*;q=0.8")
JSON = (b"Accept", b"application/dicom+json, application/json")


def arrival(target: str, accept: tuple[bytes, bytes]) -> Arrival:
    peer = Peer(certificate=None, address="192.0.2.1", connection=1)
    return Arrival(peer=peer, method="GET", target=target, headers=(*HEADERS, accept), at=datetime.now(UTC))


INSTANCE = f"/dicom-web/studies/{UID}/series/{UID}/instances/{UID}"
RETRIEVE = arrival(INSTANCE, DICOM)
FRAME = arrival(f"{INSTANCE}/frames/1", FRAMES)
RENDERED = arrival(f"{INSTANCE}/rendered?viewport=512,512&window=40,400,linear&quality=90", IMAGE)
WADO = arrival(f"/wado?requestType=WADO&studyUID={UID}&seriesUID={UID}&objectUID={UID}&contentType=image/jpeg", IMAGE)
SEARCH = arrival(
    "/dicom-web/studies?PatientName=Doe*&StudyDate=20200101-&limit=101&includefield=00081030,00080060", JSON
)


def microseconds(call: Callable[[], object], number: int = 5000) -> float:
    start = time.process_time()
    for _ in range(number):
        call()
    return (time.process_time() - start) / number * 1e6


def element(group: int, number: int, vr: bytes, value: str) -> bytes:
    raw = value.encode() + b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", group, number, vr, len(raw)) + raw


def one_file(pixel_bytes: int) -> bytes:
    meta = element(2, 2, b"UI", "1.2.840.10008.5.1.4.1.1.2") + element(2, 3, b"UI", UID)
    meta += element(2, 0x10, b"UI", "1.2.840.10008.1.2.1")
    head = element(8, 0x16, b"UI", "1.2.840.10008.5.1.4.1.1.2") + element(8, 0x18, b"UI", UID)
    head += element(0x10, 0x20, b"LO", "P1") + element(0x20, 0xD, b"UI", UID) + element(0x20, 0xE, b"UI", UID)
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, pixel_bytes) + os.urandom(pixel_bytes)
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta + head + pixels


def feed(chunks: list[bytes]) -> float:
    """MB/s of one body."""
    reader = MultipartReader("ours")
    start = time.process_time()
    for chunk in chunks:
        reader.feed(chunk)
    reader.end()
    return sum(map(len, chunks)) / (time.process_time() - start) / 1e6


def body(files: list[bytes], chunk: int = 256 * 1024) -> list[bytes]:
    whole = b"".join(b"\r\n--ours\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files)
    whole += b"\r\n--ours--"
    return [whole[start : start + chunk] for start in range(0, len(whole), chunk)]


def main() -> None:
    request = interpret(SEARCH)
    assert isinstance(request, DicomRequest)
    large, small = body([one_file(64 * 1024 * 1024)]), body([one_file(512 * 1024)] * 128)
    rows: dict[str, list[float]] = {}
    for _ in range(7):
        for name, value in (
            ("interpret, instance retrieve (us)", microseconds(lambda: interpret(RETRIEVE))),
            ("interpret, one frame (us)", microseconds(lambda: interpret(FRAME))),
            ("interpret, rendered (us)", microseconds(lambda: interpret(RENDERED))),
            ("interpret, WADO-URI image (us)", microseconds(lambda: interpret(WADO))),
            ("interpret, search (us)", microseconds(lambda: interpret(SEARCH))),
            ("target_of, search (us)", microseconds(lambda: target_of(request))),
            ("multipart, one part of 64 MiB (MB/s)", feed(large)),
            ("multipart, 128 parts of 512 KiB (MB/s)", feed(small)),
        ):
            rows.setdefault(name, []).append(value)
    for name, found in rows.items():
        print(f"{name:42s} median {statistics.median(found):9.1f}   {min(found):9.1f} to {max(found):9.1f}")


if __name__ == "__main__":
    main()
