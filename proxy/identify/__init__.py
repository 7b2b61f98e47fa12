"""Step 1: who is asking, judged now.

*Enters*: the DER certificate whose key the handshake proved, and what stands in ``Authorization``. *Leaves*: a
:class:`~proxy.model.Principal`, with reasons where it may do nothing. *Must not know*: what is asked for.

Threats: a certificate revoked after the handshake (judged again on every request); revocation data that is stale,
lost, unreadable or signed by another (denies, each with its reason); an older list put back or replayed (the newer
stays); an intermediate that was revoked or names beyond its constraints (the whole chain is judged); a leaf that is a
CA, of X.509 v1, without the client purpose or with a weak key, all of which OpenSSL lets pass (refused here); two
authorities that issue the same name (the device id binds both).

A token that was stolen (bound to its certificate: refused with any other, and alarmed), forged, of another issuer, for
another site, or signed by a key that it brings itself; a flood of tokens that would make us fetch keys (one fetch in
ten seconds, none within a request); two issuers that name the same subject (a user's id binds both).
"""

from proxy.identify.authorities import AuthorityFiles
from proxy.identify.certificates import Certificates
from proxy.identify.identification import Identification
from proxy.identify.keys import IssuerSettings

__all__ = ["AuthorityFiles", "Certificates", "Identification", "IssuerSettings"]
