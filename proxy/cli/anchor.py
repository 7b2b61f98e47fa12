"""``dicomward anchor``: the process that alone holds the chain's key."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from proxy.anchor import AnchorSettings, AnchorWorker, ChainClient, ChainSender, load_account, write_status
from proxy.config import load_site, site_path
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
    worker = AnchorWorker(
        client=client,
        sender=ChainSender(client, load_account(ledger.writer_key_file)),
        current=spool,
        report=partial(write_status, ledger.status_file),
        settings=AnchorSettings(
            batch_size=ledger.batch_size, max_wait_s=ledger.max_wait_s, confirmations=ledger.confirmations
        ),
    )
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        worker.run(stop)
    finally:
        spool.close()
        client.close()
