"""All benches, one after the other: ``python -m tests.bench [--quick]``."""

from __future__ import annotations

import subprocess
import sys

BENCHES = (
    ("identify", False),
    ("interpret", False),
    ("decide", False),
    ("opa", False),
    ("reload", False),
    ("replay", False),
    ("fulfil", False),
    ("posture", False),
    ("record", False),
    ("evidence", False),
    ("ledger", False),
    ("gas", False),
    ("throughput", True),
)
"""Name, and whether it takes our arguments."""


def main() -> None:
    for name, takes in BENCHES:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *(sys.argv[1:] if takes else [])], check=True)


if __name__ == "__main__":
    main()
