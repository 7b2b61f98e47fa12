"""What is ours below ``/.dicomward/v1/``: one spelling of each request, and nothing else."""

from __future__ import annotations

import base64

import pytest

from proxy.interpret import interpret
from proxy.model import Action, Capabilities, DecisionId, Reason, Refusal, Signed, SiteRequest, SiteResource
from tests.interpret.building import arrival

NONCE, POSTURE, MANAGED = (f"/.dicomward/v1/posture{tail}" for tail in ("/nonce", "", "/managed"))
DECISIONS = "/.dicomward/v1/decisions"
JOSE = ("Content-Type", "application/jose")
LENGTH = ("Content-Length", "10")
MAC = base64.b64encode(bytes(32)).decode()
SIGNED = (("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", f"v1,{MAC}"))
WEBHOOK = (("Content-Type", "application/json"), LENGTH, *SIGNED)


def asked(method: str, target: str, *headers: tuple[str, str]) -> object:
    return interpret(arrival(target, method=method, headers=headers))


def refused(method: str, target: str, *headers: tuple[str, str]) -> Reason:
    found = asked(method, target, *headers)
    assert isinstance(found, Refusal)
    return found.reason


def test_each_resource_has_one_method() -> None:
    assert asked("GET", NONCE) == SiteRequest(
        action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE_NONCE, method="GET"
    )
    assert asked("POST", POSTURE, JOSE, LENGTH) == SiteRequest(
        action=Action.REPORT_POSTURE, resource=SiteResource.POSTURE, method="POST", bytes=10
    )
    assert asked("POST", MANAGED, *WEBHOOK) == SiteRequest(
        action=Action.MANAGE_POSTURE,
        resource=SiteResource.MANAGED_POSTURE,
        method="POST",
        bytes=10,
        signed=Signed(id="msg_1", timestamp=1_700_000_000, signatures=(bytes(32),)),
    )


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", NONCE), ("HEAD", NONCE), ("GET", POSTURE), ("PUT", POSTURE), ("DELETE", MANAGED), ("GET", MANAGED)],
)
def test_other_methods_are_not_there(method: str, target: str) -> None:
    assert refused(method, target) is Reason.METHOD_NOT_ALLOWED


def test_options_tell_the_methods() -> None:
    assert asked("OPTIONS", NONCE) == Capabilities(methods=("GET", "OPTIONS"))
    assert asked("OPTIONS", POSTURE) == Capabilities(methods=("OPTIONS", "POST"))


@pytest.mark.parametrize(
    "target",
    ["/.dicomward", "/.dicomward/v1", "/.dicomward/v2/posture", "/.dicomward/v1/posture/", "/.dicomward/v1/Posture"],
)
def test_what_is_not_in_the_table_does_not_exist(target: str) -> None:
    assert refused("POST", target, JOSE, LENGTH) in (Reason.UNKNOWN_ROUTE, Reason.INVALID_PATH)


def test_queries_are_refused() -> None:
    assert refused("GET", f"{NONCE}?a=b") is Reason.INVALID_QUERY
    assert refused("POST", f"{POSTURE}?", JOSE, LENGTH) is Reason.INVALID_QUERY


def test_decision_is_named_by_its_id() -> None:
    about = "0123456789abcdef" * 2
    assert asked("GET", f"{DECISIONS}/{about}") == SiteRequest(
        action=Action.READ_DECISION, resource=SiteResource.DECISION, method="GET", about=DecisionId(about)
    )
    assert asked("OPTIONS", f"{DECISIONS}/{about}") == Capabilities(methods=("GET", "OPTIONS"))
    assert refused("HEAD", f"{DECISIONS}/{about}") is Reason.METHOD_NOT_ALLOWED
    assert refused("DELETE", f"{DECISIONS}/{about}") is Reason.METHOD_NOT_ALLOWED
    assert refused("GET", f"{DECISIONS}/{about}?a=b") is Reason.INVALID_QUERY
    assert refused("GET", f"{DECISIONS}/{about}", LENGTH) is Reason.UNEXPECTED_BODY


@pytest.mark.parametrize(
    "tail",
    [
        *(
            "",
            "/",
            "/1",
            f"/{'1' * 31}",
            f"/{'1' * 33}",
            f"/{'A' * 32}",
            f"/{'g' * 32}",
            f"/{'1' * 32}/",
            f"/{'1' * 32}/x",
        ),
        *(f"/%31{'1' * 31}", f"/{'1' * 31}\u0661", f"/{'1' * 32}\n", f"/../decisions/{'1' * 32}"),
    ],
)
def test_what_is_no_decisions_id_does_not_exist(tail: str) -> None:
    assert refused("GET", f"{DECISIONS}{tail}") in (Reason.UNKNOWN_ROUTE, Reason.INVALID_PATH)


@pytest.mark.parametrize("media_type", ["application/json", "application/jose; charset=utf-8", "", "text/plain"])
def test_report_is_of_its_own_type(media_type: str) -> None:
    assert refused("POST", POSTURE, ("Content-Type", media_type), LENGTH) is Reason.UNSUPPORTED_MEDIA_TYPE
    assert refused("POST", POSTURE, LENGTH) is Reason.UNSUPPORTED_MEDIA_TYPE


def test_report_without_a_body_is_refused_as_one() -> None:
    assert refused("POST", POSTURE, JOSE) is Reason.REPORT_MALFORMED
    assert refused("POST", POSTURE, JOSE, ("Content-Length", "0")) is Reason.REPORT_MALFORMED
    assert refused("POST", MANAGED, ("Content-Type", "application/json"), *SIGNED) is Reason.WEBHOOK_MALFORMED


def test_nonce_takes_no_body() -> None:
    assert refused("GET", NONCE, LENGTH) is Reason.UNEXPECTED_BODY


def test_secret_that_changes_brings_two_signatures() -> None:
    both = f"v1,{MAC} v1,{base64.b64encode(b'x' * 32).decode()}"
    found = asked("POST", MANAGED, *WEBHOOK[:-1], ("webhook-signature", both))
    assert isinstance(found, SiteRequest)
    assert found.signed is not None
    assert found.signed.signatures == (bytes(32), b"x" * 32)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": None},
        {"webhook-id": ""},
        {"webhook-id": "a b"},
        {"webhook-id": "a" * 129},
        {"webhook-timestamp": None},
        {"webhook-timestamp": "0"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "1" * 13},
        {"webhook-signature": None},
        {"webhook-signature": ""},
        {"webhook-signature": MAC},
        {"webhook-signature": f"v1a,{MAC}"},
        {"webhook-signature": f"v1,{MAC[:-1]}"},
        {"webhook-signature": f"v1,{MAC}  v1,{MAC}"},
        {"webhook-signature": " ".join([f"v1,{MAC}"] * 5)},
    ],
    ids=str,
)
def test_webhook_names_id_time_and_signature(changed: dict[str, str | None]) -> None:
    fields = {**dict(SIGNED), **changed}
    headers = [(name, value) for name, value in fields.items() if value is not None]
    assert refused("POST", MANAGED, ("Content-Type", "application/json"), LENGTH, *headers) is Reason.WEBHOOK_MALFORMED


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_signed_header_that_comes_twice_is_refused(name: str) -> None:
    assert refused("POST", MANAGED, *WEBHOOK, (name, dict(SIGNED)[name])) is Reason.MALFORMED_REQUEST


def test_long_token_is_read_and_a_longer_one_is_not() -> None:
    assert isinstance(asked("GET", NONCE, ("Authorization", "Bearer " + "a" * 7000)), SiteRequest)
    assert refused("GET", NONCE, ("Authorization", "Bearer " + "a" * 8000)) is Reason.MALFORMED_REQUEST
