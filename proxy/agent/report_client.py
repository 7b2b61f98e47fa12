"""Takes a nonce and posts a report, over mutual TLS 1.3 and one connection. No proxy of the environment is used.

1.  The site's certificate is checked against the authority that the caller names, and no other.
2.  The site gives a nonce and its name. Where the caller named the site, it has to be that one.
3.  The report is made for that nonce, signed and posted.
4.  The answer is an acceptance, or a refusal with its reasons and what to do about each.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from proxy.agent.findings import Value
from proxy.agent.report import DeviceKey, algorithm_of, make_report
from proxy.errors import ConfigurationError, DicomwardError
from proxy.model import REPORT_MEDIA_TYPE

NONCE_PATH: Final = "/.dicomward/v1/posture/nonce"
REPORT_PATH: Final = "/.dicomward/v1/posture"
TIMEOUT_S: Final = 15.0
LONGEST_ANSWER: Final = 65_536


class SiteUnreachableError(DicomwardError):
    """No connection, no TLS, or an answer that is not of this protocol."""

    code = "site-unreachable"
    public = "The site could not be reached."


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One reason of a refusal, as the site worded it."""

    code: str
    title: str
    remedy: str
    link: str = ""
    """Where the site explains it, if anywhere."""

    def line(self) -> str:
        return f"{self.code}: {self.title}. {self.remedy}" + (f" See {self.link}" if self.link else "")


class ReportRefusedError(DicomwardError):
    """The site answered and did not take it."""

    code = "report-refused"
    public = "The site refused."

    def __init__(self, status: int, reasons: tuple[Advice, ...]) -> None:
        lines = [each.line() for each in reasons]
        super().__init__(" / ".join(lines) or f"It answered with status {status} and gave no reason.")
        self.status = status
        self.reasons = reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    site: str
    attributes: int
    expires_at: str
    """When what was reported ends, RFC 3339, as the site said it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The device's certificate and key, and whom it believes to be the site."""

    certificate: x509.Certificate
    key: DeviceKey = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)


def load_identity(*, certificate: Path, key: Path, authority: Path) -> Identity:
    """Read PEM files: the device's certificate (and chain), its key, the authority of the site.

    :raises ConfigurationError: one is missing, of another form, or the key can be read by others
    """
    for flag, path in (("--certificate", certificate), ("--key", key), ("--ca", authority)):
        if not path.is_file():
            raise ConfigurationError(f"{flag}: {path} is not a file")
    if key.stat().st_mode & 0o077:
        raise ConfigurationError(f"--key: {key} can be read by others; chmod 600 {key}, and renew it if they may have")
    try:
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--certificate: {certificate} holds no PEM certificate") from error
    loaded = _load_key(key)
    if loaded.public_key().public_bytes(*_SPKI) != leaf.public_key().public_bytes(*_SPKI):
        raise ConfigurationError(f"--key: {key} is not the key of {certificate}")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        tls.load_verify_locations(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"--ca: {authority} holds no PEM certificate") from error
    try:
        tls.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"--certificate: {certificate} and its key cannot be used for TLS") from error
    return Identity(certificate=leaf, key=loaded, tls=tls)


_SPKI: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _load_key(path: Path) -> DeviceKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except TypeError as error:
        raise ConfigurationError(
            f"--key: {path} is encrypted; give the key in clear, in a file of mode 0600"
        ) from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"--key: {path} holds no PEM private key that can be read") from error
    algorithm_of(key)
    assert isinstance(key, DeviceKey)  # noqa: S101 - narrowing: every other kind was refused
    return key


class ReportClient:
    """Reports of one device to one site. Blocking; one connection a report."""

    def __init__(self, url: str, identity: Identity, *, timeout_s: float = TIMEOUT_S) -> None:
        """
        :param url: origin of the site, for example ``https://pacs.example:8443``
        :raises ConfigurationError: it is something else
        """
        self._host, self._port = _origin(url)
        self._identity = identity
        self._timeout_s = timeout_s

    def report(
        self,
        values: Mapping[str, Value],
        *,
        site: str | None = None,
        valid_s: float | None = None,
    ) -> Accepted:
        """Take a nonce, sign, post.

        :param site: name that the site has to have; ``None`` takes its word, which its certificate stands for
        :raises SiteUnreachableError: no answer of this protocol came
        :raises ReportRefusedError: the site did not take it
        """
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_s, context=self._identity.tls
        )
        try:
            asked = _exchange(connection, "GET", NONCE_PATH, None)
            match asked:
                case {"nonce": str(nonce), "site": str(name)}:
                    pass
                case _:
                    raise SiteUnreachableError("Its answer to the request for a nonce is not of this protocol.")
            if site is not None and site != name:
                raise SiteUnreachableError(f"It calls itself {name[:64]!r} and not {site!r}: check --url and --site.")
            report = make_report(
                values,
                site=name,
                nonce=nonce,
                certificate=self._identity.certificate,
                key=self._identity.key,
                now=datetime.now(UTC),
                valid_s=valid_s,
            )
            match _exchange(connection, "POST", REPORT_PATH, report.encode("ascii")):
                case {"accepted": True, "attributes": int(count), "expires_at": str(end)}:
                    return Accepted(site=name, attributes=count, expires_at=end)
            raise SiteUnreachableError("Its answer to the report is not of this protocol.")
        finally:
            connection.close()


def _origin(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError("--url: is no address") from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    if parts.scheme != "https" or not host or not plain:
        raise ConfigurationError("--url: must be an https origin without a path, for example https://pacs.example:8443")
    return host, port or 443


def _exchange(connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None) -> Any:
    """The JSON of a 200 answer.

    :raises SiteUnreachableError: there was none
    :raises ReportRefusedError: another status
    """
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = REPORT_MEDIA_TYPE
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read(LONGEST_ANSWER + 1)
    except ssl.SSLCertVerificationError as error:
        text = f"Its certificate is not to be believed ({error.verify_message}): check --ca and the name in --url."
        raise SiteUnreachableError(text) from error
    except ssl.SSLError as error:
        text = f"It ended the TLS handshake ({error.reason or 'no reason given'}): is this device's certificate of it?"
        raise SiteUnreachableError(text) from error
    except ConnectionError as error:
        # TLS 1.3 ends the client's handshake before the server has judged its certificate: a refusal looks like this.
        text = "It does not answer or closed the connection: check --url, that it runs, and that it knows this device."
        raise SiteUnreachableError(text) from error
    except (OSError, http.client.HTTPException) as error:
        text = (
            f"{getattr(error, 'strerror', None) or type(error).__name__}: check --url, the network, and that it runs."
        )
        raise SiteUnreachableError(text) from error
    try:
        read = json.loads(content) if len(content) <= LONGEST_ANSWER else None
    except (ValueError, RecursionError):
        read = None
    if answer.status != 200:
        raise ReportRefusedError(answer.status, _advice(read))
    return read


def _advice(problem: object) -> tuple[Advice, ...]:
    """The reasons of a ``problem+json`` answer (RFC 9457), as far as they are of its form."""
    reasons = problem.get("reasons") if isinstance(problem, dict) else None
    found = [one for one in (reasons if isinstance(reasons, list) else [])[:16] if isinstance(one, dict)]
    return tuple(
        Advice(
            code=_shown(one.get("code")) or "unknown",
            title=_shown(one.get("title")),
            remedy=_shown(one.get("remedy")),
            link=_shown(one.get("link")),
        )
        for one in found
    )


def _shown(text: object) -> str:
    """Of a peer's text what a terminal may be given."""
    return "".join(letter for letter in text[:300] if letter.isprintable()) if isinstance(text, str) else ""
