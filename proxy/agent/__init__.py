"""The device's side: what the machine says of itself, and the signed report of it.

What enters: outputs of the machine's own commands and files, or values that another tool measured; the device's
certificate and key; a site's address. What leaves: findings, and reports to that site. It knows nothing of the proxy's
rooms, only its protocol. Threats: a caller who chooses what is run (fixed paths, no shell, no environment), a command
that hangs or floods (bounded time and size), a false site (its authority is named, its name is signed into the report),
a key that others can read (refused). What it cannot meet: an owner of the machine who lies. A report proves who said
something, not that it is true.
"""

from proxy.agent.collect import collect, known
from proxy.agent.findings import Finding, Machine, UnknownError, Value
from proxy.agent.machine import LinuxMachine
from proxy.agent.report import algorithm_of, checked_values, make_report
from proxy.agent.report_client import (
    Accepted,
    Advice,
    Identity,
    ReportClient,
    ReportRefusedError,
    SiteUnreachableError,
    load_identity,
)

__all__ = [
    "Accepted",
    "Advice",
    "Finding",
    "Identity",
    "LinuxMachine",
    "Machine",
    "ReportClient",
    "ReportRefusedError",
    "SiteUnreachableError",
    "UnknownError",
    "Value",
    "algorithm_of",
    "checked_values",
    "collect",
    "known",
    "load_identity",
    "make_report",
]
