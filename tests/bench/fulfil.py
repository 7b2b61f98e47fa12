"""What answering costs: ``python -m tests.bench.fulfil``. CPU time, medians of interleaved runs."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Sequence

import orjson

from proxy.fulfil import Fulfilling
from proxy.model import Action, DicomRequest, Level, Obligation, Representation, StudyUid
from tests.fulfil.building import STUDY, Answer, dataset, element, mask, read, search, study_context

FULFILLING = Fulfilling("https://pacs.example:8443")
RESEARCHER = [mask("VR:PN", "PatientID", "PatientBirthDate", "private")]
CHUNK = 256 * 1024
CONTEXT = study_context(s1=("CT", 100), s2=("MR", 20))
SEEN = frozenset(list(CONTEXT.series)[:1])


def page(rows: int) -> bytes:
    uid = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12"
    return json.dumps(
        [
            {
                "00080005": element("CS", "ISO_IR 100"),
                "00080020": element("DA", "20200131"),
                "00080030": element("TM", "072730"),
                "00080050": element("SH", f"A{row:08}"),
                "00080056": element("CS", "ONLINE"),
                "00080061": element("CS", "CT", "MR"),
                "00080090": element("PN", {"Alphabetic": "REFERRER^RALPH"}),
                "00081030": element("LO", "CT of the thorax with contrast"),
                "00081190": element("UR", f"http://127.0.0.1:8042/dicom-web/studies/{uid}{row}"),
                "00100010": element("PN", {"Alphabetic": "DOE^JANE^Q"}),
                "00100020": element("LO", f"PATIENT-{row:06}"),
                "00100030": element("DA", "19700101"),
                "00100040": element("CS", "F"),
                "0020000D": element("UI", f"{uid}{row}"),
                "00200010": element("SH", f"S{row}"),
                "00201206": element("IS", 2),
                "00201208": element("IS", 120),
            }
            for row in range(rows)
        ]
    ).encode()


def metadata(instances: int) -> bytes:
    link = "http://127.0.0.1:8042/dicom-web/studies/1/series/2/instances/3/bulk/"
    one = dataset() | {
        **{f"0018{n:04X}": element("LO", f"Some value of an attribute {n}") for n in range(0x20, 0xC0)},
        **{f"0028{n:04X}": element("DS", 1.5 * n, 2.25) for n in range(0x20, 0x50)},
        "00081140": element("SQ", *[{"00081150": element("UI", "1.2.840.10008.5.1.4.1.1.2")}] * 10),
        "00100010": element("PN", {"Alphabetic": "DOE^JANE^Q"}),
        "00091010": {"vr": "OB", "BulkDataURI": f"{link}00091010"},
        "7FE00010": {"vr": "OW", "BulkDataURI": f"{link}7fe00010"},
    }
    return json.dumps([one] * instances).encode()


def file(size: int) -> bytes:
    head = f"--theirs\r\nContent-Type: application/dicom\r\nContent-Length: {size}\r\n\r\n".encode()
    return head + os.urandom(size) + b"\r\n--theirs--\r\n"


def chunks(body: bytes) -> list[bytes]:
    return [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]


def rows_ms(body: bytes, obligations: Sequence[Obligation], *, filtered: bool, number: int = 20) -> float:
    start = time.process_time()
    for _ in range(number):
        rows = FULFILLING.rows(search(), obligations)
        for row in rows.read(body):
            rows.place(row)
            rows.uids(row)
            rows.show(row, CONTEXT if filtered else None, SEEN)
        rows.answer()
    return (time.process_time() - start) / number * 1e3


def library_ms(body: bytes, number: int = 20) -> float:
    """What reading and writing the same rows costs without us."""
    start = time.process_time()
    for _ in range(number):
        for row in orjson.loads(body):
            orjson.dumps(row)
    return (time.process_time() - start) / number * 1e3


def recoded(request: DicomRequest, obligations: Sequence[Obligation], answer: Answer, body: list[bytes]) -> float:
    """MB/s of what comes in."""
    start = time.process_time()
    recoder = FULFILLING.recoder(request, obligations, answer)
    for chunk in body:
        recoder.feed(chunk)
    recoder.end()
    return sum(map(len, body)) / max(time.process_time() - start, 1e-6) / 1e6


def main() -> None:
    gc.freeze()  # as the proxy does once it has started: else each collection walks the dictionaries of pydicom
    hundred, listing = page(100), chunks(metadata(1000))
    large = chunks(file(256 * 1024 * 1024))
    scanned = [large[0].replace(b"Content-Length", b"X-Other-Length"), *large[1:]]
    json_request = read(Action.METADATA, Representation.JSON, instance=None)
    xml_request = read(Action.METADATA, Representation.XML, instance=None)
    files = DicomRequest(
        action=Action.RETRIEVE,
        level=Level.STUDY,
        method="GET",
        representation=Representation.DICOM,
        study=StudyUid(STUDY),
    )
    parts, plain = Answer("multipart/related", "theirs"), Answer()
    print(f"a row is {len(hundred) // 100} bytes, metadata of an instance {sum(map(len, listing)) // 1000}")
    found: dict[str, list[float]] = {}
    for _ in range(7):
        for name, value in (
            ("100 rows, orjson alone (ms)", library_ms(hundred)),
            ("100 rows, unfiltered (ms)", rows_ms(hundred, (), filtered=False)),
            ("100 rows, filtered and masked (ms)", rows_ms(hundred, RESEARCHER, filtered=True)),
            ("metadata, JSON (MB/s)", recoded(json_request, (), plain, listing)),
            ("metadata, JSON, masked (MB/s)", recoded(json_request, RESEARCHER, plain, listing)),
            ("metadata, XML, masked (MB/s)", recoded(xml_request, RESEARCHER, plain, listing)),
            ("file of known length (MB/s)", recoded(files, (), parts, large)),
            ("file of unknown length (MB/s)", recoded(files, (), parts, scanned)),
        ):
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        print(f"{name:42s} median {statistics.median(values):11.2f}   {min(values):11.2f} to {max(values):11.2f}")


if __name__ == "__main__":
    main()
