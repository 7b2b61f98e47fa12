"""The names in a certificate: its device, what its authority may name, its roles. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxy.model import Role

MOST_ROLES: Final = 32

# SPIFFE-ID 2.1: "The trust domain name [...] MUST NOT [...] port, userinfo"; lower-case letters, digits, dots, dashes
# and underscores. 2.2: segments of letters, digits, dots, dashes and underscores. 2.3: 255 bytes, 2048 in all.
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_SPIFFE: Final = "spiffe://"
_MOST_BYTES: Final = 2048
_PLAIN: Final = re.compile(r"[!-~]{1,2048}")
"""Names go into records, logs and policy: no spaces, no control characters."""
_ROLE: Final = re.compile(r"[ -~]{1,64}")


def device_name(certificate: x509.Certificate, kind: str) -> str | None:
    """The one SAN of the configured kind, ``None`` where there is none, more than one, or one that names no device.

    DNS names are in lower case: they are the same however they are spelt (RFC 4343 3), so the device is one.

    :param kind: ``uri``, ``dns`` or ``spiffe``
    :raises Exception: one of ``profile.UNREADABLE``
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    # X.509-SVID 2: "An X.509 SVID MUST contain exactly one URI SAN", other kinds may stand beside it.
    found = names.get_values_for_type(x509.DNSName if kind == "dns" else x509.UniformResourceIdentifier)
    if len(found) != 1 or not _PLAIN.fullmatch(found[0]):
        return None
    if (kind == "spiffe" and not is_spiffe_id(found[0])) or (kind == "dns" and "*" in found[0]):
        return None
    return folded(found[0], kind)


def folded(name: str, kind: str) -> str:
    """A device's name as it is compared everywhere."""
    return name.lower() if kind == "dns" else name


def is_spiffe_id(name: str) -> bool:
    """Whether it is the SPIFFE ID of a workload: a trust domain and a path (X.509-SVID 5.2).

    We are stricter than RFC 3986 6.2.2.1: scheme and trust domain in lower case only, so that one device has one name.
    """
    if not name.startswith(_SPIFFE) or len(name) > _MOST_BYTES:
        return False
    domain, *segments = name.removeprefix(_SPIFFE).split("/")
    return (
        _TRUST_DOMAIN.fullmatch(domain) is not None
        and bool(segments)
        and all(_SEGMENT.fullmatch(each) and each not in (".", "..") for each in segments)
    )


def may_be_named(name: str, kind: str, permitted: Sequence[str]) -> bool:
    """Whether an authority may give this name to a device.

    :param permitted: whole names; beginnings of URIs that end in ``/`` or ``:``; endings of DNS names that begin with
        a dot. Empty: any
    """
    if not permitted:
        return True
    if kind == "dns":
        name = folded(name, kind)
        return any(_within(name, each.lower(), each.startswith("."), name.endswith) for each in permitted)
    return any(_within(name, each, each.endswith(("/", ":")), name.startswith) for each in permitted)


def _within(name: str, given: str, is_part: bool, has_part: Callable[[str], bool]) -> bool:
    return has_part(given) and name != given if is_part else name == given


def roles(certificate: x509.Certificate) -> tuple[Role, ...] | None:
    """The OU attributes of the subject, sorted; ``None`` where one is no role, or where they are too many.

    :raises Exception: one of ``profile.UNREADABLE``
    """
    units = {str(unit.value) for unit in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)}
    if len(units) > MOST_ROLES or not all(_ROLE.fullmatch(unit) for unit in units):
        return None
    return tuple(Role(name=unit, source="certificate") for unit in sorted(units))
