"""Does a child stand still that could work? Pauses do not count, nor does waiting for a CPU.

A child runs at idle priority: where others take every CPU it gets next to none, for as long as they
do. That is no fault of its own, nor of a GPU. The kernel's account of its threads tells the two
apart: who hangs in a driver waits for no CPU, and who runs in circles gets one.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watcher.clock import Clock
from watcher.errors import Aborted, Retryable
from watcher.transcode.child import GRACE_S, Child
from watcher.transcode.leash import Leash

LOOK_S: Final = 2.0
"""So long a child is looked at that has stood still for as long as it may, before it is judged."""

_NS_PER_S: Final = 1_000_000_000
_WAITED: Final = 0.5  # of that time a starved one waits for at least this share,
_WORKED: Final = 0.1  # and works for no more than this


@dataclass(frozen=True, slots=True)
class Account:
    """What a process has had of the CPUs so far, all its living threads together."""

    worked_s: float
    waited_s: float
    """So long its threads could have worked, and waited for a CPU."""


def account_of(pid: int, proc: str = "/proc") -> Account | None:
    """Read it from /proc/PID/task/*/schedstat (sched-stats.rst); None where it is not kept."""
    tasks, told = Path(proc, str(pid), "task"), []
    try:
        for thread in os.listdir(tasks):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                words = (tasks / thread / "schedstat").read_text("ascii").split()
                told.append((int(words[0]), int(words[1])))
    except (OSError, ValueError, IndexError):
        return None
    worked_ns, waited_ns = map(sum, zip(*told, strict=True)) if told else (0, 0)
    return Account(worked_ns / _NS_PER_S, waited_ns / _NS_PER_S) if told else None


def written_bytes(pid: int) -> int | None:
    """Count what a process wrote to files, in the kernel's own account (proc(5), io)."""
    try:
        for line in Path(f"/proc/{pid}/io").read_text("ascii").splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    except (OSError, ValueError):
        return None
    return None


def is_starved(before: Account | None, after: Account | None, span_s: float) -> bool:
    """Say whether a process wanted a CPU for *span_s* and hardly got one; not where none tells."""
    if before is None or after is None:
        return False
    waited_s = after.waited_s - before.waited_s
    worked_s = after.worked_s - before.worked_s
    return waited_s >= _WAITED * span_s and worked_s <= _WORKED * span_s


class Watch:
    """Notices when a child lives but makes no progress, though it may and can.

    What it writes to disk counts as progress: at its end ffmpeg may move the index to the front
    of a gigabyte, and says nothing meanwhile.
    """

    def __init__(
        self,
        child: Child,
        leash: Leash,
        clock: Clock,
        timeout_s: float,
        *,
        written: Callable[[int], int | None] = written_bytes,
        account: Callable[[int], Account | None] = account_of,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._child, self._leash, self._clock = child, leash, clock
        self._timeout_s = timeout_s
        self._written, self._account = written, account
        self._tick = tick
        self._signs: object = None
        self._since_s = self._worked_s()
        self._doubt: tuple[float, Account] | None = None

    def check(self, signs: object) -> None:
        """Raise where *signs*, and what it wrote to disk, have long been the same."""
        self._tick()
        if self._leash.aborted_reason is not None:
            self._child.wait(GRACE_S)
            raise Aborted(self._leash.aborted_reason, "told to stop")
        now_s = self._worked_s()
        signs_of_life = (signs, self._written(self._child.pid))
        if signs_of_life != self._signs:
            self._signs = signs_of_life
            self._begin_anew(now_s)
        elif now_s - self._since_s > self._timeout_s:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        """End it, unless for a while it waits for nothing but a CPU: then its time begins anew."""
        account = self._account(self._child.pid)
        if self._doubt is None and account is not None:
            self._doubt = now_s, account
            return
        since_s, before = self._doubt or (now_s, None)
        if before is not None and now_s - since_s < LOOK_S:
            return
        if is_starved(before, account, now_s - since_s):
            self._begin_anew(now_s)
            return
        self._child.kill()
        self._child.wait(GRACE_S)  # for its last words; who leaves its block waits for the end
        raise Retryable(
            "stalled",
            f"no progress for {self._timeout_s:g} s",
            command=" ".join(self._child.argv),
            stderr_tail=self._child.stderr_tail(),
        )

    def _begin_anew(self, now_s: float) -> None:
        self._since_s, self._doubt = now_s, None

    def _worked_s(self) -> float:
        return self._clock.monotonic_s() - self._leash.paused_s()
