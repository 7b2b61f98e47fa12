"""Sets of policies: where they come from, what names them, and where they are kept."""

from proxy.decide.policies.bundle import SignedPolicies, pack, signed_bundle, unpack_verified
from proxy.decide.policies.fetching import BundleServer
from proxy.decide.policies.folder import read_files, read_policies
from proxy.decide.policies.kept import InForce, Kept
from proxy.decide.policies.policy_set import CAPABILITIES, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, PolicySet
from proxy.decide.policies.polled_bundle import PolledBundle, read_keys
from proxy.decide.policies.serials import Serials
from proxy.decide.policies.signing import SigningKey, VerificationKey, signing_key, verification_key
from proxy.decide.policies.source import Fault, Offer, Source
from proxy.decide.policies.watched_folder import WatchedFolder

__all__ = [
    "CAPABILITIES",
    "MAX_FILES",
    "MAX_FILE_BYTES",
    "MAX_TOTAL_BYTES",
    "BundleServer",
    "Fault",
    "InForce",
    "Kept",
    "Offer",
    "PolicySet",
    "PolledBundle",
    "Serials",
    "SignedPolicies",
    "SigningKey",
    "Source",
    "VerificationKey",
    "WatchedFolder",
    "pack",
    "read_files",
    "read_keys",
    "read_policies",
    "signed_bundle",
    "signing_key",
    "unpack_verified",
    "verification_key",
]
