"""Step 1: who is asking, judged now.

*Enters*: the DER certificate whose key the handshake proved. *Leaves*: a :class:`~proxy.model.Principal`, with
reasons where it may do nothing. *Must not know*: what is asked for.

Threats: a certificate revoked after the handshake (judged again on every request); revocation data that is stale
or lost (denies); a leaf that is a CA, of X.509 v1, without the client purpose or with a weak key, all of which OpenSSL
lets pass (refused here); two authorities that issue the same name (the device id binds both).
"""

from proxy.identify.authorities import AuthorityFiles
from proxy.identify.certificates import Certificates

__all__ = ["AuthorityFiles", "Certificates"]
