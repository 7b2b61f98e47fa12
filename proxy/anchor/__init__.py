"""Step 12, and the auditor's side of it: leaves on the chain, and whether what is kept still gives those leaves.

*Enters*: durable rows of the spool, through :class:`proxy.ports.SpoolReader`; the writer's key; one contract on one
chain. *Leaves*: transactions, a status file, findings. *Must not know*: requests, policy, HTTP to clients; no byte of
a record leaves except as a hash.

Threats: a lost answer or a crash while sending (the contract takes nothing but the exact continuation, and the
worker remembers nothing that matters); a spool restored from a backup (heads differ: a successor is opened and
the break is reported); a spool rewritten by whoever has the host (the verifier recomputes from records to the
chain); a node that lies (heads are recomputed, a second node is compared); a chain run by the one who would
rewrite it (the auditor's trust file holds the head verified last). Not covered: a record that was never
written. What speaks against that is a receipt in the hands of whoever asked.
"""

from proxy.anchor.chain_client import ChainClient, reviewed_code_hash
from proxy.anchor.chain_sender import ChainSender
from proxy.anchor.chain_values import FeeLimits
from proxy.anchor.facts import ChainFacts, collect_facts
from proxy.anchor.findings import Finding, FindingKind, Report, TrustedHead
from proxy.anchor.keys import load_account, new_keystore
from proxy.anchor.receipt_check import ReceiptStanding, ReceiptVerdict, check_receipt, check_receipts
from proxy.anchor.status import AnchorState, AnchorStatus, write_status
from proxy.anchor.trust import Trust, load_trust, save_trust, trust_as_found
from proxy.anchor.verifier import verify
from proxy.anchor.worker import AnchorSettings, AnchorWorker

__all__ = [
    "AnchorSettings",
    "AnchorState",
    "AnchorStatus",
    "AnchorWorker",
    "ChainClient",
    "ChainFacts",
    "ChainSender",
    "FeeLimits",
    "Finding",
    "FindingKind",
    "ReceiptStanding",
    "ReceiptVerdict",
    "Report",
    "Trust",
    "TrustedHead",
    "check_receipt",
    "check_receipts",
    "collect_facts",
    "load_account",
    "load_trust",
    "new_keystore",
    "reviewed_code_hash",
    "save_trust",
    "trust_as_found",
    "verify",
    "write_status",
]
