"""What operators see: metrics, logs, health. On the admin port only.

*Enters*: counts, times and state of every room. *Leaves*: Prometheus text, JSON. *Must not know*: requests. Labels are
from closed sets; no identifier of a patient, a study or a device is ever a label, and none of a patient or a study a
log field. An alarm's line may name a device by its id, which is a digest.
"""

from proxy.watch.admin import Admin, Handout
from proxy.watch.logs import configure_logs
from proxy.watch.tally import Gauge, Tally

__all__ = ["Admin", "Gauge", "Handout", "Tally", "configure_logs"]
