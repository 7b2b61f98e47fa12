"""A real geth of one node: run by ``make geth-test``, and by nothing else, since to build it takes minutes."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from eth_account import Account
from web3 import Web3

from tests.anchor.chains import ROOT, Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, new_ledger

GETH = ROOT / ".tools" / "bin" / "geth"
FUNDS = 10**21


class Geth(Anvil):
    """A chain made by geth's developer mode, whose simulated beacon makes a block each ``period_s``, and which is on
    disk: started again, it goes on."""

    def __init__(self, folder: Path, period_s: int = 1) -> None:
        super().__init__(block_s=period_s)
        self._folder = folder
        self._period_s = period_s
        self._bank = Account.create()

    def start(self) -> Geth:
        if not (self._folder / "geth").exists():
            self._begin()
        command = [
            *(str(GETH), "--dev", "--dev.period", str(self._period_s), "--datadir", str(self._folder)),
            *("--http", "--http.addr", "127.0.0.1", "--http.port", str(self.port), "--http.api", "eth,net,web3"),
            *("--ipcdisable", "--nodiscover", "--port", "0", "--authrpc.port", "0", "--verbosity", "2"),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert int(self.rpc("eth_chainId"), 16) == CHAIN_ID
                return self
            except requests.ConnectionError:
                assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _begin(self) -> None:
        """The developer's genesis with our chain id, and with funds for the tests' bank."""
        said = subprocess.run([str(GETH), "--dev", "dumpgenesis"], capture_output=True, text=True, check=True)
        genesis = json.loads(said.stdout)
        genesis["config"]["chainId"] = CHAIN_ID
        genesis["config"].pop("bogotaTime", None)  # rules of a fork that no chain is under yet: they cost more gas
        genesis["alloc"][self._bank.address] = {"balance": hex(10**6 * FUNDS)}
        file = self._folder / "genesis.json"
        file.write_text(json.dumps(genesis))
        command = [str(GETH), "init", "--datadir", str(self._folder), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """As a service manager does: it writes its state before it ends."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def fund(self, address: str) -> None:
        count = int(self.rpc("eth_getTransactionCount", self._bank.address, "pending"), 16)
        signed = self._bank.sign_transaction(
            {
                "to": Web3.to_checksum_address(address),
                "value": FUNDS,
                "nonce": count,
                "gas": 21_000,
                "chainId": CHAIN_ID,
                "type": 2,
                "maxFeePerGas": 10**11,
                "maxPriorityFeePerGas": 10**9,
            }
        )
        transaction = self.rpc("eth_sendRawTransaction", Web3.to_hex(signed.raw_transaction))
        deadline = time.monotonic() + 30
        while self.rpc("eth_getTransactionReceipt", transaction) is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def geth(tmp_path: Path) -> Iterator[Geth]:
    folder = tmp_path / "chain"
    folder.mkdir()
    node = Geth(folder)
    try:
        yield node.start()
    finally:
        node.stop()


@pytest.fixture
def ledger(geth: Geth) -> Iterator[Ledger]:
    made = new_ledger(geth)
    yield made
    made.close()
