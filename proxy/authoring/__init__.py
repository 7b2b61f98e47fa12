"""For those who write policies: check, test, try and replay, before anybody real is asked by them.

*Enters*: a folder of policies that nobody has judged yet, and what a site recorded. *Leaves*: findings, verdicts and
counts, as values; how they are shown is the command line's. *Must not know*: a running proxy. Nothing here puts
policies into force, and nothing writes into a spool.

Threats: rules that never end or take all memory, since the embedded engine cannot be interrupted. So policies are
loaded here only after a child process has compiled and tried them, and their tests run in one.
"""

from proxy.authoring.auditing import Audit
from proxy.authoring.checking import Checked, check
from proxy.authoring.folder import Source, read_source
from proxy.authoring.loading import Loaded, loaded
from proxy.authoring.opa import Opa, find_opa
from proxy.authoring.question import PERFECT, Asked, Supposed, question
from proxy.authoring.recorded import Period, bodies, span
from proxy.authoring.replaying import Replay
from proxy.authoring.testing import Tested, run_tests
from proxy.authoring.trial import Outcome, judge
from proxy.authoring.unpacking import unpack

__all__ = [
    "PERFECT",
    "Asked",
    "Audit",
    "Checked",
    "Loaded",
    "Opa",
    "Outcome",
    "Period",
    "Replay",
    "Source",
    "Supposed",
    "Tested",
    "bodies",
    "check",
    "find_opa",
    "judge",
    "loaded",
    "question",
    "read_source",
    "run_tests",
    "span",
    "unpack",
]
