"""Step 8: what policy demands of an answer, and what an answer may say. Pure.

*Enters*: obligations, and the archive's bodies as they arrive. *Leaves*: the reason why an obligation cannot be met, or
the client's answer: rows, metadata, parts and reports rebuilt. *Must not know*: sockets, or who asks.

Threats, and where they end:

- An obligation that nobody fulfils: it denies (``obligations``). An answer that goes out with one forgotten is
  the failure this room exists to prevent.
- A masked attribute by another way: deeper in a sequence, under a keyword or a lower-case tag, where no dataset may
  stand (``elements``), as a derived attribute (``masks``), as bulk data, or by matching on it (``obligations``). Files
  cannot be masked: they are denied.
- An archive that answers with another object than was asked for: every dataset and row must name it (``uids``).
- What a study's row tells of series that may not be seen: counts, modalities, attributes of any instance (``rows``).
- The archive's address: links are rebuilt from UIDs or left out (``links``); of a part's head nothing survives but
  what was parsed (``part_heads``). Addresses inside nested datasets and text are the objects' own data and stay.
- Bodies made to exhaust: an object is at most 64 Mi characters (``jsonlist``), a part's head 8 KiB (``parts``);
  bodies of parts are never held.
- Bodies that end early or go on after their end: an error, so that a client does not take a part for the whole.
"""

from proxy.fulfil.fulfilment import Fulfilling
from proxy.fulfil.pushdown import matches, pushdown
from proxy.fulfil.store_report import StoreReports

__all__ = ["Fulfilling", "StoreReports", "matches", "pushdown"]
