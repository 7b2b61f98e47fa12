"""The child process of ``testing.py``: modules and names of tests on standard input, one JSON line a test on output.

It limits its own memory and processor time, so it ends even if its parent does not live to end it. A test is named
before it runs, so that the parent knows which one did not end.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson
import regorus

from proxy.decide.prepared import brief

MEMORY_BYTES: Final = 1 << 29
"""On top of the address space in use at the start."""


def main() -> int:
    received = orjson.loads(sys.stdin.buffer.read())
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (received["cpu_s"], received["cpu_s"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine: Any = regorus.Engine()
    engine.set_gather_prints(True)
    try:
        for path, text in received["modules"]:
            engine.add_policy(path, text)
        engine.add_data_json(received["data"])
        engine.set_input_json("{}")
    except RuntimeError as error:
        _say({"fault": brief(error)})
        return 1
    for name in received["tests"]:
        _say({"began": name})
        _say({"ended": name, **_run(engine, name)})
    return 0


def _run(engine: Any, name: str) -> dict[str, Any]:
    begun = time.perf_counter()
    error = ""
    try:
        value = orjson.loads(engine.eval_rule_as_json(name))
    except (RuntimeError, orjson.JSONDecodeError) as failure:
        value, error = None, brief(failure)
    except BaseException as failure:
        # A panic of the native engine is no Exception.
        if isinstance(failure, KeyboardInterrupt | SystemExit):
            raise
        value, error = None, "the engine panicked"
    took = time.perf_counter() - begun
    return {"passed": value is True, "error": error, "prints": list(engine.take_prints()), "seconds": took}


def _say(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
