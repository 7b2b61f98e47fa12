"""Step 2: what is known of the device that asks, and the desk where it is told.

*Enters*: a device id; reports that devices sign, webhooks that a management system signs. *Leaves*: attributes with
value, source, trust and times, and what other sources say of them. *Must not know*: whether that is good enough,
which is policy's to say. Threats: a report of somebody else, of another day or for another site (signature by the
certificate of the connection, nonce, audience, time that only goes forward); a device that speaks well of itself
(trust travels with every value, and no lower trust hides a higher one, nor contradicts what that said last); a
management that has not noticed yet (what the device says stays visible beside); an old report kept alive (times travel
too, and policy compares them with its own); a store that cannot be read (no posture, no decision: 503).
"""

from proxy.posture.claims import ClaimStore, RemainingLife
from proxy.posture.desk import Desk
from proxy.posture.store import PostureStore
from proxy.posture.webhooks import ManagedSettings, MappedPolicy

__all__ = ["ClaimStore", "Desk", "ManagedSettings", "MappedPolicy", "PostureStore", "RemainingLife"]
