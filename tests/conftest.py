"""What every test may ask for, what holds for every property test, and which run side by side."""

import os
from pathlib import Path
from typing import Final

import pytest
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

_HERE: Final = Path(__file__).parent
_RECKONS: Final = ("unit", "faults/test_model.py", "faults/test_walks.py", "integration/replace")


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers (tox): one runs what only reckons, the other all that has children and mounts.

    So no two tests share the machine that start encoders, fill disks or set limits; and encoders,
    which run at idle priority, still find a core.
    """
    for item in items:
        where = item.path.relative_to(_HERE).as_posix()
        group = "reckons" if where.startswith(_RECKONS) else "acts"
        item.add_marker(pytest.mark.xdist_group(group))
