"""What every test may ask for, and what holds for every property test."""

from hypothesis import HealthCheck, settings
from support.box import box

__all__ = ["box"]

# No test is failed by time: on a busy box an example may take seconds, and prove just as much.
settings.register_profile("watcher", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("watcher")
