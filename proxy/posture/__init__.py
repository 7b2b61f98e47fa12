"""Step 2: what is known of the device that asks.

*Enters*: a device id. *Leaves*: attributes with value, source, trust and times. *Must not know*: whether that is good
enough, which is policy's to say. Threats: an old report kept alive (times travel with every value and policy
compares them with its own time); a store that cannot be read (no posture, no decision: 503).
"""

from proxy.posture.store import PostureStore

__all__ = ["PostureStore"]
