"""``make demo``: what this product promises, shown once on real parts, each step judged.

A DICOMweb client searches, retrieves and stores through the proxy; devices that may not are refused; then the ledger is
verified over exactly these decisions. Whatever was not as promised makes the exit status 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from rich.console import Console
from rich.table import Table

from deploy.dev import chain, dataset, posture
from deploy.dev.answers import Answer, dicomweb, session
from deploy.dev.issuer import take_token
from deploy.dev.layout import StackError
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack, dicomward
from proxy.agent import Value
from proxy.anchor.chain_client import ChainClient
from proxy.errors import DicomwardError
from proxy.model import Kind
from proxy.record.reader import current_reader

AS_STORED = (("application/dicom", "*"),)
ANCHORED_S = 60.0
WITHIN_S = 5.0
"""Between a device's own word that it is in bad order and its first denial."""
HANDSHAKES = "dicomward_handshakes_total"
DENIALS = {
    "stale": {"posture-stale"},
    "rooted": {"posture-disk-unencrypted", "posture-malware-protection-off"},
    "revoked": {"certificate-revoked"},
}


class BrokenPromiseError(Exception):
    """Something was not as this product promises."""


def promise(kept: bool, otherwise: str) -> None:
    if not kept:
        raise BrokenPromiseError(otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    what: str
    outcome: str
    seconds: float
    kept: bool


class Demo:
    """The walk over one running stack."""

    def __init__(self, stack: DevStack, say: Callable[[str], None]) -> None:
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self._stack = stack
        self._say = say
        self._token = ""
        self._asked_before = 0
        self._decided_before: frozenset[str] = frozenset()

    def walk(self) -> bool:
        """Whether everything was as promised."""
        self._begin()
        self._step("search as radiologist", self.search)
        self._step("search as technologist", self.filtered)
        self._step("metadata as researcher", self.masked)
        self._step("metadata as workstation's user", self.with_token)
        self._step("that token on another device", self.stolen_token)
        self._step("retrieve: 5 transfer syntaxes", lambda: self.retrieve("mr-syntaxes"))
        self._step("retrieve: 100 MB", lambda: self.retrieve(dataset.LARGE))
        self._step("store as technologist", self.store)
        for name in DENIALS:
            self._step(f"search as {name}", lambda name=name: self.denied(name))  # type: ignore[misc]
        self._step("handshake as stranger", self.refused_handshake)
        self._step("radiologist's firewall off, on", self.firewall)
        self._step("requests = decisions + suppressed", self.counted)
        self._step("every decision on chain", self.anchored)
        self._step("ledger verify", self.verified)
        self._step("the auditor opens the evidence", self.opened)
        return all(step.kept for step in self.steps)

    def search(self) -> str:
        studies = self._client("radiologist").search_for_studies(limit=100)
        found = {row["0020000D"]["Value"][0] for row in studies}
        missing = [study.name for study in dataset.catalogue() if study.uid not in found]
        promise(not missing, f"not found: {', '.join(missing)}")
        return f"{len(found)} studies"

    def filtered(self) -> str:
        """Of each study what is of the technologist's own institution, and no other row."""
        rows = self._client("technologist").search_for_series(limit=500)
        shown = {row["0020000E"]["Value"][0] for row in rows}
        every = [series for study in dataset.catalogue() for series in study.series]
        own = {series.uid for series in every if series.institution == dataset.NORTH}
        other = {series.uid for series in every} - own
        promise(own <= shown and not other & shown, "rows are missing, or of another institution")
        return f"{len(shown)} series of {dataset.NORTH}, {len(other)} of another hospital not shown"

    def masked(self) -> str:
        study = dataset.study("ct-small")
        (shown,) = self._client("researcher").retrieve_study_metadata(study.uid)
        text = self.answers[-1].body
        promise(study.patient_id.encode() not in text and b"00100010" not in text, "the patient is shown")
        stored = self._archive(f"/studies/{study.uid}/metadata").json()[0]
        return f"{len(stored) - len(shown)} of {len(stored)} attributes taken out, the patient among them"

    def with_token(self) -> str:
        """The workstation itself may see nothing; the user who logged in on it may."""
        self._token = take_token(self._stack.ports, self._stack.pki, "workstation")
        study = dataset.study("ct-small")
        shown = self._client("workstation", self._token).retrieve_study_metadata(study.uid)
        promise(len(shown) == study.count, f"{len(shown)} of {study.count} instances came")
        return f"{len(shown)} instance shown, to the user whom a token bound to this certificate names"

    def stolen_token(self) -> str:
        return self._refused(self._client("radiologist", self._token), {"token-of-another-device"})

    def retrieve(self, name: str) -> str:
        study = dataset.study(name)
        started = time.monotonic()
        got = self._client("radiologist").retrieve_study(study.uid, media_types=AS_STORED)
        took = time.monotonic() - started
        parts = self.answers[-1].parts()
        promise(len(got) == len(parts) == study.count, f"{len(got)} of {study.count} instances came")
        promise(_digests(parts) == _digests(self._stored(study)), "the bytes differ from the archive's")
        size = sum(len(part) for part in parts) / 1e6
        return f"{len(parts)} files, {size:.2f} MB in {took:.2f} s, each SHA-256 as stored"

    def store(self) -> str:
        made = pydicom.dcmread(io.BytesIO(next(dataset.render(dataset.study("ct-small")))))
        tag = str(time.time_ns())
        made.StudyInstanceUID, made.SeriesInstanceUID = dataset.uid_for("demo", tag), dataset.uid_for("demo", tag, "0")
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(
            dataset.uid_for("demo", tag, "0", "0")
        )
        report = self._client("technologist").store_instances([made])
        promise("ReferencedSOPSequence" in report, "the answer names no stored instance")
        promise("FailedSOPSequence" not in report, "the answer names a failed instance")
        held = self._archive(f"/studies/{made.StudyInstanceUID}/instances")
        promise(held.status_code == 200 and len(held.json()) == 1, "the archive does not hold it")
        return "the archive holds it"

    def denied(self, name: str) -> str:
        return self._refused(self._client(name), DENIALS[name])

    def refused_handshake(self) -> str:
        noted = len(self.answers)
        try:
            self._client("stranger").search_for_studies(limit=1)
        except (requests.exceptions.SSLError, requests.exceptions.ConnectionError):
            promise(len(self.answers) == noted, "an answer came all the same")
            text = self._metrics()
            refused = total(text, HANDSHAKES) - total(text, HANDSHAKES, result="completed")
            promise(refused >= 1, "it was not counted")
            return "refused and counted, no answer"
        except requests.HTTPError as error:
            raise BrokenPromiseError("the handshake succeeded") from error
        raise BrokenPromiseError("it was answered")

    def firewall(self) -> str:
        """Denied from the device's own report on, allowed from the next."""
        began = time.monotonic()
        self._report("radiologist", {**posture.COMPLIANT, "firewall": False})
        while not self._denied("radiologist", "posture-firewall-off"):
            promise(time.monotonic() - began < WITHIN_S, f"still allowed after {WITHIN_S:g} s")
        denied = time.monotonic() - began
        again = time.monotonic()
        self._report("radiologist", posture.COMPLIANT)
        while self._denied("radiologist", "posture-firewall-off"):
            promise(time.monotonic() - again < WITHIN_S, f"still denied after {WITHIN_S:g} s")
        promise(denied <= WITHIN_S, f"denied after {denied:.2f} s")
        return f"denied after {denied:.2f} s, allowed again after {time.monotonic() - again:.2f} s"

    def counted(self) -> str:
        text = self._metrics()
        asked, decided = total(text, "dicomward_requests_total"), total(text, "dicomward_decisions_total")
        suppressed = total(text, "dicomward_suppressed_total")
        promise(asked == decided + suppressed, f"{asked} requests, {decided} decisions, {suppressed} suppressed")
        own = asked - self._asked_before
        promise(own == len(self.answers), f"{own} requests counted, {len(self.answers)} answers got")
        return f"{asked} = {decided} + {suppressed}, {own} of them of this walk"

    def anchored(self) -> str:
        """Wait for the chain, then hold each answer's receipt against spool and chain."""
        reader = current_reader(self._stack.layout.spool)
        client = ChainClient(
            rpc_urls=[self._stack.rpc_url], chain_id=chain.CHAIN_ID, contract=self._stack.contract, timeout_s=10
        )
        try:
            count = reader.count()
            deadline = time.monotonic() + ANCHORED_S
            while ((state := client.origin(reader.origin)) is None or state.count < count) and (
                time.monotonic() < deadline
            ):
                time.sleep(0.2)
            leaves = [
                leaf for batch in client.anchored(reader.origin, 0, client.block_number()) for leaf in batch.each()
            ]
            rows = reader.rows(0, count)
        finally:
            client.close()
            reader.close()
        promise(len(leaves) >= count, f"{len(leaves)} of {count} records on chain after {ANCHORED_S:g} s")
        promise(leaves[:count] == [row.leaf for row in rows], "chain and spool differ")
        for answer in self.answers:
            claims = answer.claims()
            promise(claims.get("decision") == answer.decision, "an answer without a receipt for its decision")
            place = claims["index"]
            promise(
                [leaf.hex() for leaf in leaves[place : place + 1]] == [claims["leaf"]], "a receipt without its leaf"
            )
        decided = {row.id for row in rows if row.kind == Kind.DECISION} - self._decided_before
        promise(decided == {answer.decision for answer in self.answers}, "decisions on chain that nobody was told of")
        return f"{len(decided)} decisions, {count} records in all"

    def verified(self) -> str:
        """As an auditor would, with the receipts of these very answers."""
        folder = self._stack.layout.directory
        receipts = folder / "receipts.txt"
        receipts.write_text("".join(f"{answer.receipt}\n" for answer in self.answers), "ascii")
        done = subprocess.run(
            [*dicomward(), "ledger", "verify", "--dir", str(folder), "--receipts", str(receipts), "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        promise(done.stdout.startswith("{"), f"status {done.returncode}: {done.stderr.strip()[-300:]}")
        report = json.loads(done.stdout)
        found = [one["sentence"] for one in report["findings"]] + [
            one["sentence"] for one in report["receipts"] if one["standing"] not in ("anchored", "carried")
        ]
        promise(report["clean"] and done.returncode == 0, " / ".join(found) or f"status {done.returncode}")
        return f"clean: {report['records']} records, {len(self.answers)} receipts"

    def opened(self) -> str:
        """As an auditor who has a folder of evidence, a key and a node, and nothing else of the site's."""
        layout = self._stack.layout
        reader = current_reader(layout.spool)
        client = ChainClient(
            rpc_urls=[self._stack.rpc_url], chain_id=chain.CHAIN_ID, contract=self._stack.contract, timeout_s=10
        )
        try:
            deadline = time.monotonic() + ANCHORED_S
            while (state := client.origin(reader.origin)) is None or state.published < reader.count():
                promise(time.monotonic() < deadline, f"not all evidence is named on chain after {ANCHORED_S:g} s")
                time.sleep(0.2)
        finally:
            client.close()
            reader.close()
        own = ["--trust", str(layout.directory / "trust.json"), "--rpc", self._stack.rpc_url]
        evidence = ["--evidence", str(layout.evidence), "--key", str(layout.auditor_key)]
        done = subprocess.run(
            [*dicomward(), "ledger", "verify", *own, *evidence, "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        promise(done.stdout.startswith("{"), f"status {done.returncode}: {done.stderr.strip()[-300:]}")
        report = json.loads(done.stdout)
        found = " / ".join(one["sentence"] for one in report["findings"])
        promise(report["clean"] and done.returncode == 0, found or f"status {done.returncode}")
        return f"clean: {report['records']} records out of {len(list(layout.evidence.glob('content/*')))} bundles"

    def _refused(self, client: DICOMwebClient, reasons: set[str]) -> str:
        try:
            client.search_for_studies(limit=1)
        except requests.HTTPError:
            pass
        else:
            raise BrokenPromiseError("it was answered")
        answer = self.answers[-1]
        promise(answer.status == 403, f"status {answer.status}, not 403")
        promise(reasons <= set(answer.reasons()), f"reasons {answer.reasons()}")
        return f"403 {', '.join(answer.reasons())}"

    def _client(self, name: str, token: str | None = None) -> DICOMwebClient:
        made = session(name, self._stack.client(name), self._stack.ca, self.answers)
        if token is not None:
            made.headers["Authorization"] = f"Bearer {token}"
        return dicomweb(f"{self._stack.url}/dicom-web", made)

    def _begin(self) -> None:
        """What was asked and decided before this walk: the devices' own reports."""
        self._asked_before = total(self._metrics(), "dicomward_requests_total")
        reader = current_reader(self._stack.layout.spool)
        try:
            rows = reader.rows(0, reader.count())
            self._decided_before = frozenset(row.id for row in rows if row.kind == Kind.DECISION)
        finally:
            reader.close()

    def _report(self, name: str, values: Mapping[str, Value]) -> None:
        made = session(name, self._stack.client(name), self._stack.ca, self.answers)
        answer = posture.report_over(made, self._stack.url, self._stack.pki.issued(name), values)
        promise(answer.status_code == 200, f"the report was refused with status {answer.status_code}")

    def _denied(self, name: str, reason: str) -> bool:
        """Whether a search is denied now, for just this reason."""
        with contextlib.suppress(requests.HTTPError):
            self._client(name).search_for_studies(limit=1)
        answer = self.answers[-1]
        promise(answer.status == 200 or answer.reasons() == [reason], f"{answer.status} {answer.reasons()}")
        return answer.status != 200

    def _metrics(self) -> str:
        return requests.get(f"{self._stack.admin_url}/metrics", timeout=10).text

    def _archive(self, path: str, accept: str = "application/dicom+json") -> requests.Response:
        return requests.get(
            self._stack.archive_url + path, auth=self._stack.archive_auth, headers={"Accept": accept}, timeout=120
        )

    def _stored(self, study: dataset.DevStudy) -> list[bytes]:
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = self._archive(f"/studies/{study.uid}", accept)
        kind = answer.headers["Content-Type"]
        kept = Answer(who="", status=200, decision=None, receipt=None, content_type=kind, body=answer.content)
        return kept.parts()

    def _step(self, what: str, do: Callable[[], str]) -> None:
        started = time.monotonic()
        try:
            outcome, kept = do(), True
        except (BrokenPromiseError, DicomwardError, StackError, requests.RequestException) as error:
            outcome, kept = str(error) or type(error).__name__, False
        self.steps.append(Step(what=what, outcome=outcome, seconds=time.monotonic() - started, kept=kept))
        self._say(f"{what}: {'as promised' if kept else 'NOT as promised'}")


def _digests(files: list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(file).hexdigest() for file in files)


def show(steps: list[Step], console: Console) -> None:
    table = Table(title="What happened", title_justify="left")
    table.add_column("step")
    table.add_column("", justify="center")
    table.add_column("outcome", overflow="fold")
    table.add_column("time", justify="right")
    for step in steps:
        mark = "[green]kept[/]" if step.kept else "[bold red]broken[/]"
        table.add_row(step.what, mark, step.outcome, f"{step.seconds:.2f} s")
    console.print(table)
