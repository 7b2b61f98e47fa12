"""What knowing who asks costs: ``python -m tests.bench.identify``. CPU microseconds of the thread a request.

Steps with a star are walked by every request: who asks, and what is known of the device. Their sums are held against
the 100 us that they may cost together once everything was judged before.

    judged before    nothing changed since: looks into memory, and a digest of the token where there is one
    judged anew      a certificate with an empty list, with one intermediate, with a list of 100,000; a token
    taking a list    of 100,000: read, checked and put into force; once a change, and beside requests
    posture          8 attributes, each told by the device and by its management
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from deploy.dev.pki import Issued, issue_certificate
from deploy.dev.posture import COMPLIANT
from proxy.identify import Certificates, Identification
from proxy.model import DeviceId, Peer, Trust
from proxy.posture import PostureStore
from tests.identify.building import HOUR, NOW, Site, der, list_of_many
from tests.identify.issuing import Issuer, bearer, jwks, settings, thumbprint
from tests.posture.making import claim, said

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


class Desk:
    """Certificates and users of one site, as the journey asks for them."""

    def __init__(self, folder: Path, certificates: Certificates, leaf: bytes) -> None:
        self.peer = Peer(certificate=leaf, address="192.0.2.1", connection=1)
        self._issuer = Issuer("ES256")
        (folder / "jwks").write_bytes(jwks(self._issuer.jwk()))
        self._bound = {"x5t#S256": thumbprint(leaf)}
        self._identification = Identification(
            certificates,
            issuers=[settings(folder / "jwks", roles_claim="roles")],
            users={"site": "optional"},
            directory=None,
            clock=lambda: NOW,
        )

    def token(self, number: int) -> tuple[bytes, ...]:
        return bearer(self._issuer.token(jti=str(number), cnf=self._bound, roles=["radiologist"]))

    def asked(self, authorization: tuple[bytes, ...]) -> Callable[[], object]:
        """The same request again and again."""
        principal = self._identification.identify(self.peer, authorization, NOW)
        if principal.reasons or (principal.user is None) is not (authorization == ()):
            raise SystemExit(f"what is measured is something else: {principal.reasons}")
        return lambda: self._identification.identify(self.peer, authorization, NOW)

    def asked_anew(self, times: int) -> Callable[[], object]:
        """Each call with a token that was not seen before."""
        unseen = iter([self.token(number) for number in range(times + 50)])

        def ask() -> None:
            if self._identification.identify(self.peer, next(unseen), NOW).reasons:
                raise SystemExit("what is measured is a refusal")

        return ask


def looked_up(store: PostureStore, device: DeviceId) -> Callable[[], object]:
    for source, trust in (("agent", Trust.REPORTED), ("mdm", Trust.MANAGED)):
        told = {name: claim(value, source=source, trust=trust) for name, value in COMPLIANT.items()}
        asyncio.run(store.put(said(told, device=device, source=source, trust=trust), NOW))
    found = store.posture(device, NOW).attributes
    if len(found) != 8 or any(len(each.others) != 1 for each in found.values()):
        raise SystemExit("not 8 attributes of 2 sources")
    return lambda: store.posture(device, NOW)


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
        desk = Desk(folder, certificates, leaf)
        alone = measure("* certificate, judged before", desk.asked(()))
        user = measure("* certificate and token, judged before", desk.asked(desk.token(-1)))
        known = measure("* posture of the device", looked_up(PostureStore(folder / "posture.sqlite"), device))
        measure("  of the first, the certificate's part", remembered(certificates, leaf))
        measure("  token, judged anew (ES256)", desk.asked_anew(500), 500)
        measure("  certificate, judged anew", anew(certificates, site.authority, 500), 500)
        measure("  the same below an intermediate", anew(certificates, middle, 500), 500)
        large = Site(folder / "many")
        large.write_crl(list_of_many(large.authority, range(10**6, 10**6 + MANY)))
        measure(f"  the same with a list of {MANY:,}", anew(large.certificates(), large.authority, 200), 200)
        measure(f"  taking a list of {MANY:,}", taking(folder / "taken"), 10)
        for label, spent in (("certificate and posture", alone + known), ("with a token", user + known)):
            verdict = "within" if spent < GOAL_US else "BEYOND"
            print(f"a request, {label}: {spent:.1f} us, {verdict} the goal of {GOAL_US:.0f} us")


if __name__ == "__main__":
    main()
