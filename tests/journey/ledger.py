"""What receipts in clients' hands say, held against spool and chain."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy.dev.answers import Answer
from deploy.dev.stack import DevStack, dicomward
from proxy.record.reader import open_readers


def missing(stack: DevStack, answers: Iterable[Answer]) -> list[str]:
    """Decision ids that were answered and that no origin's spool holds with the leaf of their receipt."""
    leaves: set[str] = set()
    for reader in open_readers(stack.layout.spool):
        leaves |= {row.leaf.hex() for row in reader.rows(0, reader.count())}
        reader.close()
    return [answer.decision or "" for answer in answers if answer.claims()["leaf"] not in leaves]


def indices(stack: DevStack) -> list[int]:
    """Indices of the origin in use, in order."""
    reader = open_readers(stack.layout.spool)[-1]
    try:
        return [row.index for row in reader.rows(0, reader.count())]
    finally:
        reader.close()


def verified(stack: DevStack, answers: Iterable[Answer] = (), *more: str) -> dict[str, Any]:
    """The report of ``dicomward ledger verify`` as JSON, receipts included."""
    with tempfile.TemporaryDirectory() as folder:
        receipts = Path(folder) / "receipts"
        receipts.write_text("".join(f"{answer.receipt}\n" for answer in answers))
        done = subprocess.run(
            [
                *dicomward(),
                "ledger",
                "verify",
                "--dir",
                str(stack.layout.directory),
                "--json",
                "--receipts",
                str(receipts),
                *more,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def settle(stack: DevStack, timeout_s: float = 120, figure: str = "final") -> dict[str, Any]:
    """Wait until the chain holds, finally, every record of the spool as it is now; returns the anchor's status.

    :param figure: ``published``: until evidence of every record is named too
    """
    reader = open_readers(stack.layout.spool)[-1]
    wanted, origin = reader.count(), reader.origin.hex()
    reader.close()
    deadline = time.monotonic() + timeout_s
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = json.loads(stack.layout.anchor_status.read_text())
        if status["origin"] == origin and status[figure] >= wanted:
            return status
        time.sleep(0.2)
    raise AssertionError(f"not anchored in {timeout_s} s: wanted {wanted}, {status}")
