"""This Linux machine: commands by fixed argument lists, bounded files. No shell, nothing of the caller's variables."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from proxy.agent.findings import UnknownError

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Folders that only root writes to: who can change the caller's PATH must not choose what is run."""
TIMEOUT_S: Final = 10.0
LONGEST: Final = 4 * 2**20
"""Bytes of one command's output or of one file."""


class LinuxMachine:
    """:class:`proxy.agent.findings.Machine` over the real thing."""

    def __init__(self, *, path: str = PATH, timeout_s: float = TIMEOUT_S, longest: int = LONGEST) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._longest = longest

    @property
    def user(self) -> int:
        return os.geteuid()

    @property
    def home(self) -> str:
        try:
            return pwd.getpwuid(self.user).pw_dir
        except KeyError:
            return "/"

    def run(self, command: Sequence[str], *, accepted: Sequence[int] = (0,)) -> str:
        name = command[0]
        found = shutil.which(name, path=self._path)
        if found is None:
            raise UnknownError(f"the command {name} is missing")
        try:
            process = subprocess.Popen(
                [found, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise UnknownError(f"{name} could not be run: {error.strerror}") from error
        output, late = self._output(process)
        if late:
            raise UnknownError(f"{name} gave no answer within {self._timeout_s:g} s")
        if len(output) > self._longest:
            raise UnknownError(f"{name} printed more than {self._longest} bytes")
        if process.returncode not in accepted:
            hint = "" if self.user == 0 else "; it may need root"
            raise UnknownError(f"{name} ended with status {process.returncode}{hint}")
        try:
            return output.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnknownError(f"{name} printed what is not text") from error

    def read(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                content = file.read(self._longest + 1)
        except FileNotFoundError:
            raise UnknownError(f"{path} is not there") from None
        except OSError as error:
            raise UnknownError(f"{path} cannot be read: {error.strerror}") from error
        if len(content) > self._longest:
            raise UnknownError(f"{path} is longer than {self._longest} bytes")
        return content

    def names(self, folder: str) -> Sequence[str]:
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise UnknownError(f"{folder} cannot be read: {error.strerror}") from error

    def _environment(self) -> dict[str, str]:
        # Desktop settings are read from the user's own files, which these two lead to.
        return {
            "PATH": self._path,
            "LC_ALL": "C",
            "HOME": self.home,
            "XDG_RUNTIME_DIR": f"/run/user/{self.user}",
        }

    def _output(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
        """Up to a little more than may be, and whether time ran out; what it started in its own group is ended."""
        deadline = time.monotonic() + self._timeout_s
        pipe = process.stdout
        assert pipe is not None  # noqa: S101 - narrowing: it is a pipe
        with pipe:
            output, ended = _read(pipe.fileno(), self._longest + 1, deadline)
        try:
            if not ended:
                _kill_group(process.pid)
            process.wait(max(0.0, deadline - time.monotonic()) if ended else None)
        except subprocess.TimeoutExpired:
            ended = False
            _kill_group(process.pid)
            process.wait()
        return output, not ended and len(output) <= self._longest


def _read(descriptor: int, most: int, deadline: float) -> tuple[bytes, bool]:
    """What comes until the end, and whether the end came before ``most`` bytes and the deadline.

    A process that left the group may hold the pipe for ever: reading must not wait for it.
    """
    output = bytearray()
    while len(output) < most:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return bytes(output), False
        chunk = os.read(descriptor, min(65_536, most - len(output)))
        if not chunk:
            return bytes(output), True
        output += chunk
    return bytes(output), False


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
