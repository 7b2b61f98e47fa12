"""A real anvil for tests: started, stopped, started again from its state file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]


def anvil_binary() -> str:
    local = ROOT / ".tools" / "bin" / "anvil"
    found = str(local) if local.exists() else shutil.which("anvil")
    if found is None:
        pytest.fail("anvil is neither in .tools/bin nor on PATH: run `make setup`, which puts it there")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Anvil:
    """One chain. ``block_s`` is the interval of blocks; ``None`` mines each transaction at once."""

    def __init__(self, state: Path | None = None, block_s: float | None = 0.2, options: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._state = state
        self._block_s = block_s
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Anvil:
        command = [anvil_binary(), "--port", str(self.port), "--silent", "--chain-id", "31337", *self._options]
        if self._block_s is not None:
            command += ["--block-time", str(self._block_s)]
        if self._state is not None:
            command += ["--state", str(self._state), "--state-interval", "1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.rpc("eth_chainId")
                return self
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def rpc(self, method: str, *parameters: Any) -> Any:
        answer = requests.post(
            self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}, timeout=10
        ).json()
        assert "error" not in answer, answer
        return answer["result"]

    def fund(self, address: str) -> None:
        self.rpc("anvil_setBalance", address, hex(10**21))
