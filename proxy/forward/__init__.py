"""Step 4 and 7: the only way to the archive.

*Enters*: a :class:`~proxy.model.DicomRequest`, never client bytes (a store's body comes re-encoded). *Leaves*: an
answer whose status and type were checked against what was asked, and the attributes of studies and their series.
*Must not know*: who asks, or why it was allowed.

Threats: an archive that answers with another type than asked for, an error text or an address of its own (all
dropped here); a list of series that ends early or contradicts itself (followed to its end, or refused); a path that
the archive reads otherwise than we do (targets are rebuilt from parsed values and sent as they are); a write repeated
after a lost answer (never tried again).
"""

from proxy.forward.archive_client import ArchiveClient
from proxy.forward.context import ContextCache

__all__ = ["ArchiveClient", "ContextCache"]
