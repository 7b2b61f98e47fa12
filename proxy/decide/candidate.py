"""Tries policies in a child process (``child.py``) before a worker is given them: they may not compile, or never end.

The child prepares policies too and sends the outcome back, so what was tried is what comes into force, and the parent
need not work on much data while it serves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from typing import BinaryIO, Final

import orjson

from proxy.decide.embedded import EmbeddedEngine
from proxy.decide.example import example_input
from proxy.decide.policies import PolicySet
from proxy.decide.prepared import Prepared, from_bytes, prepare
from proxy.errors import PolicyInvalidError, PolicyUnavailableError
from proxy.model import Action, JsonObject

DECISION_LIMIT_S: Final = 0.05
"""Far above any decision of the shipped policies, far below what a client would notice."""
LOAD_LIMIT_S: Final = 5.0
"""Processor time of compiling. A worker answers nobody meanwhile, and is ended after ``policy.heartbeat_s``."""
MAX_SUBJECTS: Final = 32
"""Of each kind, devices and users."""
NOBODY: Final = "urn:dicomward:nobody:0b9f2c"
NO_USER: Final = "nobody/0b9f2c"
MAX_ANSWER_BYTES: Final = 64 << 20
_MAX_MESSAGE: Final = 2_000


def try_in_child(policies: PolicySet, as_of: datetime, deadline_s: float) -> Prepared:
    """Prepare, compile and evaluate in a process of its own; what comes back was prepared and tried there.

    :raises PolicyInvalidError: it does not compile, answers nonsense, or is not done in time
    :raises PolicyUnavailableError: no process could be started
    """
    head = {
        "cpu_s": max(1, int(deadline_s) + 1),
        "as_of": as_of,
        "files": [(path, len(content)) for path, content in policies.files.items()],
    }
    try:
        with _memory("asked") as asked, _memory("answered") as answered:
            asked.write(orjson.dumps(head) + b"\n")
            asked.writelines(policies.files.values())
            asked.seek(0)
            status = _run(asked, answered, deadline_s)
            answered.seek(0)
            answer = answered.read(MAX_ANSWER_BYTES if status == 0 else _MAX_MESSAGE)
    except OSError as error:
        raise PolicyUnavailableError(f"candidate policies could not be tried: {error.strerror}") from error
    if status == 0:
        return from_bytes(answer, policies)
    detail = answer.decode(errors="replace").strip()
    if -status == signal.SIGXCPU:
        detail = f"needs more than {head['cpu_s']} s of processor time"
    raise PolicyInvalidError(detail or f"ended with status {status} when it was tried")


def _memory(name: str) -> BinaryIO:
    return os.fdopen(os.memfd_create(name), "w+b")


def _run(asked: BinaryIO, answered: BinaryIO, deadline_s: float) -> int:
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "proxy.decide.child"],
        stdin=asked,
        stdout=answered,
        stderr=subprocess.DEVNULL,
        env={},
    ) as child:
        try:
            return child.wait(deadline_s)
        except subprocess.TimeoutExpired as error:
            raise PolicyInvalidError(f"not compiled and evaluated within {deadline_s:g} s") from error
        finally:
            child.kill()


def examine(policies: PolicySet, as_of: datetime) -> Prepared:
    """Prepare and compile, then ask what any site's policies have to answer.

    1. Empty input is denied with reasons.
    2. A subject that no data names is denied every action: a device, and a user on a device that data does not name.
       A user that no data names may do nothing with a device that data names, but let it tell of itself.
    3. For subjects and users that data names, every action gets a well-formed answer.
    4. No answer takes longer than ``DECISION_LIMIT_S``, and loading no longer than ``LOAD_LIMIT_S``.

    :raises PolicyInvalidError: one of these does not hold
    """
    prepared = prepare(policies, as_of)
    started = time.thread_time()
    engine = EmbeddedEngine(prepared)
    if time.thread_time() - started > LOAD_LIMIT_S:
        raise PolicyInvalidError(f"needs more than {LOAD_LIMIT_S:g} s to be loaded, and nobody is answered meanwhile")
    _ask(engine, {}, must_deny=True)
    data = orjson.loads(policies.data())
    devices, users = _named(data, "subjects"), _named(data, "users")
    for action in Action:
        _ask(engine, example_input(NOBODY, action), must_deny=True)
        if "*" not in users:  # with it, data names every user
            _ask(engine, example_input(NOBODY, action, NO_USER), must_deny=True)
        for name in devices[:MAX_SUBJECTS]:
            _ask(engine, example_input(name, action), must_deny=False)
            stranger = "*" not in users and action is not Action.REPORT_POSTURE
            _ask(engine, example_input(name, action, NO_USER), must_deny=stranger)
        for name in users[:MAX_SUBJECTS]:
            _ask(engine, example_input(NOBODY, action, name), must_deny=False)
    return prepared


def _ask(engine: EmbeddedEngine, policy_input: JsonObject, *, must_deny: bool) -> None:
    asked = "empty input" if not policy_input else "an example of input"
    for attempt in range(3):
        started = time.perf_counter()
        try:
            verdict = engine.decide_now(policy_input)
            engine.visible_now(policy_input)
        except PolicyUnavailableError as error:
            raise PolicyInvalidError(f"no verdict for {asked}: {error.detail}") from error
        if verdict.allow and must_deny:
            raise PolicyInvalidError(f"allows {asked} that every policy has to deny")
        if time.perf_counter() - started < DECISION_LIMIT_S:
            return
        if attempt == 2:
            raise PolicyInvalidError(f"needs more than {DECISION_LIMIT_S:g} s for {asked}")


def _named(data: JsonObject, section: str) -> list[str]:
    named = data.get(section)
    return sorted(named) if isinstance(named, dict) else []
