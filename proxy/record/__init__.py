"""Step 6 and 11: records made durable before anything is answered.

*Enters*: record bodies, already built by the journey. *Leaves*: :class:`~proxy.model.Durable` places, signed
receipts, and rows for the anchor process to read. *Must not know*: HTTP, policy, the chain's RPC.

Threats: a host that loses power after an answer (fsync before every answer); a restored backup (one origin is
one incarnation of one spool, and the chain disagrees with a second life of it); two processes on one spool
(exclusive lock); a full disk (fail closed, 503); an operator who denies a decision (receipts, signed).
The spool holds patient data in clear: files are 0600, the disk must be encrypted by the site.
"""

from proxy.record.clock import ClockWatch
from proxy.record.lookup import Lookup
from proxy.record.receipts import Receipts
from proxy.record.spool import Spool
from proxy.record.suppression import Suppression

__all__ = ["ClockWatch", "Lookup", "Receipts", "Spool", "Suppression"]
