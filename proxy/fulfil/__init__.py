"""Step 8: what policy demands of an answer. Pure.

*Enters*: obligations and what was asked for. *Leaves*: what to hold the answer to, or the reason why that cannot be
done. *Must not know*: where the answer comes from. An obligation that nobody here fulfils denies: an answer that
goes out with an obligation forgotten is the failure this room exists to prevent.
"""

from proxy.fulfil.obligations import unmet

__all__ = ["unmet"]
