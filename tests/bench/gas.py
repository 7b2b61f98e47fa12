"""What the contract's calls cost in gas, by batch size: ``python -m tests.bench.gas``. Prints the table of the docs."""

from __future__ import annotations

import secrets
from typing import Final

from proxy import commitment
from tests.anchor.chains import Anvil
from tests.anchor.conftest import CHAIN_ID, Ledger, new_ledger

SIZES: Final = (1, 8, 64, 128, 512, 1024)


def measure(ledger: Ledger) -> dict[int, int]:
    """Gas of ``anchor`` by number of leaves, each on an origin that holds some already."""
    origin, used = secrets.token_bytes(32), {}
    ledger.registrar.execute("open_origin", origin, ledger.writer.address, b"\7" * 32)
    head, first = commitment.genesis(CHAIN_ID, ledger.client.contract_bytes, origin), 0
    for size in (1, *SIZES):
        leaves = [secrets.token_bytes(32) for _ in range(size)]
        transaction = ledger.writer.sign_anchor(
            origin, first, head, leaves, nonce=ledger.writer.nonce(), fees=ledger.writer.fees()
        )
        ledger.writer.send(transaction)
        used[size] = int(ledger.writer.receipt(transaction, wait_s=20)["gasUsed"])
        first += size
        for leaf in leaves:
            head = commitment.next_head(head, leaf)
    receipt = ledger.writer.execute("publish", origin, 0, first, b"b" * 59)
    return used | {0: int(receipt["gasUsed"])}


def main() -> None:
    anvil = Anvil(block_s=None).start()
    ledger = new_ledger(anvil)
    try:
        used = measure(ledger)
    finally:
        ledger.close()
        anvil.stop()
    print("| leaves | gas | gas a leaf |\n|---|---|---|")
    for size in SIZES:
        print(f"| {size} | {used[size]:,} | {used[size] / size:,.0f} |")
    print(f"\npublish: {used[0]:,}")


if __name__ == "__main__":
    main()
