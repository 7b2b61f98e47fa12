"""Settings of every suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed is shown by benches, never by tests.
settings.register_profile("dicomward", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dicomward")
