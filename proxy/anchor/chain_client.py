"""Reading the chain. Thin: JSON-RPC in, values out, and every foreign exception becomes :class:`ChainError`.

What a node answers is believed only so far: the worker's own batches are refused by the contract if it lied,
and the verifier recomputes heads from leaves. Addresses of nodes may carry credentials, so they are never
logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar, cast

import requests
from eth_typing import BlockNumber, ChecksumAddress, HexStr
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError, Web3Exception, Web3RPCError
from web3.types import FilterParams, LogReceipt

from proxy.anchor.chain_values import LEAF_BYTES, MAX_LEAVES, AnchoredBatch, OriginState, Publication
from proxy.anchor.contract import artifact
from proxy.errors import ChainError

T = TypeVar("T")

_ANCHORED: Final = Web3.to_hex(Web3.keccak(text="Anchored(bytes32,uint256,bytes32,bytes32[])"))
_PUBLISHED: Final = Web3.to_hex(Web3.keccak(text="Published(bytes32,uint256,uint256,bytes)"))
MAX_BEHIND: Final = 8
"""Blocks by which a node may be behind the newest that was seen, where there are others to ask."""
_MAX_WINDOW: Final = 10_000
_LOGS_WANTED: Final = 128
"""About 8 MiB of JSON: more in one answer halves the next range of blocks."""


def reviewed_code_hash() -> bytes:
    """Keccak-256 of the code that this version's artifact puts on a chain."""
    return bytes(Web3.keccak(artifact().runtime))


class TransactionRefusedError(ChainError):
    """The node is there and did not take this transaction; what the contract says next decides."""


class FeesTooHighError(ChainError):
    """Sending now would cost more than the site's ceiling."""


class ChainClient:
    """One contract on one chain, through the first of several nodes that answers."""

    def __init__(self, *, rpc_urls: Sequence[str], chain_id: int, contract: str, timeout_s: float = 10) -> None:
        self.chain_id = chain_id
        self.contract: ChecksumAddress = Web3.to_checksum_address(contract)
        self._sessions = [requests.Session() for _ in rpc_urls]
        self._nodes = [
            Web3(
                HTTPProvider(
                    url,
                    request_kwargs={"timeout": timeout_s},
                    session=session,
                    exception_retry_configuration=None,  # retries are the worker's, which knows what it sent
                )
            )
            for url, session in zip(rpc_urls, self._sessions, strict=True)
        ]
        self._active = 0
        self._checked: set[int] = set()
        self._troubles: dict[int, str] = {}
        self._newest = 0
        self._behind: set[int] = set()

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    @property
    def contract_bytes(self) -> bytes:
        return bytes.fromhex(self.contract[2:])

    @property
    def troubles(self) -> tuple[str, ...]:
        """Nodes that were passed over since they last served, by number from 1: addresses may carry credentials."""
        return tuple(f"node {number + 1}: {text}" for number, text in sorted(self._troubles.items()))

    def ask(self, question: Callable[[Web3], T]) -> T:
        """Put one question to the node in use; after a failure the next question goes to the next node.

        :raises TransactionRefusedError: the node answered with an error
        :raises ChainError: no answer, or one that makes no sense
        """
        node = self._nodes[self._active]
        try:
            if self._active not in self._checked:
                found = node.eth.chain_id
                if found != self.chain_id:
                    raise ChainError(f"the node is on chain {found}, not {self.chain_id}")
                self._checked.add(self._active)
            answer = question(node)
        except ContractLogicError as error:
            raise TransactionRefusedError(str(error.message)[:300]) from error
        except Web3RPCError as error:
            raise TransactionRefusedError(_message(error)) from error
        except (Web3Exception, requests.RequestException, ChainError) as error:
            self._pass_over(error.detail if isinstance(error, ChainError) else type(error).__name__)
            if isinstance(error, ChainError):
                raise
            # Not its text: requests' messages hold the node's address, web3's may hold an answer.
            raise ChainError(f"the node could not be asked: {type(error).__name__}") from error
        if self._active not in self._behind:
            self._troubles.pop(self._active, None)
        return answer

    def _pass_over(self, trouble: str) -> None:
        self._troubles[self._active] = trouble
        self._checked.discard(self._active)
        self._active = (self._active + 1) % len(self._nodes)

    def view(self, name: str, *arguments: object, block: int | None = None) -> Any:
        """Call a view of the contract at ``block``, or at the newest."""

        def question(node: Web3) -> Any:
            contract = node.eth.contract(address=self.contract, abi=artifact().abi)
            at = "latest" if block is None else BlockNumber(block)
            return contract.functions[name](*arguments).call(block_identifier=at)  # type: ignore[arg-type]

        return self.ask(question)

    def block_number(self) -> int:
        """The newest block.

        :raises ChainError: this node is far behind another that was asked before; the next question goes to the next
        """
        number = self.ask(lambda node: int(node.eth.block_number))
        if number >= self._newest - MAX_BEHIND:
            self._behind.discard(self._active)
        elif len(self._behind | {self._active}) < len(self._nodes):
            self._behind.add(self._active)
            text = f"{self._newest - number} blocks behind"
            self._pass_over(text)
            raise ChainError(f"the node is {text}")
        else:
            # Every node says so: the chain itself went back.
            self._behind.clear()
            self._newest = number
        self._newest = max(self._newest, number)
        return number

    def block_time(self, block: int) -> int:
        """Unix seconds."""
        return self.ask(lambda node: int(node.eth.get_block(BlockNumber(block))["timestamp"]))

    def block_hash(self, block: int) -> bytes:
        return self.ask(lambda node: bytes(node.eth.get_block(BlockNumber(block))["hash"]))

    def tagged_block(self, tag: Literal["finalized", "safe"]) -> int:
        """The newest block that the chain's own consensus calls so."""
        return self.ask(lambda node: int(node.eth.get_block(tag)["number"]))

    def code_hash(self, block: int) -> bytes:
        """Keccak-256 of the contract's code, as EXTCODEHASH gives it."""

        def question(node: Web3) -> bytes:
            return bytes(Web3.keccak(bytes(node.eth.get_code(self.contract, BlockNumber(block)))))

        return self.ask(question)

    def registrar(self, block: int | None = None) -> str:
        return str(self.view("registrar", block=block))

    def candidate(self, block: int | None = None) -> str | None:
        """Who may take the registrar's office over; ``None``: nobody was proposed."""
        address = str(self.view("candidate", block=block))
        return None if int(address, 16) == 0 else address

    def deployed(self) -> int:
        return int(self.view("deployed"))

    def origin(self, origin: bytes, block: int | None = None) -> OriginState | None:
        """``None`` where the contract has no such origin."""
        raw = self.view("state", origin, block=block)
        writer, receipt_key, count, head, closed, predecessor, agreed, successor, opened, published = raw
        if opened == 0:
            return None
        return OriginState(
            writer=writer,
            receipt_key=receipt_key,
            count=count,
            head=head,
            closed=closed,
            predecessor=_or_none(predecessor),
            agreed=agreed,
            successor=_or_none(successor),
            opened=opened,
            published=published,
        )

    def origins(self, last_block: int) -> list[bytes]:
        """Every origin that was ever opened, oldest first."""
        count = int(self.view("origin_count", block=last_block))
        return [bytes(self.view("origin_at", number, block=last_block)) for number in range(count)]

    def anchored(self, origin: bytes, first_block: int, last_block: int) -> Iterator[AnchoredBatch]:
        """``Anchored`` events of one origin in order, fetched as they are consumed."""
        for log in self._logs([_ANCHORED, Web3.to_hex(origin)], first_block, last_block):
            yield _batch(log)

    def published(self, origin: bytes, first_block: int, last_block: int) -> Iterator[Publication]:
        """``Published`` events of one origin in order: where evidence is said to be, what was said later last."""
        for log in self._logs([_PUBLISHED, Web3.to_hex(origin)], first_block, last_block):
            yield _publication(log)

    def _logs(self, topics: list[str], first_block: int, last_block: int) -> Iterator[LogReceipt]:
        window, start = 64, first_block
        while start <= last_block:
            end = min(start + window - 1, last_block)
            wanted: FilterParams = {
                "address": self.contract,
                "fromBlock": BlockNumber(start),
                "toBlock": BlockNumber(end),
                "topics": [HexStr(topic) for topic in topics],
            }
            try:
                logs = self.ask(lambda node, wanted=wanted: node.eth.get_logs(wanted))  # type: ignore[misc]
            except TransactionRefusedError:
                # Nodes cap the size of an answer, each in its own words.
                if window == 1:
                    raise
                window = max(1, window // 4)
                continue
            yield from cast("list[LogReceipt]", logs)
            start = end + 1
            if len(logs) > _LOGS_WANTED:
                window = max(1, window // 2)
            elif len(logs) < _LOGS_WANTED // 4:
                window = min(_MAX_WINDOW, window * 2)


def _or_none(word: bytes) -> bytes | None:
    return word if any(word) else None


def _batch(log: LogReceipt) -> AnchoredBatch:
    """Decode by hand: head, offset, length, leaves. Eight times as fast as the general decoder.

    :raises ChainError: the event is not of the contract's form
    """
    data = bytes(log["data"])
    count = int.from_bytes(data[64:96], "big")
    if data[32:64] != (64).to_bytes(32, "big") or not 0 < count <= MAX_LEAVES or len(data) != 96 + LEAF_BYTES * count:
        raise ChainError("an Anchored event is malformed")
    return AnchoredBatch(
        first=int.from_bytes(bytes(log["topics"][2]), "big"),
        head=data[:32],
        leaves=data[96:],
        block=int(log["blockNumber"]),
        transaction=Web3.to_hex(log["transactionHash"]),
    )


def _publication(log: LogReceipt) -> Publication:
    """:raises ChainError: the event is not of the contract's form"""
    data = bytes(log["data"])
    length = int.from_bytes(data[64:96], "big")
    try:
        cid = data[96 : 96 + length].decode("ascii")
    except UnicodeDecodeError as error:
        raise ChainError("a Published event names no CID") from error
    if data[32:64] != (64).to_bytes(32, "big") or len(cid) != length:
        raise ChainError("a Published event is malformed")
    return Publication(
        first=int.from_bytes(bytes(log["topics"][2]), "big"),
        count=int.from_bytes(data[:32], "big"),
        cid=cid,
        block=int(log["blockNumber"]),
    )


def _message(error: Web3RPCError) -> str:
    response = error.rpc_response or {}
    detail = response.get("error")
    return str(detail.get("message", error) if isinstance(detail, dict) else error)[:300]
