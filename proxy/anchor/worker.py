"""Step 12: the anchor process. It remembers nothing that matters: where to go on is asked of the chain each time.

One cycle:

1. read where the contract stands with the spool's origin, at one block
2. an origin it does not know: open it as the successor of its predecessor, or wait for the registrar
3. compare heads at the contract's count; where they differ, send nothing and say how far both agree
4. forget what is in blocks or lost; what is left is in flight
5. send the exact continuation: full batches at once, a small one when its oldest record waited long enough
6. name the next evidence that is stored, after the leaves and one at a time
7. say how far it is
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import orjson

from proxy.anchor.batches import agreed_leaves, next_batch
from proxy.anchor.chain_client import ChainClient, FeesTooHighError, TransactionRefusedError
from proxy.anchor.chain_sender import GAS_ADMINISTRATIVE, ChainSender
from proxy.anchor.chain_values import OriginState
from proxy.anchor.flight import SUCCESSION, Flight, Sent
from proxy.anchor.publishing import Owing, Publisher
from proxy.anchor.status import AnchorState, AnchorStatus, now
from proxy.errors import ChainError, IntegrityError, SpoolError
from proxy.ports import SpoolReader

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
MAX_BACKOFF_S: Final = 10.0
_MAX_SUCCESSIONS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSettings:
    batch_size: int = 1024
    max_wait_s: float = 1.0
    finality: int | Literal["finalized", "safe"] = 2
    """Blocks on top after which a block is final, or the chain's own word for it."""
    max_in_flight: int = 8
    resend_s: float = 30.0


class AnchorWorker:
    """Anchors the leaves of whatever origin is current. One worker an account: nonces are the account's."""

    def __init__(
        self,
        *,
        client: ChainClient,
        sender: ChainSender,
        current: Callable[[], SpoolReader],
        report: Callable[[AnchorStatus], None],
        settings: AnchorSettings,
        publisher: Publisher | None = None,
    ) -> None:
        self._client = client
        self._sender = sender
        self._current = current
        self._report = report
        self._settings = settings
        self._publisher = publisher
        self._owing = Owing(client, sender.address)
        self._flight = Flight(settings.resend_s)
        self._partial: tuple[int, float] | None = None
        self._divergence: tuple[bytes, int, int, int] | None = None
        self._status = AnchorStatus(state=AnchorState.OK, updated_at=now(), account=sender.address)

    def run(self, stop: threading.Event) -> None:
        """Cycle until ``stop`` is set; back off while something fails."""
        failures = 0
        while not stop.is_set():
            status = self.cycle()
            failures = 0 if status.state in (AnchorState.OK, AnchorState.DIVERGED) else min(failures + 1, 10)
            backoff = min(MAX_BACKOFF_S, POLL_S * 2**failures) * random.uniform(0.8, 1)  # noqa: S311 - jitter
            stop.wait(backoff if failures else POLL_S)

    def cycle(self) -> AnchorStatus:
        """Everything once. Never raises for what chain or spool can do."""
        before = self._status
        self._status = replace(before, agreed=None, detail="", updated_at=now())
        try:
            self._cycle()
        except SpoolError as error:
            self._become(AnchorState.SPOOL_UNAVAILABLE, error.detail)
        except IntegrityError as error:
            self._become(AnchorState.SPOOL_INCONSISTENT, error.detail)
        except TransactionRefusedError as error:
            self._become(AnchorState.REFUSED, error.detail)
        except FeesTooHighError as error:
            self._become(AnchorState.FEES_TOO_HIGH, error.detail)
        except ChainError as error:
            self._become(AnchorState.CHAIN_UNAVAILABLE, error.detail)
        self._status = replace(self._status, nodes=self._client.troubles)
        if (self._status.state, self._status.detail) != (before.state, before.detail):
            level = logging.INFO if self._status.state is AnchorState.OK else logging.WARNING
            logger.log(level, "anchor state", extra={"state": self._status.state.value, "detail": self._status.detail})
        try:
            self._report(self._status)
        except OSError as error:
            # Anchoring matters more than telling; whoever reads the file sees that it grows old.
            logger.error("status cannot be written", extra={"detail": error.strerror})
        return self._status

    def _become(self, state: AnchorState, detail: str = "") -> None:
        self._status = replace(self._status, state=state, detail=detail)

    def _cycle(self) -> None:
        reader = self._current()
        if reader.origin != self._status.origin:
            self._status = replace(
                self._status, origin=reader.origin, included=0, final=0, published=0, oldest_unanchored_s=None
            )
        local = reader.count()
        # With what the contract held last: the age has to grow while no node answers.
        age = _age(reader, self._status.included, self._status.updated_at)
        self._status = replace(self._status, local=local, oldest_unanchored_s=age)
        if (reader.chain_id, reader.contract) != (self._client.chain_id, self._client.contract_bytes):
            self._become(AnchorState.MISCONFIGURED, "the spool was made for another chain or contract")
            return
        # 1.
        block = self._client.block_number()
        state = self._client.origin(reader.origin, block)
        if state is None:
            self._open(reader, block)  # 2.
            return
        final_block = self._final_block(block)
        self._status = replace(
            self._status,
            included=state.count,
            final=self._final(reader.origin, state, block, final_block),
            published=state.published,
            oldest_unanchored_s=_age(reader, state.count, self._status.updated_at),
        )
        if not self._agree(reader, state, local, block):  # 3.
            return
        if state.writer != self._sender.address:
            self._become(AnchorState.NOT_THE_WRITER, f"the registrar gave this origin to {state.writer}")
            return
        nonce = self._settled(reader.origin, state, block)  # 4.
        self._status = replace(self._status, in_flight=len(self._flight))
        if nonce is None:
            self._become(AnchorState.OK, "waiting for transactions of this account that are under way")
        else:
            self._become(AnchorState.OK)
            self._send(reader, state, local, nonce)  # 5.
        self._publish(reader.origin, state, nonce, block, final_block)  # 6.
        self._status = replace(self._status, in_flight=len(self._flight))

    def _final_block(self, block: int) -> int:
        finality = self._settings.finality
        return block - finality if isinstance(finality, int) else self._client.tagged_block(finality)

    def _final(self, origin: bytes, state: OriginState, block: int, final_block: int) -> int:
        if final_block >= block:
            return state.count
        if final_block < state.opened:
            return 0
        try:
            final = self._client.origin(origin, final_block)
        except ChainError:
            # A node that was restarted may not have the state of older blocks. It is a figure, not a ground to stop.
            return min(self._status.final, state.count)
        return 0 if final is None else final.count

    def _open(self, reader: SpoolReader, block: int) -> None:
        tip, state = reader.predecessor, None
        for _ in range(_MAX_SUCCESSIONS):
            state = None if tip is None else self._client.origin(tip, block)
            if state is None or state.successor is None:
                break
            # The chain knows a successor that this spool does not: it was restored from before that.
            tip = state.successor
        agreed = (reader.agreed or 0) if tip == reader.predecessor else 0
        if tip is None or state is None or state.closed or agreed > state.count:
            self._become(
                AnchorState.ORIGIN_UNKNOWN,
                f"the registrar has to open origin {reader.origin.hex()} for writer {self._sender.address}"
                f" with receipt key {reader.receipt_key.hex()}",
            )
            return
        self._become(AnchorState.OK, "opening this origin as a successor")
        nonce = self._settled(reader.origin, None, block)
        if nonce is None or self._flight.sent:
            return
        fees = self._sender.fees(self._flight.raised)
        transaction = self._sender.sign(
            "succeed", tip, reader.origin, agreed, reader.receipt_key, nonce=nonce, fees=fees, gas=GAS_ADMINISTRATIVE
        )
        logger.warning("succession", extra={"predecessor": tip.hex(), "origin": reader.origin.hex(), "agreed": agreed})
        self._launch(
            Sent(
                origin=reader.origin,
                nonce=nonce,
                first=SUCCESSION,
                end=0,
                head=b"",
                transaction=transaction,
            )
        )

    def _agree(self, reader: SpoolReader, state: OriginState, local: int, block: int) -> bool:
        same = state.count <= local and reader.head(state.count) == state.head
        if state.closed and state.successor is None:
            self._become(AnchorState.CLOSED, "the registrar closed this origin")
            return False
        if same and not state.closed:
            return True
        key = (reader.origin, local, state.count)
        if self._divergence is None or self._divergence[:3] != key:
            agreed = agreed_leaves(self._client.anchored(reader.origin, state.opened, block), reader)
            self._divergence = (*key, agreed)
            logger.error(
                "chain and spool differ",
                extra={"origin": reader.origin.hex(), "chain": state.count, "local": local, "agreed": agreed},
            )
        self._become(AnchorState.DIVERGED, "the chain holds another life of this origin")
        self._status = replace(self._status, agreed=self._divergence[3])
        return False

    def _settled(self, origin: bytes, state: OriginState | None, block: int) -> int | None:
        """The account's next nonce as of ``block``, ``None`` while something sent earlier has to be waited for."""

        def expected(sent: Sent) -> bool:
            if sent.publication:
                held = state if sent.origin == origin else self._client.origin(sent.origin, block)
                return held is not None and held.published == sent.first
            return sent.origin == origin and sent.first == (SUCCESSION if state is None else state.count)

        nonce = self._sender.nonce(block)
        held = self._sender.nonce()
        return nonce if self._flight.settle(expected=expected, nonce=nonce, held=held, now=time.monotonic()) else None

    def _send(self, reader: SpoolReader, state: OriginState, local: int, nonce: int) -> None:
        settings, flight = self._settings, self._flight
        last = flight.leaves
        first, head = (state.count, state.head) if last is None else (last.end, last.head)
        fees = None
        while len(flight) < settings.max_in_flight and first < local:
            most = self._sender.fitting(settings.batch_size)
            size = min(most, local - first)
            if size < most and not self._due(first):
                return
            batch = next_batch(reader.rows(first, size), first, head)
            fees = fees or self._sender.fees(flight.raised)
            following = nonce + len(flight)
            transaction = self._sender.sign_anchor(reader.origin, first, head, batch.leaves, nonce=following, fees=fees)
            sent = Sent(
                origin=reader.origin,
                nonce=following,
                first=first,
                end=batch.end,
                head=batch.head,
                transaction=transaction,
            )
            self._launch(sent)
            first, head = batch.end, batch.head

    def _publish(self, origin: bytes, state: OriginState, nonce: int | None, block: int, final_block: int) -> None:
        """At most one transaction, behind the leaves. What fails here is told of and stops nothing else."""
        if self._publisher is None:
            return
        self._status = replace(self._status, evidence=self._publisher.status)
        try:
            place = self._owing.place(origin, state, self._status.final, block=block, final_block=final_block)
            ready = self._publisher.next(place.origin, place.published, place.final)
            if ready is None or nonce is None or self._flight.publishes:
                return
            if ready.first != place.published or ready.first + ready.count > place.final:
                return  # stored for what stood before a reorganisation
            call = ("publish", place.origin, ready.first, ready.count, ready.cid.encode("ascii"))
            gas = self._sender.estimate(*call)
            fees, following = self._sender.fees(self._flight.raised), nonce + len(self._flight)
            self._launch(
                Sent(
                    origin=place.origin,
                    nonce=following,
                    first=ready.first,
                    end=ready.first + ready.count,
                    head=b"",
                    transaction=self._sender.sign(*call, nonce=following, fees=fees, gas=gas),
                    publication=True,
                )
            )
        except ChainError as error:
            self._status = replace(self._status, evidence=f"not published: {error.detail}")

    def _launch(self, sent: Sent) -> None:
        # Noted before it is sent: when the answer is lost, the node may have it.
        self._flight.sent.append(sent)
        try:
            self._sender.send(sent.transaction)
        except TransactionRefusedError as error:
            self._flight.sent.pop()
            if "underpriced" in error.detail.lower():
                self._flight.raised += 1
            raise
        logger.info(
            "sent",
            extra={"first": sent.first, "end": sent.end, "nonce": sent.nonce, "tx": sent.transaction.hash},
        )

    def _due(self, first: int) -> bool:
        moment = time.monotonic()
        if self._partial is None or self._partial[0] != first:
            self._partial = (first, moment)
        return moment - self._partial[1] >= self._settings.max_wait_s


def _age(reader: SpoolReader, index: int, moment: datetime) -> float | None:
    """Seconds since the record at ``index`` was made, ``None`` where there is none."""
    rows = reader.rows(index, 1)
    if not rows:
        return None
    try:
        made = datetime.fromisoformat(orjson.loads(rows[0].body)["time"])
        return max(0.0, round((moment - made).total_seconds(), 3))
    except (ValueError, KeyError, TypeError):
        return None
