"""What knowing who asks costs: ``python -m tests.bench.identify``. CPU microseconds of the thread a request.

Steps with a star are walked by every request; their sum is held against the 100 us that certificate and posture may
cost together. A step that is added (a token judged before) goes into ``starred`` of :func:`main`.

    judged before    nothing changed since the certificate was judged: a look into memory
    judged anew      with an empty list, with one intermediate, with a list of 100,000
    taking a list    of 100,000: read, checked and put into force; once a change, and beside requests
    posture          what is known of the device
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from deploy.dev.pki import Issued, issue_certificate
from proxy.identify import Certificates
from proxy.posture import PostureStore
from tests.identify.building import HOUR, NOW, Site, der, list_of_many

GOAL_US = 100.0
MANY = 100_000


def measure(label: str, run: Callable[[], object], times: int = 2000) -> float:
    for _ in range(min(times, 50)):
        run()
    took = []
    for _ in range(times):
        started = time.thread_time_ns()
        run()
        took.append((time.thread_time_ns() - started) / 1000)
    took.sort()
    median = statistics.median(took)
    print(f"{label:44} median {median:10.1f} us   p99 {took[int(times * 0.99)]:10.1f} us", flush=True)
    return median


def remembered(certificates: Certificates, leaf: bytes) -> Callable[[], object]:
    principal = certificates.judge(leaf, NOW)
    if principal.reasons:
        raise SystemExit(f"what is measured is a refusal: {principal.reasons}")
    return lambda: certificates.judge(leaf, NOW)


def anew(certificates: Certificates, issuer: Issued, times: int) -> Callable[[], object]:
    """Each call with a certificate that was not seen before."""
    unseen = iter([der(issue_certificate(issuer, f"pc{n}", not_before=NOW - HOUR)) for n in range(times + 50)])

    def judge() -> None:
        if certificates.judge(next(unseen), NOW).reasons:
            raise SystemExit("what is measured is a refusal")

    return judge


def taking(folder: Path) -> Callable[[], object]:
    site = Site(folder)
    lists = [list_of_many(site.authority, range(first, first + MANY)) for first in (10**6, 10**7)]
    numbers = count()

    def take() -> None:
        site.write_crl(lists[next(numbers) % 2])
        site.certificates()

    return take


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = Site(folder / "one")
        middle = site.below()
        certificates = site.certificates()
        leaf = der(site.issue())
        device = certificates.judge(leaf, NOW).device
        if device is None:
            raise SystemExit("the certificate names no device")
        store = PostureStore(folder / "posture.sqlite")
        starred = [
            measure("* certificate, judged before", remembered(certificates, leaf)),
            measure("* posture of the device", lambda: store.posture(device, NOW)),
        ]
        measure("  certificate, judged anew", anew(certificates, site.authority, 500), 500)
        measure("  the same below an intermediate", anew(certificates, middle, 500), 500)
        large = Site(folder / "many")
        large.write_crl(list_of_many(large.authority, range(10**6, 10**6 + MANY)))
        measure(f"  the same with a list of {MANY:,}", anew(large.certificates(), large.authority, 200), 200)
        measure(f"  taking a list of {MANY:,}", taking(folder / "taken"), 10)
        verdict = "within" if sum(starred) < GOAL_US else "BEYOND"
        print(f"a request: {sum(starred):.1f} us, {verdict} the goal of {GOAL_US:.0f} us")


if __name__ == "__main__":
    main()
