"""Reads a folder of policies.

What counts: every ``*.rego`` but tests, ``data/*.json``, ``capabilities.json``. Names that begin with a dot or end with
``~`` are an editor's and do not count. The folder itself may be a link, configuration names it; nothing in it may be.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from proxy.decide.policies.policy_set import CAPABILITIES, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, PolicySet
from proxy.errors import PolicyInvalidError

MAX_DEPTH: Final = 32


def read_policies(folder: Path) -> PolicySet:
    """All that counts in a folder, as a set.

    :raises PolicyInvalidError: as :func:`read_files`; or data or the list of built-ins is not what they have to be
    """
    return PolicySet(files=read_files(folder))


def read_files(folder: Path) -> Mapping[str, bytes]:
    """All that counts in a folder, by path.

    Where the folder is a link, all is read of what it led to at the beginning: it may be swapped meanwhile.

    :raises PolicyInvalidError: it cannot be read, holds a link, or more than is reasonable
    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        root = folder.resolve()
        for path in _walk(root, ""):
            content = _read(root / path, path)
            total += len(content)
            if len(files) >= MAX_FILES or total > MAX_TOTAL_BYTES:
                raise PolicyInvalidError(
                    f"{path}: the folder holds more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes"
                )
            files[path] = content
    except OSError as error:
        raise PolicyInvalidError(f"{error.filename or folder}: {error.strerror}") from error
    if not any(path.endswith(".rego") for path in files):
        raise PolicyInvalidError(f"{folder}: holds no policy")
    return files


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder / prefix) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = prefix + entry.name
        if entry.name.startswith(".") or entry.name.endswith("~"):
            continue
        if entry.is_symlink():
            raise PolicyInvalidError(f"{path}: is a symbolic link")
        if entry.is_dir(follow_symlinks=False):
            if prefix.count("/") >= MAX_DEPTH:
                raise PolicyInvalidError(f"{prefix[:200]}: folders are more than {MAX_DEPTH} deep")
            if prefix == "data/":
                raise PolicyInvalidError(f"{path}: data has no folders")
            yield from _walk(folder, f"{path}/")
        elif _counts(path):
            yield path


def _counts(path: str) -> bool:
    if path.startswith("data/"):
        if not path.endswith(".json"):
            raise PolicyInvalidError(f"{path}: data is JSON in files named *.json")
        return True
    return path == CAPABILITIES or (path.endswith(".rego") and not path.endswith("_test.rego"))


def _read(path: Path, name: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PolicyInvalidError(f"{name}: is not a regular file")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise PolicyInvalidError(f"{name}: is larger than {MAX_FILE_BYTES} bytes")
    return content
