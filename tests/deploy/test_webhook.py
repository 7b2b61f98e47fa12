"""What the dev stack's management system sends."""

from __future__ import annotations

import json

from deploy.dev.webhook import host_body, signed_headers


def test_signature_is_that_of_the_example_of_standard_webhooks() -> None:
    headers = signed_headers(
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        identity="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_host_is_told_with_its_policies() -> None:
    host = json.loads(host_body("radiologist", {"Firewall": False, "Screen lock": True}))["host"]
    assert host["hostname"] == "radiologist"
    assert {one["name"]: one["response"] for one in host["policies"]} == {"Firewall": "fail", "Screen lock": "pass"}
