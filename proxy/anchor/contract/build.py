"""Compile the contract and write the artifact beside it: ``python -m proxy.anchor.contract.build``.

Needs the Vyper compiler, a development dependency. A test compiles again and compares, so that what is
deployed is what is reviewed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = HERE / "DecisionLedger.vy"
ARTIFACT = HERE / "DecisionLedger.json"


def build() -> dict[str, Any]:
    """The artifact as this compiler makes it from the source as it stands."""
    import vyper

    source = SOURCE.read_text(encoding="utf-8")
    compiled = vyper.compile_code(source, output_formats=["abi", "bytecode", "bytecode_runtime"])
    return {
        "contract": "DecisionLedger",
        "compiler": f"vyper {vyper.__version__}",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"],
        "runtime": compiled["bytecode_runtime"],
    }


if __name__ == "__main__":
    ARTIFACT.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
