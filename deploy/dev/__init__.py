"""A whole site on one machine: authorities, a filled archive, a chain, postures, the proxy and the anchor process.

What enters: a folder, a set of ports and a few choices. What leaves: processes that answer on loopback, and the folder
(``pki/``, ``keys/``, ``dicomward.toml``, logs). It knows the product only by its commands and its configuration file.
Threats: none are met here. Keys lie in the folder unprotected but for mode 0600, the authority is a toy, one operator
runs the chain alone. Never put it before real patients.
"""

from deploy.dev.layout import Layout, Ports, StackError
from deploy.dev.stack import DevStack

__all__ = ["DevStack", "Layout", "Ports", "StackError"]
