"""What every test may ask for, and what holds for every property test."""

import os

from hypothesis import HealthCheck, settings
from support.box import box
from support.stages import at_stage

__all__ = ["at_stage", "box"]

# Where Debian keeps mkfs, losetup and fsfreeze; a user's or a clean PATH leaves it out.
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"

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
