"""The child process of ``candidate.py``: policies on standard input, on standard output what was prepared of them, or
what is wrong.

It limits its own memory, processor time and answer, so it ends even if its parent does not live to end it.
"""

from __future__ import annotations

import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from proxy.decide.candidate import MAX_ANSWER_BYTES, examine
from proxy.decide.policies import PolicySet
from proxy.errors import PolicyInvalidError

MEMORY_BYTES: Final = 1 << 30
"""On top of the address space in use at the start: the engine's allocator alone reserves 1 GiB of it."""


def main() -> int:
    head = orjson.loads(sys.stdin.buffer.readline())
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (head["cpu_s"], head["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_ANSWER_BYTES, MAX_ANSWER_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        policies = PolicySet(files={path: sys.stdin.buffer.read(size) for path, size in head["files"]})
        answer = examine(policies, datetime.fromisoformat(head["as_of"])).to_bytes()
    except PolicyInvalidError as error:
        sys.stdout.write(error.detail)
        return 1
    except MemoryError:
        sys.stdout.write(f"needs more than {MEMORY_BYTES} bytes of memory")
        return 1
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
