"""A kept set of policies as a folder again, so that it can be read, compared and tried."""

from __future__ import annotations

from pathlib import Path

from proxy.decide.policies import PolicySet
from proxy.errors import ConfigurationError


def unpack(policies: PolicySet, folder: Path) -> int:
    """Number of files written.

    :raises ConfigurationError: the folder exists, or it cannot be written
    """
    try:
        folder.mkdir(parents=True)
        for name, content in policies.files.items():
            path = folder / name  # plain, as of every set
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except FileExistsError as error:
        raise ConfigurationError(f"{folder}: exists; what it holds is not replaced") from error
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from error
    return len(policies.files)
