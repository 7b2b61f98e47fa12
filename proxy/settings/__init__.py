"""The configuration tree as settings of rooms, which do not know it."""

from proxy.settings.identity import certificates, check_revocation, desk, identification, managed
from proxy.settings.policy import check_policies, check_remedies, engine, handout, networks, poll_s, supply, timezone
from proxy.settings.serving import archive, limits, problems, server_tls

__all__ = [
    "archive",
    "certificates",
    "check_policies",
    "check_remedies",
    "check_revocation",
    "desk",
    "engine",
    "handout",
    "identification",
    "limits",
    "managed",
    "networks",
    "poll_s",
    "problems",
    "server_tls",
    "supply",
    "timezone",
]
