"""Starts the parts of a dev stack in order, keeps an eye on them, stops them in reverse order.

with DevStack(tmp_path, ports=Ports.free()) as stack:
    requests.get(f"{stack.url}/dicom-web/studies", cert=stack.client("radiologist"), verify=stack.ca)
    stack.restart("archive")
"""

from __future__ import annotations

import fcntl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import requests

from deploy.dev import archive, chain, issuer, kubo, opa, posture, site, upload
from deploy.dev.layout import ROOT, Layout, Ports, StackError, tool
from deploy.dev.pki import DevPki
from deploy.dev.process import Child, end_leftovers, remember
from proxy.errors import DicomwardError

PARTS: Final = ("chain", "archive", "issuer", "opa", "kubo", "proxy", "anchor")
"""In the order they start."""
POSTURE_RETRY_S: Final = 5.0
WATCH_S: Final = 0.2

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class DevStack:
    """One stack in one folder. Not for threads; ``restart`` and ``kill`` may be called from whichever holds it."""

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports | None = None,
        large_study: bool = False,
        policies: Path | None = None,
        archive_url: str | None = None,
        overrides: site.Overrides | None = None,
        block_s: float = 1.0,
        posture_valid_s: int = site.POSTURE_VALID_S,
        with_opa: bool = False,
        with_kubo: bool = False,
        say: Say = lambda line: None,
        progress: Progress = lambda done, of: None,
    ) -> None:
        """
        :param ports: the fixed ones by default; ``Ports.free()`` for tests
        :param large_study: also hold the generated study of 100 MB
        :param policies: folder of Rego, by default the repository's
        :param archive_url: base of DICOMweb of an archive that runs already; it is filled, and not stopped
        :param overrides: laid over the site's configuration, section by section
        :param block_s: seconds between the chain's blocks
        :param posture_valid_s: how long a report holds; the stack reports anew each third of it. By default so long
            that no report comes between what a test counts
        :param with_opa: policies are evaluated by an OPA server, and not in the proxy
        :param with_kubo: evidence goes to a Kubo of the stack's own, and not to its folder
        """
        self.layout = Layout(directory.resolve())
        self.ports = ports or Ports()
        self.policies = (policies or ROOT / "policies").resolve()
        self.pki = DevPki(self.layout.pki)
        self.archive_url = (archive_url or archive.archive_url(self.ports)).rstrip("/")
        self.contract = ""
        self._own_archive = archive_url is None
        self._large_study = large_study
        self._overrides = overrides
        self._block_s = block_s
        self._posture_valid_s = posture_valid_s
        self._with_opa = with_opa
        self._with_kubo = with_kubo
        self._say = say
        self._progress = progress
        self._children: dict[str, Child] = {}
        self._lock: IO[str] | None = None
        self._stopping = threading.Event()

    # -------------------------------------------------------------------------------------- addresses

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.ports.proxy}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    @property
    def rpc_url(self) -> str:
        return chain.rpc_url(self.ports)

    @property
    def ca(self) -> str:
        """Path of the authority's certificate, for ``verify=``."""
        return str(self.layout.pki / "ca.crt")

    def client(self, name: str) -> tuple[str, str]:
        """Certificate and key of a dev identity, for ``cert=``."""
        return str(self.layout.pki / f"{name}.crt"), str(self.layout.pki / f"{name}.key")

    @property
    def archive_auth(self) -> tuple[str, str] | None:
        """What the archive asks for; ``None`` for one that is not ours."""
        return archive.credentials(self.layout) if self._own_archive else None

    # -------------------------------------------------------------------------------------- life

    def start(self) -> Self:
        """Start everything and wait until requests are served.

        :raises StackError: something cannot be had; what had started is stopped again
        """
        self._stopping.clear()
        self.layout.prepare()
        self._take_lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        if ended := end_leftovers(self._pids):
            self._say(f"ended {ended} processes that an earlier run in this folder left behind")
        if self._with_opa:
            tool("opa")  # before anything starts
        if self._with_kubo:
            tool("ipfs")
        if taken := self.ports.taken(
            without_archive=not self._own_archive, with_opa=self._with_opa, with_kubo=self._with_kubo
        ):
            raise StackError(
                f"Port {', '.join(map(str, taken))} on the loopback address is in use: stop what listens there, "
                "or move the whole stack with --port-base.",
                2,
            )
        self.pki.prepare()
        self._say("certificates and revocation list are there")
        self._run(chain.chain_child(self.layout, self.ports, block_s=self._block_s))
        self.contract = chain.deploy_ledger(self.layout, self.ports)
        self._say(f"contract {self.contract}")
        self._start_archive()
        self._run(issuer.issuer_child(self.layout, self.ports))
        self._write_site()
        if self._with_opa:
            self._run(opa.opa_child(self.layout, self.ports))
        if self._with_kubo:
            self._run(kubo.kubo_child(self.layout.kubo, self.layout.log / "kubo.log", self.ports.kubo))
        self._run(self._proxy())
        posture.report_all(self.url, self.layout.pki)
        self._say("the devices reported their posture")
        threading.Thread(target=self._keep_postures, name="postures", daemon=True).start()
        if chain.open_origin(self.layout, self.ports, self.contract):
            self._say("the registrar opened the proxy's origin on the chain")
        self._run(self._anchor())

    def stop(self) -> None:
        """Stop everything that was started. Safe to call twice."""
        self._stopping.set()
        for name in reversed(PARTS):
            child = self._children.pop(name, None)
            if child is not None and child.alive():
                self._say(f"stopping {name}")
                child.stop()
        self._pids.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def watch(self) -> None:
        """Look after the parts, until interrupted.

        :raises StackError: one ended by itself
        """
        while not self._stopping.wait(WATCH_S):
            for child in self._children.values():
                if not child.alive():
                    raise StackError(child.died())

    # -------------------------------------------------------------------------------------- parts

    def part(self, name: str) -> Child:
        """:raises KeyError: the stack does not run it"""
        return self._children[name]

    def restart(self, name: str) -> None:
        """Stop a part where it still runs and start it again."""
        child = self.part(name)
        child.stop()
        self._run(child)

    def kill(self, name: str) -> None:
        """SIGKILL; the part stays down until ``restart``."""
        self.part(name).kill()

    def stop_part(self, name: str) -> None:
        """Stop one part; it stays down until ``restart``."""
        self.part(name).stop()

    def _run(self, child: Child) -> None:
        started = time.monotonic()
        self._children[child.name] = child  # before it starts, so that an interrupt leaves nothing behind
        child.start()
        remember(self._pids, list(self._children.values()))
        self._say(f"{child.name} serves ({time.monotonic() - started:.1f} s)")

    def _start_archive(self) -> None:
        if self._own_archive:
            self._run(archive.archive_child(self.layout, self.ports))
        elif not archive.serves(self.archive_url, None):
            raise StackError(f"No DICOMweb archive answers at {self.archive_url}.", 2)
        sent = upload.fill(self.archive_url, self.archive_auth, large=self._large_study, progress=self._progress)
        self._say(f"the archive took {sent} instances" if sent else "the archive holds the dev studies")

    def _write_site(self) -> None:
        settings = site.site_settings(
            self.layout,
            self.ports,
            archive=self.archive_url,
            with_credentials=self._own_archive,
            policies=self.policies,
            contract=self.contract,
            chain_id=chain.CHAIN_ID,
            posture_valid_s=self._posture_valid_s,
            with_opa=self._with_opa,
            with_kubo=self._with_kubo,
            overrides=self._overrides,
        )
        self.layout.config.write_text(site.to_toml(settings), "utf-8")

    def _proxy(self) -> Child:
        return Child(
            name="proxy",
            command=[*dicomward(), "serve", "--config", str(self.layout.config)],
            log=self.layout.log / "proxy.log",
            healthy=self._ready,
        )

    def _anchor(self) -> Child:
        status = self.layout.anchor_status
        child = Child(
            name="anchor",
            command=[*dicomward(), "anchor", "--config", str(self.layout.config)],
            log=self.layout.log / "anchor.log",
            healthy=lambda: status.exists() and status.stat().st_mtime >= child.started_at,
        )
        return child

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.admin_url}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def _keep_postures(self) -> None:
        wait = every = self._posture_valid_s / 3
        while not self._stopping.wait(wait):
            try:
                posture.refresh(self.url, self.layout.pki)
                wait = every
            except DicomwardError as error:  # the proxy may be down on purpose
                self._say(f"the devices could not report: {error.detail}")
                wait = min(every, POSTURE_RETRY_S)

    # -------------------------------------------------------------------------------------- folder

    @property
    def _pids(self) -> Path:
        return self.layout.directory / "processes.json"

    def _take_lock(self) -> None:
        self._lock = (self.layout.directory / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise StackError(f"A stack runs in {self.layout.directory} already.", 2) from error


def dicomward() -> Sequence[str]:
    """The product's command, as this interpreter's environment has it."""
    return [sys.executable, "-m", "proxy"]
