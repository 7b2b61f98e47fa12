"""Revocation lists, judged before they count (RFC 5280 5 and 6.3.3). Pure.

1. It is one list that can be read, PEM or DER, with an end.
2. It is whole: no delta, nothing indirect, and no critical extension that is not understood.
3. One of the authority's own certificates has the issuer's name, may sign lists, and its key signed this one, with a
   signature of the profile.
4. It is not older than one that was in force, nor does it begin later while that one is good.

Its time is judged with each certificate. What fails here is a value, which becomes the reason for which everybody is
denied whom only this list could speak for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtensionOID

from proxy.identify import profile
from proxy.identify.authorities import Ca
from proxy.identify.profile import UNREADABLE, Profile
from proxy.model import Reason

MOST_BYTES: Final = 64 * 2**20
SKEW: Final = timedelta(minutes=5)
"""By how much an authority's clock may be ahead of ours for what is fetched to be kept until it begins."""
_UNDERSTOOD: Final = frozenset(
    {ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER, ExtensionOID.ISSUING_DISTRIBUTION_POINT}
)
_PEM: Final = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A list that one of the authority's certificates vouches for."""

    crl: x509.CertificateRevocationList = field(repr=False, compare=False)
    authority: bytes
    """:attr:`Ca.key` of whose it is."""
    begins: datetime
    ends: datetime
    number: int
    """CRLNumber, -1 where it has none."""
    digest: bytes
    """SHA-256 of the DER."""

    def begun(self, now: datetime) -> bool:
        return self.begins <= now

    def too_early_for(self, other: RevocationList | None, now: datetime, grace: timedelta) -> bool:
        """Whether it would put a list that is good now out of force, to deny everybody until it begins itself."""
        return other is not None and not self.begun(now) and other.begun(now) and now <= other.ends + grace

    def supersedes(self, other: RevocationList | None) -> bool:
        """Whether it may take the place of the other, so that nothing that was revoked comes back by an old list.

        Of two that say they are equally new, the one that names all that the other does.
        """
        if other is None:
            return True
        if self.digest == other.digest:
            return False
        ours, theirs = (self.begins, self.number), (other.begins, other.number)
        if ours == theirs:
            return _serials(other.crl) <= _serials(self.crl)
        return ours > theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a list does not count."""

    reason: Reason
    detail: str
    """For the log: nothing of the list's content."""
    authority: bytes | None = None
    """:attr:`Ca.key` of whose it says it is, where that is known."""


def read(content: bytes) -> x509.CertificateRevocationList | Failure:
    """1 of the list above, but for the end."""
    if len(content) > MOST_BYTES:
        return _unreadable(f"more than {MOST_BYTES} bytes")
    if content.count(_PEM) > 1:
        return _unreadable("more than one list in a file: give each a file of its own")
    try:
        return x509.load_der_x509_crl(content) if content[:1] == b"\x30" else x509.load_pem_x509_crl(content)
    except UNREADABLE as error:
        return _unreadable(f"neither PEM nor DER of a list: {type(error).__name__}")


def examine(crl: x509.CertificateRevocationList, cas: Sequence[Ca], accepted: Profile) -> RevocationList | Failure:
    """What a list is worth under an authority's certificates."""
    try:
        named = [ca for ca in cas if ca.certificate.subject == crl.issuer]
        signers = [ca for ca in named if _signed(crl, ca)]
        if not signers:
            detail = "signed by another key than the authority's" if named else "of an authority that is not configured"
            return _untrusted(detail, named)
        if not accepted.accepts_signature(crl):
            return _untrusted("its signature is not of the profile", signers)
        ends = crl.next_update_utc
        if ends is None:
            return _unreadable("no nextUpdate, so nobody knows when it is out of date", signers)
        strange = [each.oid.dotted_string for each in crl.extensions if each.critical and each.oid not in _UNDERSTOOD]
        if strange or not _whole(crl):
            return _unreadable(f"not a whole list of its issuer {strange}", signers)
        return RevocationList(
            crl=crl,
            authority=signers[0].key,
            begins=crl.last_update_utc,
            ends=ends,
            number=_number(crl),
            digest=crl.fingerprint(SHA256()),
        )
    except UNREADABLE as error:
        return _unreadable(f"cannot be read: {type(error).__name__}")


def _signed(crl: x509.CertificateRevocationList, ca: Ca) -> bool:
    usage = profile.key_usage(ca.certificate)
    if usage is not None and not usage.crl_sign:
        return False
    try:
        return crl.is_signature_valid(ca.certificate.public_key())  # type: ignore[arg-type] # others are a TypeError
    except UNREADABLE:
        return False


def _whole(crl: x509.CertificateRevocationList) -> bool:
    """Whether it speaks for all certificates and all reasons: a delta or a part would let the rest pass unchecked."""
    extensions = crl.extensions
    for each in extensions:
        if isinstance(each.value, x509.DeltaCRLIndicator):
            return False
        if isinstance(each.value, x509.IssuingDistributionPoint):
            part = each.value
            if part.indirect_crl or part.only_some_reasons or part.only_contains_attribute_certs:
                return False
    return True


def _number(crl: x509.CertificateRevocationList) -> int:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return -1


def _serials(crl: x509.CertificateRevocationList) -> frozenset[int]:
    return frozenset(entry.serial_number for entry in crl)


def _unreadable(detail: str, cas: Sequence[Ca] = ()) -> Failure:
    return Failure(reason=Reason.REVOCATION_UNREADABLE, detail=detail, authority=_only(cas))


def _untrusted(detail: str, cas: Sequence[Ca]) -> Failure:
    return Failure(reason=Reason.REVOCATION_UNTRUSTED, detail=detail, authority=_only(cas))


def _only(cas: Sequence[Ca]) -> bytes | None:
    keys = {ca.key for ca in cas}
    return keys.pop() if len(keys) == 1 else None
