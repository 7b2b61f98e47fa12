"""The dev stack's management system: signed webhooks in the shape of Fleet, sent as ``manager``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import requests

from deploy.dev.layout import Layout

MANAGED_PATH: Final = "/.dicomward/v1/posture/managed"


def host_body(name: str, policies: Mapping[str, bool]) -> bytes:
    """What is told of one host: for each policy, by its name, whether it passes."""
    told = [{"name": policy, "response": "pass" if passes else "fail"} for policy, passes in policies.items()]
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"timestamp": moment, "host": {"hostname": name, "policies": told}}).encode()


def signed_headers(secret: str, body: bytes, *, identity: str, timestamp: int) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0 over ``id.timestamp.body``, by HMAC-SHA-256.

    :param secret: Base64
    """
    content = b".".join((identity.encode(), str(timestamp).encode(), body))
    digest = hmac.digest(base64.b64decode(secret), content, hashlib.sha256)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(digest).decode("ascii"),
    }


def send(
    made: requests.Session, url: str, layout: Layout, name: str, policies: Mapping[str, bool]
) -> requests.Response:
    """Sign now what is told of one host and send it, by a session that shows the certificate of ``manager``."""
    body = host_body(name, policies)
    secret = layout.webhook_secret.read_text("ascii").strip()
    headers = signed_headers(secret, body, identity=f"msg_{secrets.token_hex(12)}", timestamp=int(time.time()))
    headers["Content-Type"] = "application/json"
    return made.post(url + MANAGED_PATH, data=body, headers=headers, timeout=30)
