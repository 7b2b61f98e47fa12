"""TLS: 1.3 only, no tickets, client certificates demanded; files that change come into force without a restart.

The handshake proves possession of the key and an issuing authority of ours. Time and revocation are left to
step 1 on purpose, so that an expired or revoked certificate gets an answer that says so, and a record.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from proxy.errors import ConfigurationError

logger = logging.getLogger(__name__)

NO_CHECK_TIME: Final = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME`` of OpenSSL, which the ssl module does not name."""


class Handshakes:
    """Counts how handshakes end. How many may be under way is bounded by the seats of the listener."""

    def __init__(self) -> None:
        self.completed = 0
        self.failed: dict[str, int] = {"untrusted": 0, "no-certificate": 0, "protocol": 0}

    def complete(self) -> None:
        self.completed += 1

    def fail(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self.failed["untrusted"] += 1
        elif error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            self.failed["no-certificate"] += 1
        else:
            self.failed["protocol"] += 1


def server_context(
    certificate: Path, key: Path, authorities: Sequence[Path], handshakes: Handshakes, *, preflights: bool = False
) -> ssl.SSLContext:
    """
    :param preflights: also take connections without a certificate, as browsers open them for OPTIONS; one that is
        presented is held to the same authorities
    :raises ConfigurationError: a file cannot be used
    """

    class CountedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                handshakes.fail(error)
                raise
            handshakes.complete()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.verify_mode = ssl.CERT_OPTIONAL if preflights else ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    context.set_alpn_protocols(["http/1.1"])
    sslobject: Any = CountedObject
    context.sslobject_class = sslobject
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        for path in authorities:
            context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"listen.certificate, listen.key or an authority: {error}") from error
    return context


class ServerTls:
    """The context that handshakes use. Connections that are open keep the one they began with."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        authorities: Sequence[Path],
        handshakes: Handshakes,
        *,
        preflights: bool = False,
    ) -> None:
        """
        :param authorities: PEM files: trust anchors, and intermediates, which need an anchor above them to count
        :param preflights: as for :func:`server_context`
        :raises ConfigurationError: a file cannot be used
        """
        self._certificate = certificate
        self._key = key
        self._authorities = tuple(authorities)
        self._handshakes = handshakes
        self._preflights = preflights
        self._stamps = self._stamped()
        self._context, self._expires = self._made()
        self._generation = 1
        self.failed = False
        """Whether files changed and could not be taken: the old are in force."""

    @property
    def context(self) -> ssl.SSLContext:
        return self._context

    @property
    def expires(self) -> datetime:
        """``notAfter`` of the server's certificate."""
        return self._expires

    @property
    def generation(self) -> int:
        """Counts up with each context that comes into force."""
        return self._generation

    def reload(self) -> bool:
        """Take files that changed: whether another context is in force. One that cannot be made leaves the old."""
        stamps = self._stamped()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        try:
            self._context, self._expires = self._made()
        except ConfigurationError as error:
            self.failed = True
            logger.error("the server's TLS was not reloaded, the old stays", extra={"detail": error.detail})
            return False
        self.failed = False
        self._generation += 1
        logger.info("the server's TLS was reloaded", extra={"generation": self._generation})
        return True

    async def watch(self, interval_s: float) -> None:
        """Look at the files each interval. Does not return."""
        while True:
            await asyncio.sleep(interval_s)
            self.reload()

    def _made(self) -> tuple[ssl.SSLContext, datetime]:
        context = server_context(
            self._certificate, self._key, self._authorities, self._handshakes, preflights=self._preflights
        )
        try:
            served = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"listen.certificate: {error}") from error
        return context, served.not_valid_after_utc

    def _stamped(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._certificate, self._key, *self._authorities))


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """Changes whenever a file does, or who may read it; ``None`` where it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _no_password() -> str:
    """Without it OpenSSL asks at the terminal for the password of an encrypted key, and waits."""
    raise ConfigurationError("listen.key: is encrypted, and nobody is there to give its password")
