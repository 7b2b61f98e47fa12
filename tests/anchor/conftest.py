from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_sender import ChainSender
from proxy.anchor.chain_values import FeeLimits
from proxy.anchor.publishing import Publisher
from proxy.anchor.status import AnchorState, AnchorStatus
from proxy.anchor.worker import AnchorSettings, AnchorWorker
from proxy.record.reader import OriginReader, current_reader
from tests.anchor.chains import Anvil
from tests.anchor.spools import SpoolFile

CHAIN_ID = 31337


@pytest.fixture(scope="session")
def chain() -> Iterator[Anvil]:
    """A chain shared by tests; each has a contract of its own."""
    anvil = Anvil().start()
    yield anvil
    anvil.stop()


@dataclass
class Ledger:
    """A deployed contract with its registrar and one site's writer."""

    anvil: Anvil
    client: ChainClient
    registrar: ChainSender
    writer: ChainSender
    account: LocalAccount
    reports: list[AnchorStatus] = field(default_factory=list)
    clients: list[ChainClient] = field(default_factory=list)
    readers: list[OriginReader] = field(default_factory=list)

    def open(self, spool: SpoolFile) -> None:
        self.registrar.execute("open_origin", spool.origin, self.writer.address, spool.meta.receipt_key)

    def connect(self, *urls: str, timeout_s: float = 5) -> ChainClient:
        client = ChainClient(
            rpc_urls=urls or [self.anvil.url],
            chain_id=CHAIN_ID,
            contract=self.client.contract,
            timeout_s=timeout_s,
        )
        self.clients.append(client)
        return client

    def worker(
        self,
        folder: Path,
        client: ChainClient | None = None,
        publisher: Publisher | None = None,
        limits: FeeLimits | None = None,
        **settings: object,
    ) -> AnchorWorker:
        def current() -> OriginReader:
            while self.readers:
                self.readers.pop().close()
            self.readers.append(current_reader(folder))
            return self.readers[-1]

        client = client or self.connect()
        return AnchorWorker(
            client=client,
            sender=ChainSender(client, self.account, limits),
            current=current,
            report=self.reports.append,
            publisher=publisher,
            settings=AnchorSettings(**{"max_wait_s": 0.05, "finality": 0, "resend_s": 2.0, **settings}),  # type: ignore[arg-type]
        )

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for reader in self.readers:
            reader.close()


def new_ledger(anvil: Anvil) -> Ledger:
    registrar, writer = Account.from_key(secrets.token_bytes(32)), Account.from_key(secrets.token_bytes(32))
    anvil.fund(registrar.address)
    anvil.fund(writer.address)
    nobody = ChainClient(rpc_urls=[anvil.url], chain_id=CHAIN_ID, contract="0x" + "00" * 20)
    contract = ChainSender(nobody, registrar).deploy()["contractAddress"]
    nobody.close()
    client = ChainClient(rpc_urls=[anvil.url], chain_id=CHAIN_ID, contract=contract)
    ledger = Ledger(
        anvil=anvil,
        client=client,
        registrar=ChainSender(client, registrar),
        writer=ChainSender(client, writer),
        account=writer,
    )
    ledger.clients.append(client)
    return ledger


@pytest.fixture
def ledger(chain: Anvil) -> Iterator[Ledger]:
    made = new_ledger(chain)
    yield made
    made.close()


@pytest.fixture
def spool(ledger: Ledger, tmp_path: Path) -> SpoolFile:
    """A spool whose origin the registrar has opened."""
    folder = tmp_path / "spool"
    folder.mkdir()
    made = SpoolFile(folder, CHAIN_ID, ledger.client.contract_bytes)
    ledger.open(made)
    return made


def cycle_until(worker: AnchorWorker, done: Callable[[AnchorStatus], bool], timeout_s: float = 20) -> AnchorStatus:
    deadline = time.monotonic() + timeout_s
    while True:
        status = worker.cycle()
        if done(status):
            return status
        assert time.monotonic() < deadline, f"not reached: {status}"
        time.sleep(0.05)


def anchor_all(worker: AnchorWorker, timeout_s: float = 20) -> AnchorStatus:
    return cycle_until(
        worker, lambda s: s.state is AnchorState.OK and s.included == s.local and not s.in_flight, timeout_s
    )


def stop_quietly(anvil: Anvil) -> None:
    with suppress(OSError):
        anvil.stop()
