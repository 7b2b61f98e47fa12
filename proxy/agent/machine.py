"""This Linux machine: commands by fixed argument lists, bounded files. No shell, nothing of the caller's variables."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final

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
        """Up to one byte more than may be, and whether time ran out; nothing it started is left."""
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill_group(process.pid)

        timer = threading.Timer(self._timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None  # noqa: S101 - narrowing: it is a pipe
            output = _read(process.stdout, self._longest + 1)
            if len(output) > self._longest:
                _kill_group(process.pid)
            process.wait()
        finally:
            timer.cancel()
            if process.stdout is not None:
                process.stdout.close()
        return output, late.is_set()


def _read(pipe: IO[bytes], most: int) -> bytes:
    return pipe.read(most)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
