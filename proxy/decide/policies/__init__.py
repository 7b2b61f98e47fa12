"""Sets of policies: where they come from, what names them, and where they are kept."""

from proxy.decide.policies.folder import read_policies
from proxy.decide.policies.kept import InForce, Kept
from proxy.decide.policies.policy_set import CAPABILITIES, PolicySet

__all__ = ["CAPABILITIES", "InForce", "Kept", "PolicySet", "read_policies"]
