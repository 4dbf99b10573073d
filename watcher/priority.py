"""How a child becomes the last in every queue, and what it may use.

All of it is done from outside, to a child that has not begun yet. What this machine does not
allow is left out, one thing at a time: an encode at a little more than the lowest priority is
better than none.

The lowest policy alone is not enough. Where the kernel groups processes by session (autogroups),
SCHED_IDLE and nice count only among the session's own, and two sessions that want one core get
half of it each, whatever their policies. So the session's group is lowered too.
"""

import contextlib
import os
import resource
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from watcher.clock import Clock

_OOM_SCORE_ADJ = "800"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use. None: no limit of ours."""

    memory_bytes: int | None = max(10**9, psutil.virtual_memory().total // 2)
    cpu_s: int | None = None
    file_bytes: int | None = None
    open_files: int = 1024


def lower(pid: int, limits: Limits) -> None:
    """Make *pid* the last in every queue. What is not allowed here is left out, one by one."""
    for step in (
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        lambda: psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE),
        lambda: Path(f"/proc/{pid}/oom_score_adj").write_text(_OOM_SCORE_ADJ, "ascii"),
        lambda: _lower_session(pid),
    ):
        with contextlib.suppress(OSError, psutil.Error):
            step()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
    }
    for kind, most in wanted.items():
        if most is not None:
            with contextlib.suppress(OSError, ValueError):
                resource.prlimit(pid, kind, (most, most))


def _lower_session(pid: int) -> None:
    """Lower the session's scheduling group: without it nice 19 counts only among its own."""
    Path(f"/proc/{pid}/autogroup").write_text("19", "ascii")


def lower_session_again(pid: int, gone: threading.Event, clock: Clock) -> None:
    """Without privileges the kernel takes one such change in 0.1 s: repeat it until it stands."""
    for _ in range(5):
        try:
            if Path(f"/proc/{pid}/autogroup").read_text("ascii").split()[-1] == "19":
                return
            _lower_session(pid)
        except BlockingIOError:
            clock.wait(gone, 0.15)
        except (OSError, IndexError):
            return
