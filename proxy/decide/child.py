"""The child process of ``candidate.py``: policies on standard input, ``ok`` or what is wrong on standard output.

It limits its own memory and processor time, so it ends even if its parent does not live to end it.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import orjson

from proxy.decide.candidate import examine
from proxy.decide.policies import PolicySet
from proxy.errors import PolicyInvalidError

MEMORY_BYTES: Final = 1 << 29
"""On top of the address space in use at the start: the engine's allocator alone reserves 1 GiB of it."""


def main() -> int:
    received = orjson.loads(sys.stdin.buffer.read())
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (received["cpu_s"], received["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    policies = PolicySet(files={path: bytes.fromhex(content) for path, content in received["files"].items()})
    try:
        examine(policies)
    except PolicyInvalidError as error:
        sys.stdout.write(error.detail)
        return 1
    sys.stdout.write("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
