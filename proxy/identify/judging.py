"""One certificate judged now. Pure but for OpenSSL, which reads and writes nothing.

1. The leaf parses, is for TLS clients, and names one device by its SAN.
2. A configured authority issued it: the first under which the chain builds. What that authority is held to is kept:
   name constraints in its certificates, names, depth, keys and signatures of the whole chain as configured.
3. A current list of each issuer in the chain is there, and none names a certificate of it.
4. The chain is within its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import crypto

from proxy.identify import authorities, names, profile
from proxy.identify.authorities import Ca
from proxy.identify.profile import PROFILES, UNREADABLE
from proxy.identify.revocation import RevocationList
from proxy.identify.upkeep import Authority
from proxy.model import DeviceId, Principal, Reason, Revocation, Role

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_REVOKED: Final = 23
_NAMES: Final = frozenset({47, 48, 49, 51, 52, 53})
"""Of name constraints. They are looked at after the signatures of the chain."""
_REFUSED: Final = {
    22: Reason.CERTIFICATE_DEPTH,  # the chain is too long
    25: Reason.CERTIFICATE_DEPTH,  # longer than a pathLenConstraint in it says
    34: Reason.CERTIFICATE_PROFILE,  # a critical extension that is not understood
    41: Reason.CERTIFICATE_PROFILE,  # an extension that contradicts itself
    79: Reason.CERTIFICATE_PROFILE,  # an issuer that is none
}
_UNKNOWN: Final = Revocation(status="unknown", as_of=None, expires_at=None)


@dataclass(frozen=True, slots=True)
class _Leaf:
    certificate: x509.Certificate
    openssl: crypto.X509
    name: str | None
    subject: str
    roles: tuple[Role, ...] | None
    fits: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """The authority that issued a leaf, and what OpenSSL says of the two."""

    authority: Authority
    chain: tuple[Ca, ...]
    """From the issuer of the leaf to the anchor."""
    refused: Reason | None = None
    error: tuple[int, int] | None = None
    """What OpenSSL has against it by the lists: code, and depth at which."""


@dataclass(frozen=True, slots=True)
class _Standing:
    revocation: Revocation
    reason: Reason | None
    until: datetime | None
    """When this ends or may become another; ``None`` where only other lists or an earlier clock could change it."""


def judge(der: bytes, among: Sequence[Authority], device_san: str, now: datetime, generation: int) -> Principal:
    """Never raises for what a peer can cause. ``expires_at``: judge again then, whatever the reasons."""
    try:
        leaf = _read(der, device_san)
    except (*UNREADABLE, crypto.Error):
        return refused(Reason.CERTIFICATE_PROFILE, generation)
    found = _find(leaf, among)
    reasons = [] if leaf.fits else [Reason.CERTIFICATE_PROFILE]
    if isinstance(found, Reason):
        return _principal(leaf, None, _Standing(_UNKNOWN, None, None), [*reasons, found], generation)
    reasons += _unkept(leaf, found, device_san)
    standing = _revocation(found, now) if found.chain else _Standing(_UNKNOWN, None, None)
    if standing.reason is None and found.chain:
        standing = _timely(leaf, found.chain, standing, now)
    if standing.reason is not None:
        reasons.append(standing.reason)
    return _principal(leaf, found.authority, standing, reasons, generation)


def refused(reason: Reason, generation: int) -> Principal:
    """Of whom nothing is known."""
    return Principal(
        device=None,
        name="",
        subject="",
        fingerprint="",
        serial="",
        authority="",
        authority_actions=(),
        not_after=None,
        revocation=_UNKNOWN,
        generation=generation,
        expires_at=None,
        reasons=(reason,),
    )


def _principal(
    leaf: _Leaf, authority: Authority | None, standing: _Standing, reasons: Sequence[Reason], generation: int
) -> Principal:
    device, roles = None, None
    if authority is not None and leaf.name is not None:
        device = DeviceId(authorities.device_id(authority.spki, leaf.name))
    if authority is not None and authority.files.roles_from_organizational_unit:
        roles = leaf.roles
    return Principal(
        device=device,
        name=leaf.name or "",
        subject=leaf.subject,
        fingerprint=leaf.certificate.fingerprint(SHA256()).hex(),
        serial=f"{leaf.certificate.serial_number:x}",
        authority="" if authority is None else authority.files.name,
        authority_actions=() if authority is None else authority.files.actions,
        not_after=leaf.certificate.not_valid_after_utc,
        revocation=standing.revocation,
        generation=generation,
        expires_at=standing.until,
        reasons=tuple(dict.fromkeys(reasons)),
        roles=roles or (),
    )


# ------------------------------------------------------------------------------------------------- 1


def _read(der: bytes, device_san: str) -> _Leaf:
    certificate = x509.load_der_x509_certificate(der)
    name = names.device_name(certificate, device_san)
    certificate.public_key()
    return _Leaf(
        certificate=certificate,
        openssl=crypto.X509.from_cryptography(certificate),
        name=name,
        subject=certificate.subject.rfc4514_string(),
        roles=names.roles(certificate),
        fits=name is not None
        and profile.is_client(certificate)
        and (device_san != "spiffe" or profile.is_svid(certificate)),
    )


# ------------------------------------------------------------------------------------------------- 2


def _find(leaf: _Leaf, among: Sequence[Authority]) -> _Found | Reason:
    """The first authority under which the chain builds, or what stands against the certificate under every one."""
    reason = Reason.CERTIFICATE_UNTRUSTED
    for authority in among:
        error: tuple[int, int] | None = None
        try:
            try:
                chain = _chain(authority, authority.store, leaf)
            except crypto.X509StoreContextError as failure:
                # OpenSSL holds certificates against lists before it looks who signed them: once more without lists.
                error = (failure.errors[0], failure.errors[1])
                chain = _chain(authority, authority.chains, leaf)
        except crypto.X509StoreContextError as failure:
            code = failure.errors[0]
            if code in _NAMES:
                return _Found(authority, (), refused=Reason.CERTIFICATE_NAME)
            reason = _REFUSED.get(code, reason)
            continue
        if chain:
            return _Found(authority, chain, error=error)
    return reason


def _chain(authority: Authority, store: crypto.X509Store, leaf: _Leaf) -> tuple[Ca, ...]:
    chain = crypto.X509StoreContext(store, leaf.openssl, authority.intermediates).get_verified_chain()
    return tuple(authority.cas[each.to_cryptography().fingerprint(SHA256())] for each in chain[1:])


def _unkept(leaf: _Leaf, found: _Found, device_san: str) -> list[Reason]:
    """What of the authority's configuration, or of constraints in its certificates, is not kept."""
    files = found.authority.files
    accepted = PROFILES[files.profile]
    reasons = [] if found.refused is None else [found.refused]
    fits = accepted.accepts_key(leaf.certificate) and accepted.accepts_signature(leaf.certificate)
    if not fits or not all(ca.fits for ca in found.chain):
        reasons.append(Reason.CERTIFICATE_PROFILE)
    if files.roles_from_organizational_unit and leaf.roles is None:
        reasons.append(Reason.CERTIFICATE_PROFILE)
    if leaf.name is not None and not names.may_be_named(leaf.name, device_san, files.names):
        reasons.append(Reason.CERTIFICATE_NAME)
    if len(found.chain) - 1 > files.depth:
        reasons.append(Reason.CERTIFICATE_DEPTH)
    return reasons


# ----------------------------------------------------------------------------------------- 3 and 4


def _revocation(found: _Found, now: datetime) -> _Standing:
    """What the lists of all issuers in the chain say, from the leaf's on."""
    authority, grace = found.authority, found.authority.grace
    named = found.error is not None and found.error[0] == _REVOKED
    lists: list[RevocationList] = []
    for depth, ca in enumerate(found.chain):
        each = authority.lists[ca.key]
        if isinstance(each, Reason):
            if named:
                continue
            return _unknown(each, depth)
        if not named and now < each.begins:
            return _unknown(Reason.REVOCATION_STALE, depth, until=each.begins)
        if not named and each.ends + grace < now:
            return _unknown(Reason.REVOCATION_STALE, depth)
        lists.append(each)
    as_of = min(each.begins for each in lists)
    if named:
        revoked = Revocation(status="revoked", as_of=as_of, expires_at=min(each.ends for each in lists))
        return _Standing(revoked, Reason.CERTIFICATE_REVOKED, None)
    if found.error is not None:
        return _unknown(Reason.REVOCATION_UNREADABLE, found.error[1])
    late = any(each.ends < now for each in lists)
    until = min(each.ends + grace if each.ends < now else each.ends for each in lists)
    return _Standing(Revocation(status="grace" if late else "good", as_of=as_of, expires_at=until), None, until)


def _unknown(reason: Reason, depth: int, until: datetime | None = None) -> _Standing:
    """
    :param depth: 0 where the list speaks about the leaf; beyond, about an authority above it
    """
    return _Standing(_UNKNOWN, reason if depth == 0 else Reason.REVOCATION_INCOMPLETE, until)


def _timely(leaf: _Leaf, chain: Sequence[Ca], standing: _Standing, now: datetime) -> _Standing:
    begins = max(leaf.certificate.not_valid_before_utc, *(ca.begins for ca in chain))
    ends = min(leaf.certificate.not_valid_after_utc, *(ca.ends for ca in chain))
    if ends < now:
        return _Standing(standing.revocation, Reason.CERTIFICATE_EXPIRED, None)
    if now < begins:
        return _Standing(standing.revocation, Reason.CERTIFICATE_NOT_YET_VALID, begins)
    return _Standing(standing.revocation, None, ends if standing.until is None else min(ends, standing.until))
