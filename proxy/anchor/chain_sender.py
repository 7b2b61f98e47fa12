"""Sending transactions: EIP-1559, signed here, for one account. The only module that touches a private key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import BlockNumber
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.types import BlockIdentifier, TxParams

from proxy.anchor.chain_client import ChainClient, TransactionRefusedError
from proxy.anchor.chain_values import LEAF_BYTES, Fees, SignedTransaction
from proxy.anchor.contract import artifact
from proxy.errors import ChainError, ConfigurationError

GAS_A_LEAF: Final = 1_500
"""Measured 1,300 at 1,024 leaves, where EIP-7623's floor for call data rules; unused gas is given back."""
GAS_BASE: Final = 100_000
GAS_ADMINISTRATIVE: Final = 400_000
GAS_DEPLOYMENT: Final = 2_500_000

_ANCHOR: Final = bytes(Web3.keccak(text="anchor(bytes32,uint256,bytes32,bytes32[])"))[:4]
_KNOWN: Final = ("already known", "already imported", "known transaction")


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def load_account(path: Path) -> LocalAccount:
    """Read a hexadecimal private key.

    :raises ConfigurationError: the file cannot be read, is open to others, or holds no key
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; chmod 600")
        text = path.read_text("ascii").strip()
        return cast("LocalAccount", Account.from_key(text))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError:
        # `from None`: the library's message may quote the key.
        raise ConfigurationError(f"{path}: not a hexadecimal private key") from None


class ChainSender:
    """Signs and sends for one account. It keeps no nonce: the chain does."""

    def __init__(self, client: ChainClient, account: LocalAccount) -> None:
        self._client = client
        self._account = account
        self._contract = Web3().eth.contract(address=client.contract, abi=artifact().abi)

    @property
    def address(self) -> str:
        return str(self._account.address)

    def nonce(self, block: int | None = None) -> int:
        """Number of this account's transactions up to ``block``; without it also those that a node still holds."""
        at: BlockIdentifier = "pending" if block is None else BlockNumber(block)
        return self._client.ask(lambda node: int(node.eth.get_transaction_count(self._account.address, at)))

    def fees(self) -> Fees:
        """Twice the base fee stands six full blocks in a row."""

        def question(node: Web3) -> Fees:
            priority = int(node.eth.max_priority_fee)
            base = int(node.eth.get_block("latest").get("baseFeePerGas", 0))
            return Fees(max_fee=2 * base + priority, priority=priority)

        return self._client.ask(question)

    def sign(self, function: str, *arguments: object, nonce: int, fees: Fees, gas: int) -> SignedTransaction:
        """A call of the contract. The same arguments give the same bytes (RFC 6979)."""
        data = self._contract.encode_abi(function, args=list(arguments))
        return self._sign({"to": self._client.contract, "data": data}, nonce=nonce, fees=fees, gas=gas)

    def sign_anchor(
        self, origin: bytes, first: int, previous_head: bytes, leaves: list[bytes], *, nonce: int, fees: Fees
    ) -> SignedTransaction:
        """``anchor``, encoded by hand (a test holds it equal): web3's encoder takes 75 ms for a full batch."""
        words = [origin, _word(first), previous_head, _word(4 * LEAF_BYTES), _word(len(leaves)), *leaves]
        if any(len(word) != LEAF_BYTES for word in words):
            raise ValueError("origin, head and leaves have 32 bytes each")
        fields: TxParams = {"to": self._client.contract, "data": _ANCHOR + b"".join(words)}
        return self._sign(fields, nonce=nonce, fees=fees, gas=GAS_BASE + GAS_A_LEAF * len(leaves))

    def _sign(self, fields: TxParams, *, nonce: int, fees: Fees, gas: int) -> SignedTransaction:
        transaction: TxParams = {
            **fields,
            "type": 2,
            "value": Web3.to_wei(0, "wei"),
            "chainId": self._client.chain_id,
            "nonce": nonce,  # type: ignore[typeddict-item]
            "gas": gas,
            "maxFeePerGas": fees.max_fee,  # type: ignore[typeddict-item]
            "maxPriorityFeePerGas": fees.priority,  # type: ignore[typeddict-item]
        }
        signed = self._account.sign_transaction(cast("dict[str, Any]", transaction))
        return SignedTransaction(raw=bytes(signed.raw_transaction), hash=Web3.to_hex(signed.hash))

    def send(self, transaction: SignedTransaction) -> None:
        """Hand it to a node. One that has it already is as good.

        :raises TransactionRefusedError: the node does not take it (nonce used, fee too low, no funds)
        :raises ChainError: no answer; the node may have taken it nevertheless
        """
        try:
            self._client.ask(lambda node: node.eth.send_raw_transaction(transaction.raw))
        except TransactionRefusedError as error:
            if not any(phrase in error.detail.lower() for phrase in _KNOWN):
                raise

    def execute(self, function: str, *arguments: object, wait_s: float = 60) -> dict[str, Any]:
        """Send one administrative call and wait until it is in a block.

        :raises ChainError: it was refused, or is not in a block after ``wait_s``
        """
        transaction = self.sign(function, *arguments, nonce=self.nonce(), fees=self.fees(), gas=GAS_ADMINISTRATIVE)
        self.send(transaction)
        return self.receipt(transaction, wait_s=wait_s)

    def deploy(self, *, wait_s: float = 60) -> dict[str, Any]:
        """Deploy the contract with this account as its registrar; the receipt names the ``contractAddress``.

        :raises ChainError: as for :meth:`execute`
        """
        data = Web3().eth.contract(abi=artifact().abi, bytecode=artifact().bytecode).constructor(self.address)
        transaction = self._sign(
            {"data": data.data_in_transaction}, nonce=self.nonce(), fees=self.fees(), gas=GAS_DEPLOYMENT
        )
        self.send(transaction)
        return self.receipt(transaction, wait_s=wait_s)

    def receipt(self, transaction: SignedTransaction, *, wait_s: float) -> dict[str, Any]:
        """:raises ChainError: the transaction failed, or is not in a block after ``wait_s``"""
        deadline = time.monotonic() + wait_s
        while (found := self._receipt(transaction)) is None:
            if time.monotonic() > deadline:
                raise ChainError(f"transaction {transaction.hash} is not in a block after {wait_s:g} s")
            time.sleep(0.1)
        if found["status"] != 1:
            raise TransactionRefusedError(f"the contract refused transaction {transaction.hash}")
        return found

    def _receipt(self, transaction: SignedTransaction) -> dict[str, Any] | None:
        def question(node: Web3) -> dict[str, Any] | None:
            try:
                return dict(node.eth.get_transaction_receipt(cast("Any", transaction.hash)))
            except TransactionNotFound:
                return None

        return self._client.ask(question)
