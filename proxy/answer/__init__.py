"""Step 10: status and problem details of what is refused. Pure.

*Enters*: reasons. *Leaves*: a status and an RFC 9457 body that says what was refused and what to do.
*Must not know*: the request. Nothing of a patient, an archive or a policy's text can stand in an answer
because none of it comes in here.
"""

from proxy.answer.problem import CATALOGUE, Problem, problem_of

__all__ = ["CATALOGUE", "Problem", "problem_of"]
