"""Whose load is whose inside a host application, which may be the recorder itself.

There our process is not ours: what the host's threads use, and what the host's children use, is
what must not be disturbed. Ours are our own threads, known by their names, and the children that
they started, with all that is below those; the kernel lists a child under the thread that started
it. A kernel that keeps no such list (CONFIG_PROC_CHILDREN) can't tell, and the whole process counts
as ours.

What a child used between the last look and its end can't be told from the host's; that is one
reading of half a second, and one reading is no hold.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from watcher.gate.load import TICK_S, ProcCounters, tree_cpu_s

_PREFIXES = ("watcher", "child-")


def our_threads() -> Iterator[int]:
    """Give the kernel's ids of the threads that this package has started."""
    for thread in threading.enumerate():
        if thread.native_id is not None and thread.name.startswith(_PREFIXES):
            yield thread.native_id


class HostedCounters(ProcCounters):
    """The kernel's own figures, with our threads and their children as ours."""

    def __init__(
        self,
        proc: Path = Path("/proc"),
        *,
        pid: int | None = None,
        threads: Callable[[], Iterable[int]] = our_threads,
    ) -> None:
        super().__init__(proc)
        self._proc = proc
        self._tasks = proc / str(os.getpid() if pid is None else pid) / "task"
        self._threads = threads

    def own_s(self) -> dict[int, float]:
        """See `Counters`; a thread is counted by its own id."""
        found: dict[int, float] = {}
        for thread in self._threads():
            children = self._tasks / f"{thread}/children"
            try:
                started = [int(child) for child in children.read_bytes().split()]
                found[thread] = self._thread_s(thread)
            except FileNotFoundError:
                if (self._tasks / str(thread)).exists():
                    return super().own_s()
                continue  # it ended while we looked
            except (OSError, ValueError):
                continue
            found.update(tree_cpu_s(self._proc, started))
        return found

    def _thread_s(self, thread: int) -> float:
        """A thread's user and system time; its waited-for children's are the whole process's."""
        text = (self._tasks / f"{thread}/stat").read_bytes()
        fields = text[text.rindex(b")") + 2 :].split()
        return sum(map(int, fields[11:13])) * TICK_S
