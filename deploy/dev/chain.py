"""The stack's own chain: anvil with interval mining, its state in a file, and the contract on it.

Keys are made up the first time and funded by the node. The registrar's lies beside the writer's, which no real site
does.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

import requests

from deploy.dev.layout import Layout, Ports, StackError, tool, write_secret
from deploy.dev.process import Child
from proxy.anchor.chain_client import ChainClient
from proxy.anchor.chain_sender import ChainSender
from proxy.anchor.keys import load_account
from proxy.record.reader import current_reader

CHAIN_ID: Final = 31337
FUNDS_WEI: Final = 10**24
NOWHERE: Final = "0x" + "00" * 20


def rpc_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.chain}"


def chain_child(layout: Layout, ports: Ports, *, block_s: float) -> Child:
    """:raises StackError: anvil is not set up"""
    return Child(
        name="chain",
        command=[
            str(tool("anvil")),
            *("--host", "127.0.0.1", "--port", str(ports.chain), "--chain-id", str(CHAIN_ID)),
            *("--accounts", "0", "--block-time", f"{block_s:g}", "--silent"),
            *("--state", str(layout.chain_state), "--state-interval", "1"),
        ],
        log=layout.log / "chain.log",
        healthy=lambda: _serves(rpc_url(ports)),
    )


def deploy_ledger(layout: Layout, ports: Ports) -> str:
    """Address of this stack's contract, deployed the first time.

    :raises StackError: the stack had a contract and the chain has lost it
    """
    for role in ("registrar", "writer"):
        path = layout.keys / f"{role}.key"
        if not path.exists():
            write_secret(path, secrets.token_hex(32).encode() + b"\n")
        rpc(ports, "anvil_setBalance", load_account(path).address, hex(FUNDS_WEI))
    if layout.ledger.exists():
        contract = str(json.loads(layout.ledger.read_text())["contract"])
        if rpc(ports, "eth_getCode", contract, "latest") == "0x":
            raise StackError(
                f"The chain's state in {layout.chain_state} no longer holds the contract {contract} that this stack "
                f"anchored in. Remove {layout.directory} to begin anew."
            )
        return contract
    client = _client(ports, NOWHERE)
    try:
        contract = str(ChainSender(client, load_account(layout.keys / "registrar.key")).deploy()["contractAddress"])
    finally:
        client.close()
    layout.ledger.write_text(json.dumps({"chain_id": CHAIN_ID, "contract": contract}) + "\n")
    return contract


def open_origin(layout: Layout, ports: Ports, contract: str) -> bool:
    """As registrar, open the spool's origin where the chain does not know it. Returns whether it was opened.

    Successors are not the registrar's to open: the anchor process does that, naming the predecessor.
    """
    reader = current_reader(layout.spool)
    client = _client(ports, contract)
    try:
        if reader.predecessor is not None or client.origin(reader.origin) is not None:
            return False
        registrar = ChainSender(client, load_account(layout.keys / "registrar.key"))
        writer = load_account(layout.keys / "writer.key").address
        registrar.execute("open_origin", reader.origin, writer, reader.receipt_key)
    finally:
        client.close()
        reader.close()
    return True


def rpc(ports: Ports, method: str, *parameters: object) -> Any:
    """One JSON-RPC call.

    :raises StackError: the node answered with an error
    """
    answer = requests.post(
        rpc_url(ports), json={"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}, timeout=10
    ).json()
    if "error" in answer:
        raise StackError(f"The chain refused {method}: {answer['error'].get('message')}")
    return answer["result"]


def _client(ports: Ports, contract: str) -> ChainClient:
    return ChainClient(rpc_urls=[rpc_url(ports)], chain_id=CHAIN_ID, contract=contract)


def _serves(url: str) -> bool:
    try:
        answer = requests.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}, timeout=5)
    except requests.RequestException:
        return False
    return answer.ok
