"""Child processes of the stack: each in its own group, its output in its own log, ended by its id and no other way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from deploy.dev.layout import StackError

STOP_S: Final = 10.0
POLL_S: Final = 0.05


@dataclass(slots=True)
class Child:
    """One part that runs. ``healthy`` answers whether it serves; it must not raise."""

    name: str
    command: Sequence[str]
    log: Path
    healthy: Callable[[], bool]
    start_s: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    """Seconds since the epoch."""

    def start(self) -> None:
        """Start it and wait until it is healthy.

        :raises StackError: it ended or did not become healthy; the message quotes the end of its log
        """
        self.started_at = time.time()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_s
        while not self.healthy():
            if not self.alive():
                raise StackError(f"{self.name} ended before it served. {self._last_words()}")
            if time.monotonic() > deadline:
                self.stop()
                raise StackError(f"{self.name} did not serve within {self.start_s:g} s. {self._last_words()}")
            time.sleep(POLL_S)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.alive() else None

    def stop(self) -> None:
        """Ask it to end, and end it where it does not."""
        if self.process is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # it may have been paused
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(STOP_S)

    def kill(self) -> None:
        """End it and all it started at once, without a chance to tidy up."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(STOP_S)

    def pause(self) -> None:
        """Freeze it: it holds its connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        if self.process is not None:
            # A signal is on its way for a while, and threads on other processors answer meanwhile.
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def died(self) -> str:
        """What to tell when it ended by itself."""
        status = self.process.returncode if self.process is not None else None
        return f"{self.name} ended with status {status}. {self._last_words()}"

    def _signal(self, number: signal.Signals) -> None:
        # The group is ours for as long as its leader has not been waited for, so its id cannot be anyone else's.
        if self.process is not None and self.process.returncode is None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-8:]
        except OSError:
            lines = []
        return f"The end of {self.log}:\n" + "\n".join(f"    {line[:300]}" for line in lines)


def remember(path: Path, children: Sequence[Child]) -> None:
    """Note which processes are ours, for a run that is killed before it can stop them."""
    running = [psutil.Process(child.pid) for child in children if child.pid is not None]
    path.write_text(json.dumps([[process.pid, process.create_time()] for process in running]))


def end_leftovers(path: Path) -> int:
    """End what a killed run of this very stack left behind. Returns how many there were."""
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return 0
    ours = [process for pid, created in noted if (process := _running(pid, created)) is not None]
    for process in reversed(ours):
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + STOP_S
    for process in ours:
        while _running(process.pid, process.create_time()) is not None:
            if time.monotonic() > deadline:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(POLL_S)
    path.unlink(missing_ok=True)
    return len(ours)


def _running(pid: int, created: float) -> psutil.Process | None:
    """The process if it is the one noted; a number may belong to somebody else by now, or to a corpse."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 0.01 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process
