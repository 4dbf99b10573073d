"""What every test may ask for, what holds for every property test, and which run side by side."""

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from support.box import box
from support.stages import at_stage
from support.trap import trap

__all__ = ["at_stage", "box", "trap"]

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

_RECKONS: Final = tuple(
    f"tests/{part}"
    for part in ("unit/", "faults/test_model.py", "faults/test_walks.py", "integration/replace/")
)


@pytest.hookimpl(optionalhook=True)  # of xdist, which tox alone asks for
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two workers: one runs what only reckons, the other all that has children and mounts.

    So no two tests share the machine that start encoders, fill disks or set limits; and encoders,
    which run at idle priority, still find a core.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where it is installed

    class ByWhatTheyDo(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return "reckons" if nodeid.startswith(_RECKONS) else "acts"

    return ByWhatTheyDo(config, log)
