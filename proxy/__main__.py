"""The command ``dicomward``."""

from __future__ import annotations

import sys

from proxy.cli import build
from proxy.errors import ConfigurationError, DicomwardError


def main() -> None:
    """Exit status: 0 done, 1 a check found something or a part failed, 2 wrong use or configuration."""
    try:
        build(sys.argv[1:])()
    except ConfigurationError as error:
        print(f"dicomward: {error.detail}", file=sys.stderr)  # noqa: T201 - the one place that ends the process
        sys.exit(2)
    except DicomwardError as error:
        print(f"dicomward: {error.public} {error.detail}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
