"""Asks the site's Rego policies whether a request may go on.

Enters: a policy input (``policy_input.build_input``). Leaves: a ``Verdict``, or ``PolicyUnavailableError``. This room
knows no archive and no record; it never turns a failure into an allow.

Threats: a result that is not a verdict (undefined, extra keys, ``"true"`` for ``true``); a policy file half written,
broken or endless when it is reloaded; a bundle that is forged, replayed, withheld or blown up; a policy that asks the
clock, the network or chance; a file that is really a link to another place. The embedded engine cannot be interrupted
and holds the interpreter lock, so other policies come into force only after a child process has compiled and timed
them. Input that makes good policies slow is not covered here: a supervisor ends the worker and puts the policies into
quarantine, which ``supply.py`` heeds.
"""

from proxy.decide.counters import Counters
from proxy.decide.embedded import Embedded, EmbeddedEngine
from proxy.decide.metadata import kept_reasons
from proxy.decide.policies import (
    BundleServer,
    Kept,
    PolicySet,
    PolledBundle,
    WatchedFolder,
    read_keys,
    read_policies,
    signed_bundle,
)
from proxy.decide.policy_input import Environment, Networks, build_input
from proxy.decide.server import OpaServer, OpaSettings
from proxy.decide.shelf import Shelf
from proxy.decide.supply import Supply

__all__ = [
    "BundleServer",
    "Counters",
    "Embedded",
    "EmbeddedEngine",
    "Environment",
    "Kept",
    "Networks",
    "OpaServer",
    "OpaSettings",
    "PolicySet",
    "PolledBundle",
    "Shelf",
    "Supply",
    "WatchedFolder",
    "build_input",
    "kept_reasons",
    "read_keys",
    "read_policies",
    "signed_bundle",
]
