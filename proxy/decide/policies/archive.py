"""Files in a ``tar.gz``: packed the same way each time, and unpacked without trust in what packed them. Pure.

1. Not more than a bounded size comes out of the compression, whatever is in it.
2. Entries are plain files (folders count for nothing): no links, no devices, no gaps; each name stands once, and leads
   nowhere else. Number and size are bounded.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from proxy.decide.policies.policy_set import DATA, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, is_plain
from proxy.errors import PolicyInvalidError

MAX_BUNDLE_BYTES: Final = 40 << 20
"""Compressed, and taken out of the compression."""
_MAX_ENTRIES: Final = 4 * MAX_FILES
_OUR_OWN: Final = 4
"""Data, capabilities, manifest and signature come on top of a set's files."""


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """The same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(files[path]), 0o600
            archive.addfile(entry, io.BytesIO(files[path]))
    return gzip.compress(packed.getvalue(), compresslevel=6, mtime=0)


def unpack_files(content: bytes) -> dict[str, bytes]:
    """
    :raises PolicyInvalidError: 1 or 2 does not hold
    """
    return dict(_files(_inflated(content)))


def plain_path(name: str) -> str:
    """A name of an archive or signature as a path of ours: ``./a/b`` and ``/a/b`` are ``a/b``.

    :raises PolicyInvalidError: it leads elsewhere
    """
    path = name.removeprefix(".").removeprefix("/") if name.startswith(("./", "/")) else name
    if not is_plain(path):
        raise PolicyInvalidError(f"{name[:200]!a}: is no path within a bundle")
    return path


def _inflated(content: bytes) -> bytes:
    engine = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        inflated = engine.decompress(content, MAX_BUNDLE_BYTES)
    except zlib.error as error:
        raise PolicyInvalidError("the bundle is not compressed by gzip") from error
    if engine.unconsumed_tail:
        raise PolicyInvalidError(f"the bundle holds more than {MAX_BUNDLE_BYTES} bytes")
    if not engine.eof or engine.unused_data:
        raise PolicyInvalidError("the bundle is cut off, or something follows it")
    return inflated


def _files(inflated: bytes) -> Iterator[tuple[str, bytes]]:
    seen, total = set[str](), 0
    try:
        with tarfile.open(fileobj=io.BytesIO(inflated), mode="r:") as archive:
            for number, entry in enumerate(archive):
                if number >= _MAX_ENTRIES:
                    raise PolicyInvalidError(f"the bundle has more than {_MAX_ENTRIES} entries")
                if entry.isdir():
                    continue
                if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
                    raise PolicyInvalidError(f"{entry.name[:200]!a}: is no plain file")
                path = plain_path(entry.name)
                total += entry.size
                bound = MAX_TOTAL_BYTES if path == DATA else MAX_FILE_BYTES
                if path in seen:
                    raise PolicyInvalidError(f"{path}: stands twice in the bundle")
                if len(seen) >= MAX_FILES + _OUR_OWN or entry.size > bound or total > MAX_TOTAL_BYTES:
                    raise PolicyInvalidError(f"{path}: the bundle holds more than {MAX_FILES} files or {bound} bytes")
                seen.add(path)
                content = archive.extractfile(entry)
                if content is None or len(told := content.read()) != entry.size:
                    raise PolicyInvalidError(f"{path}: is cut off")
                yield path, told
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        # The last is of headers that announce headers: the library follows each one a call deeper.
        raise PolicyInvalidError("the bundle is no tar archive") from error
