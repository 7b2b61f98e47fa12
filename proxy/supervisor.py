"""Keeps one worker alive, and policies that do not end out of force.

1. Start the worker as a child that dies when this process does, and share a page of memory with it (``pulse.py``).
2. Hand SIGTERM and SIGINT on to it, once each, and give its exit status back. A worker that ends by itself is not
   started again: that is for whoever started this process.
3. A worker that shows no sign of life for as long as it said itself is ended by SIGKILL, which leaves the spool as a
   crash does.
4. Where one evaluation was under way all that time, and used the processor, its rule loops: the next worker is told,
   puts these policies into quarantine and serves the ones before. That is the alarm. A worker that was stopped from
   outside, or stuck elsewhere, is started again with the same policies.
5. More than ``RESTARTS`` within ``RESTARTS_WITHIN_S``, or a start that does not end: give up.

This process reads no configuration, opens no file of the site and has one thread. What it has to know the worker says.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.errors import ConfigurationError
from proxy.model import PolicyDigest, wire_time
from proxy.pulse import Ended, Pulse, Reading

RESTARTS: Final = 5
RESTARTS_WITHIN_S: Final = 300.0
POLL_S: Final = 0.1
START_S: Final = 60.0
"""Until the worker has read its configuration and says how long its start may take."""
STOP_S: Final = 30.0
"""For a worker that was told to end. Twice what it gives to requests under way."""
FAILED: Final = 1

_HEEDED: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Vigil:
    """What the page of one worker told, look by look: pure but for its own memory."""

    def __init__(self, now: float) -> None:
        self._looked = now
        self._silent_s = self._evaluating_s = 0.0
        self._beat = self._began = 0
        self._used_s = 0.0

    def look(self, reading: Reading, now: float, used_s: float) -> tuple[Ended, PolicyDigest | None] | None:
        """
        :param now: monotonic seconds
        :param used_s: processor time that the worker's loop has used in its life
        :return: why it has to be ended, with the policies that looped; ``None`` where it lives
        """
        # A machine or a group of processes that is suspended stops this process too: what it did not see is no silence.
        elapsed = min(now - self._looked, 2 * POLL_S)
        self._looked = now
        if reading.beat != self._beat:
            self._silent_s, self._beat = 0.0, reading.beat
        else:
            self._silent_s += elapsed
        if reading.began != self._began or not reading.began:
            self._evaluating_s, self._began, self._used_s = 0.0, reading.began, used_s
        else:
            self._evaluating_s += elapsed
        if self._silent_s < self.patience_s(reading):
            return None
        # Half, since a beat may be as old as its interval when the evaluation begins. One that used no processor time
        # did not loop: the worker was stopped in the middle of it.
        if self._evaluating_s >= self._silent_s / 2 and used_s - self._used_s >= self._evaluating_s / 10:
            return Ended.LOOPING, reading.asked
        return Ended.STUCK, None

    def patience_s(self, reading: Reading) -> float:
        if self.serving and reading.heartbeat_s is not None:
            return reading.heartbeat_s
        return reading.start_s or START_S

    @property
    def serving(self) -> bool:
        """Whether the worker's loop has ever turned."""
        return self._beat != 0


class Supervisor:
    def __init__(self, command: Sequence[str]) -> None:
        """:param command: starts a worker; the descriptor of its page is added as the last argument"""
        self._command = command
        self._pulse, self._descriptor = Pulse.made()
        self._restarts: deque[float] = deque(maxlen=RESTARTS)

    def run(self) -> int:
        """Run workers until one ends by itself or is told to.

        :return: the exit status of this process
        """
        # Taken one by one by the loop below; the worker opens itself to them again.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*_HEEDED, signal.SIGCHLD))
        while True:
            outcome = self._life()
            if isinstance(outcome, int):
                return outcome
            now = time.monotonic()
            if len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTARTS_WITHIN_S:
                _log("critical", f"more than {RESTARTS} workers were ended within {RESTARTS_WITHIN_S:g} s: giving up")
                return FAILED
            self._restarts.append(now)
            self._pulse.again(*outcome)

    def _life(self) -> int | tuple[Ended, PolicyDigest | None]:
        """One worker: an exit status, or why it was ended."""
        try:
            worker = subprocess.Popen([*self._command, str(self._descriptor)], pass_fds=(self._descriptor,))
        except OSError as error:
            _log("critical", f"no worker could be started: {error.strerror}")
            return FAILED
        vigil = Vigil(time.monotonic())
        told: set[int] = set()
        until = float("inf")
        while True:
            heard = signal.sigtimedwait((*_HEEDED, signal.SIGCHLD), POLL_S)
            now = time.monotonic()
            if heard is not None and heard.si_signo in _HEEDED and heard.si_signo not in told:
                told.add(heard.si_signo)
                worker.send_signal(heard.si_signo)
                until = min(until, now + STOP_S)
            if (status := worker.poll()) is not None:
                return _status(status, told)
            if now > until:
                _log("error", f"the worker did not end within {STOP_S:g} s and was killed", worker=worker.pid)
                _kill(worker)
                return FAILED
            reading = self._pulse.reading()
            if told or (ended := vigil.look(reading, now, _used_s(worker.pid))) is None:
                continue
            hopeless = ended[0] is Ended.STUCK and not vigil.serving
            _tell(ended, vigil.patience_s(reading), hopeless)
            return ended if _kill(worker) and not hopeless else FAILED


def bind(supervisor: int) -> None:
    """Let this process, a worker, die with its supervisor, and hear the signals that the supervisor keeps for itself.

    :raises ConfigurationError: the supervisor is gone already
    """
    nothing = ctypes.c_ulong(0)
    bound = ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), nothing, nothing, nothing)
    if bound != 0 or os.getppid() != supervisor:  # it may have died before
        raise ConfigurationError("--worker is for the supervisor alone, and it is gone")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _status(status: int, told: set[int]) -> int:
    """A worker that was told to end before it could listen for it ended as it should."""
    if status >= 0:
        return status
    if -status in told:
        return 0
    _log("critical", f"the worker was ended by signal {-status}")
    return 128 - status


def _kill(worker: subprocess.Popen[bytes]) -> bool:
    """Whether it is gone: one that waits for a disk that does not answer stays."""
    worker.kill()
    try:
        worker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        _log("critical", "the worker cannot be ended", worker=worker.pid)
        return False
    return True


def _tell(ended: tuple[Ended, PolicyDigest | None], patience_s: float, hopeless: bool) -> None:
    why, looped = ended
    if hopeless:
        _log("critical", f"the worker did not start within {patience_s:g} s and was ended: giving up")
    elif why is Ended.LOOPING:
        message = f"a rule did not end within {patience_s:g} s: its policies go into quarantine, the ones before serve"
        _log("critical", message, policy=looped, restart=why)
    else:
        _log("error", f"the worker showed no sign of life for {patience_s:g} s and is started again", restart=why)


def _log(level: str, message: str, **more: object) -> None:
    """A line as ``watch.logs`` writes them, whose room this process is too small to hold."""
    line = {"time": wire_time(datetime.now(UTC)), "level": level, "logger": __name__, "message": message, **more}
    with contextlib.suppress(OSError):  # whoever read the log may be gone; the worker is not to go with them
        print(json.dumps(line), file=sys.stderr, flush=True)  # noqa: T201 - the log of this process


def _used_s(process: int) -> float:
    """Processor time of a process' first thread, on which a worker's loop runs; 0 where it is gone."""
    try:
        told = Path(f"/proc/{process}/task/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(told[11]) + int(told[12])) / _TICKS_PER_S
