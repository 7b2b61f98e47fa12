"""The dev stack's management system: webhooks in the shape of Fleet's hosts, signed (Standard Webhooks 1.0), sent as
``manager``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Final

import requests

from deploy.dev.layout import Layout

MANAGED_PATH: Final = "/.dicomward/v1/posture/managed"


def hosts_body(hosts: Mapping[str, Mapping[str, bool]]) -> bytes:
    """What is told of each host: for each policy, by its name, whether it passes."""
    told = [
        {
            "hostname": name,
            "policies": [
                {"name": policy, "response": "pass" if passes else "fail"} for policy, passes in policies.items()
            ],
        }
        for name, policies in hosts.items()
    ]
    return json.dumps({"hosts": told}).encode()


def signed_headers(secret: str, body: bytes, *, identity: str, timestamp: int) -> dict[str, str]:
    """The three headers over ``id.timestamp.body``, by HMAC-SHA-256.

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
    made: requests.Session, url: str, layout: Layout, hosts: Mapping[str, Mapping[str, bool]]
) -> requests.Response:
    """Sign now and send, by a session that shows the certificate of ``manager``."""
    body = hosts_body(hosts)
    secret = layout.webhook_secret.read_text("ascii").strip()
    headers = signed_headers(secret, body, identity=f"msg_{secrets.token_hex(12)}", timestamp=int(time.time()))
    return made.post(url + MANAGED_PATH, data=body, headers={**headers, "Content-Type": "application/json"}, timeout=30)
