"""Step 8: what policy demands of an answer, and what an answer may say. Pure.

*Enters*: obligations, and bodies from the archive that must be read whole. *Leaves*: what to hold the answer to, or
the reason why that cannot be done; rows and reports rebuilt. *Must not know*: sockets, or who asks. An obligation that
nobody here fulfils denies: an answer that goes out with an obligation forgotten is the failure this room exists to
prevent.
"""

from proxy.fulfil.obligations import unmet
from proxy.fulfil.rows import rows_of
from proxy.fulfil.store_report import StoreReports

__all__ = ["StoreReports", "rows_of", "unmet"]
