"""What every test may ask for, and what holds for every property test."""

from hypothesis import HealthCheck, settings
from support.box import box

__all__ = ["box"]

# No test is failed by time: on a busy box an example may take seconds, and prove just as much.
# Where CI is set Hypothesis derandomizes by itself: every run, and every round of `tox -e soak`,
# would play the same examples again. What fails is printed in a form that can be played again.
settings.register_profile(
    "watcher",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("watcher")
