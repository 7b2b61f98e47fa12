"""Step 0: connections, limits, admission; the only room that knows aiohttp's server.

*Enters*: bytes from anybody. *Leaves*: an :class:`~proxy.model.Arrival` and an :class:`~proxy.ports.Exchange` for the
journey. *Must not know*: DICOM, policy, the archive.

Threats: resumed sessions that outlive revocation (TLS 1.3 only, no tickets); slow heads and bodies (deadlines);
floods (admission before anything is recorded, one record a window); requests the parser refuses (answered and
recorded like any other); pages of other origins that a
browser lends its certificate to (``cors``); a bug anywhere (the one broad ``except`` is here, and it denies).
"""

from proxy.arrive.admission import Admission, Bucket
from proxy.arrive.cors import Cors
from proxy.arrive.handler import Handler
from proxy.arrive.listener import Limits, Listener
from proxy.arrive.tls import Handshakes, ServerTls, server_context

__all__ = ["Admission", "Bucket", "Cors", "Handler", "Handshakes", "Limits", "Listener", "ServerTls", "server_context"]
