"""The processes of a running ``dicomward serve``."""

from __future__ import annotations

import psutil

from deploy.dev.stack import DevStack


def worker_pid(supervisor: int) -> int:
    """The worker of a supervisor: the process that serves, whose memory and processor time count."""
    (worker,) = (child for child in psutil.Process(supervisor).children() if "--worker" in child.cmdline())
    return worker.pid


def proxy_pid(stack: DevStack) -> int:
    """The worker of a stack's proxy."""
    supervisor = stack.part("proxy").pid
    assert supervisor is not None, "the proxy does not run"
    return worker_pid(supervisor)
