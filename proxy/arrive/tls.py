"""The TLS context: 1.3 only, no tickets, client certificates demanded.

The handshake proves possession of the key and an issuing authority of ours. Time and revocation are left to
step 1 on purpose, so that an expired or revoked certificate gets an answer that says so, and a record.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from proxy.errors import ConfigurationError

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
        context.load_cert_chain(certificate, key)
        for path in authorities:
            context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"listen.certificate, listen.key or an authority: {error}") from error
    return context
