"""Step 10: status and problem details of what is refused. Pure.

*Enters*: reasons, and the posture of the device that asks. *Leaves*: a status and an RFC 9457 body that says what was
refused, for which attribute of the device, and what to do. *Must not know*: the request. Nothing of a patient, an
archive or a policy's text can stand in an answer because none of it comes in here.
"""

from proxy.answer.problem import CATALOGUE, Problem, Problems, Remedy, problem_of

__all__ = ["CATALOGUE", "Problem", "Problems", "Remedy", "problem_of"]
