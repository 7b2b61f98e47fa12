"""What this service takes, told from the table of routes (PS3.18 8.9)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.interpret.routes import READS, ROUTES
from proxy.model import Capabilities

OF_ROOT: Final = Capabilities(methods=READS, root=True)


def capabilities(asked: Capabilities) -> bytes:
    """Body of the answer: JSON that names every resource for the root, and nothing for a single resource.

    The methods of a single resource belong into ``Allow`` (RFC 9110 10.2.1).
    """
    return _DESCRIPTION if asked.root else b""


def _description() -> bytes:
    resources: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        resource = resources.setdefault(route.path, {"path": route.path, "methods": {"OPTIONS"}, "media_types": []})
        resource["methods"] |= {"GET", "HEAD"} if route.method == "GET" else {route.method}
        resource["media_types"] += [name for name in route.single.labels if name not in resource["media_types"]]
    for resource in resources.values():
        resource["methods"] = sorted(resource["methods"])
    return orjson.dumps({"name": "Dicomward", "standard": "DICOM PS3.18", "resources": list(resources.values())})


_DESCRIPTION: Final = _description()
