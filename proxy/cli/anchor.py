"""``dicomward anchor``: the process that alone holds the chain's key."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from proxy.anchor import (
    AnchorSettings,
    AnchorWorker,
    ChainClient,
    ChainSender,
    FeeLimits,
    load_account,
    new_keystore,
    write_status,
)
from proxy.anchor.evidence import EvidencePublisher, PublisherSettings, load_auditor, open_store
from proxy.config import load_site, site_path
from proxy.config.parts import Ledger
from proxy.config.site import Site
from proxy.ports import SpoolReader
from proxy.record.reader import OriginReader, current_reader
from proxy.watch import configure_logs


class CurrentSpool:
    """The origin in use, opened anew each time: the proxy may succeed it, an operator may restore its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader: OriginReader | None = None

    def __call__(self) -> SpoolReader:
        """:raises SpoolError: there is none yet, or it cannot be read"""
        self.close()
        self._reader = current_reader(self._folder)
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def anchor(
    config: Annotated[Path | None, typer.Option("--config", help="The site's TOML file.")] = None,
    dir: Annotated[Path | None, typer.Option("--dir", help="The folder of a dev stack.")] = None,
) -> None:
    """Anchor the spool's leaves on the chain until SIGTERM."""
    site = load_site(site_path(config, dir))
    configure_logs()
    ledger = site.ledger
    client = ChainClient(rpc_urls=ledger.rpc_urls, chain_id=ledger.chain_id, contract=ledger.contract)
    spool = CurrentSpool(site.record.directory)
    publisher = _publisher(site)
    worker = AnchorWorker(
        client=client,
        sender=ChainSender(
            client, load_account(ledger.writer_key_file, ledger.writer_key_password_file), _limits(ledger)
        ),
        current=spool,
        report=partial(write_status, ledger.status_file),
        settings=AnchorSettings(
            batch_size=ledger.batch_size,
            max_wait_s=ledger.max_wait_s,
            finality=ledger.confirmations if ledger.finality == "confirmations" else ledger.finality,
            resend_s=ledger.resend_s,
        ),
        publisher=publisher,
    )
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        worker.run(stop)
    finally:
        if publisher is not None:
            publisher.close()
        spool.close()
        client.close()


def new_key(
    out: Annotated[Path, typer.Option("--out", help="The keystore to write. What exists is not replaced.")],
    password_file: Annotated[Path, typer.Option("--password-file", help="File with its password, mode 0600.")],
) -> None:
    """Make up a key for an account, encrypted, and print its address."""
    typer.echo(new_keystore(out, password_file))


def _publisher(site: Site) -> EvidencePublisher | None:
    """:raises ConfigurationError: an auditor's key cannot be read"""
    evidence = site.evidence
    if evidence is None:
        return None
    return EvidencePublisher(
        reader=partial(OriginReader, site.record.directory),
        store=lambda: open_store(evidence),
        auditors=[load_auditor(path) for path in evidence.auditors],
        settings=PublisherSettings(max_records=evidence.max_records, max_wait_s=evidence.max_wait_s),
    )


def _limits(ledger: Ledger) -> FeeLimits:
    return FeeLimits(
        max_fee=_wei(ledger.max_fee_per_gas_gwei), priority=_wei(ledger.max_priority_fee_gwei), gas=ledger.max_gas
    )


def _wei(gwei: float | None) -> int | None:
    return None if gwei is None else round(gwei * 10**9)
