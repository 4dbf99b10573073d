"""What a child leaves to others who want the same core."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from watcher.transcode.child import spawn

LOOP = ["-c", "0", "/bin/sh", "-c", "while :; do :; done"]
SECONDS = 4


def used(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def shares(*, autogroup: str) -> tuple[int, int]:
    """Let an ordinary process and a child of ours want one core; give the ticks of each."""
    taskset = shutil.which("taskset")
    if taskset is None:
        pytest.skip("taskset is not installed")
    with (
        subprocess.Popen([taskset, *LOOP], start_new_session=True) as other,
        spawn([taskset, *LOOP]) as child,
    ):
        try:
            threading.Event().wait(0.3)
            Path(f"/proc/{child.pid}/autogroup").write_text(autogroup)
            before = used(other.pid), used(child.pid)
            threading.Event().wait(SECONDS)
            return used(other.pid) - before[0], used(child.pid) - before[1]
        finally:
            other.kill()


@pytest.mark.politeness
@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no scheduling autogroups"
)
def test_a_child_takes_next_to_nothing_from_who_wants_the_core() -> None:
    """Without the autogroup's own nice value SCHED_IDLE counts only within the child's session."""
    other, ours = shares(autogroup="19")
    other_without, ours_without = shares(autogroup="0")
    print(  # noqa: T201 - the figures are what this is run for
        f"\nshare of a wanted core: {100 * ours / (ours + other):.1f} % as we start children; "
        f"{100 * ours_without / (ours_without + other_without):.1f} % with SCHED_IDLE alone"
    )
    assert ours * 10 < other
