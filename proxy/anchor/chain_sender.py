"""Sending transactions, signed here, for one account: EIP-1559, or of the first type on chains without a base fee."""

from __future__ import annotations

import time
from typing import Any, Final, cast

from eth_account.signers.local import LocalAccount
from eth_typing import BlockNumber
from web3 import Web3
from web3.exceptions import TransactionNotFound
from web3.types import BlockIdentifier, TxParams

from proxy.anchor.chain_client import ChainClient, FeesTooHighError, TransactionRefusedError
from proxy.anchor.chain_values import LEAF_BYTES, FeeLimits, Fees, SignedTransaction
from proxy.anchor.contract import artifact
from proxy.errors import ChainError

GAS_A_LEAF: Final = 1_500
"""Measured 1,300 at 1,024 leaves, where EIP-7623's floor for call data rules; unused gas is given back."""
GAS_BASE: Final = 100_000
GAS_ADMINISTRATIVE: Final = 400_000
GAS_DEPLOYMENT: Final = 2_500_000

_ANCHOR: Final = bytes(Web3.keccak(text="anchor(bytes32,uint256,bytes32,bytes32[])"))[:4]
_KNOWN: Final = ("already known", "already imported", "known transaction")


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


class ChainSender:
    """Signs and sends for one account. It keeps no nonce: the chain does."""

    def __init__(self, client: ChainClient, account: LocalAccount, limits: FeeLimits | None = None) -> None:
        self._client = client
        self.limits = limits or FeeLimits()
        self._account = account
        self._contract = Web3().eth.contract(address=client.contract, abi=artifact().abi)

    @property
    def address(self) -> str:
        return str(self._account.address)

    def nonce(self, block: int | None = None) -> int:
        """Number of this account's transactions up to ``block``; without it also those that a node still holds."""
        at: BlockIdentifier = "pending" if block is None else BlockNumber(block)
        return self._client.ask(lambda node: int(node.eth.get_transaction_count(self._account.address, at)))

    def fees(self, raised: int = 0) -> Fees:
        """What is offered, ``raised`` times by a quarter and never above the ceilings. Twice the base fee stands six
        full blocks in a row.

        :raises FeesTooHighError: the chain asks more than the ceiling, so that nothing sent now would be taken
        """

        def question(node: Web3) -> tuple[int, Fees]:
            base = node.eth.get_block("latest").get("baseFeePerGas")
            if base is None:
                price = int(node.eth.gas_price)
                return price, Fees(max_fee=price, priority=price, legacy=True)
            # Where nothing burns, nobody has to be tipped: a consortium's accounts may hold no funds at all.
            priority = int(node.eth.max_priority_fee) if base else 0
            return int(base), Fees(max_fee=2 * int(base) + priority, priority=priority)

        least, fees = self._client.ask(question)
        ceiling = self.limits.max_fee
        if ceiling is not None and least > ceiling:
            raise FeesTooHighError(f"the chain asks {least} wei a unit of gas, the ceiling is {ceiling}")
        return fees.raised(raised).within(self.limits)

    def estimate(self, function: str, *arguments: object) -> int:
        """Gas for a call as of the newest block, with a quarter on top.

        :raises TransactionRefusedError: the contract would refuse it, in its words, or it is above the ceiling
        """
        call: TxParams = {
            "from": self._account.address,
            "to": self._client.contract,
            "data": self._contract.encode_abi(function, args=list(arguments)),
        }
        gas = self._client.ask(lambda node: int(node.eth.estimate_gas(call))) * 5 // 4
        if self.limits.gas is not None and gas > self.limits.gas:
            raise TransactionRefusedError(f"{function} takes {gas} gas, the ceiling is {self.limits.gas}")
        return gas

    def fitting(self, leaves: int) -> int:
        """How many of so many leaves one transaction may hold.

        :raises TransactionRefusedError: not even one, by the ceiling of gas
        """
        if self.limits.gas is None:
            return leaves
        fit = min(leaves, (self.limits.gas - GAS_BASE) // GAS_A_LEAF)
        if fit < 1:
            raise TransactionRefusedError(
                f"one leaf takes {GAS_BASE + GAS_A_LEAF} gas, the ceiling is {self.limits.gas}"
            )
        return fit

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
        transaction: dict[str, Any] = {
            **fields,
            "value": 0,
            "chainId": self._client.chain_id,
            "nonce": nonce,
            "gas": gas,
        }
        if fees.legacy:
            transaction["gasPrice"] = fees.max_fee
        else:
            transaction |= {"type": 2, "maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": fees.priority}
        signed = self._account.sign_transaction(transaction)
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
