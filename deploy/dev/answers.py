"""What a client keeps of the answers it got, and a DICOMweb client that keeps it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from email.message import Message
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    who: str
    status: int
    decision: str | None
    """Value of ``Decision-Id``."""
    receipt: str | None
    """Value of ``Decision-Receipt``, a compact JWS."""
    content_type: str
    body: bytes

    def claims(self) -> dict[str, Any]:
        """The receipt's payload, its signature unchecked: ``dicomward ledger verify`` checks it."""
        payload = (self.receipt or "..").split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) or b"{}")
        return claims

    def reasons(self) -> list[str]:
        """Reason codes of a denial (RFC 9457), none where it is not one."""
        if self.content_type.split(";")[0] != "application/problem+json":
            return []
        return [reason["code"] for reason in json.loads(self.body)["reasons"]]

    def parts(self) -> list[bytes]:
        """Bodies of a multipart answer, byte for byte."""
        header = Message()
        header["Content-Type"] = self.content_type
        boundary = header.get_param("boundary")
        if not isinstance(boundary, str):
            return []
        pieces = (b"\r\n" + self.body).split(b"\r\n--" + boundary.encode())
        return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


def session(who: str, cert: tuple[str, str], ca: str, kept: list[Answer]) -> requests.Session:
    """A session of the dev identity ``who`` that notes every answer in ``kept``."""

    def note(response: requests.Response, *_: object, **__: object) -> None:
        kept.append(
            Answer(
                who=who,
                status=response.status_code,
                decision=response.headers.get("Decision-Id"),
                receipt=response.headers.get("Decision-Receipt"),
                content_type=response.headers.get("Content-Type", ""),
                body=response.content,
            )
        )

    made = requests.Session()
    made.cert, made.verify, made.trust_env = cert, ca, False
    made.hooks["response"].append(note)
    return made


def dicomweb(url: str, made: requests.Session) -> DICOMwebClient:
    """The client of the field, without its own retries: each call is one request."""
    client = DICOMwebClient(url, session=made)
    client.set_http_retry_params(retry=False)
    return client
