"""One thread that does what must not wait on the event reader, and what is due a little later.

Jobs are done one after the other, in the order of their time. Idle, it sleeps without waking. An
exception in one job is told and ends nothing.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable

from watcher.clock import Clock

Job = Callable[[], None]


def each_by_itself(jobs: Iterable[Job]) -> None:
    """Do *jobs*, each in a thread of its own, so that one that hangs keeps none of the others."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Worker(threading.Thread):
    """Runs jobs, now or later, until stopped."""

    def __init__(self, name: str, clock: Clock, on_error: Callable[[str, Exception], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._clock = clock
        self._on_error = on_error
        self._lock = threading.Lock()
        self._jobs: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._busy = False

    def soon(self, job: Job, delay_s: float = 0.0) -> None:
        """Do *job* after *delay_s*, in turn."""
        with self._lock:
            due_s = self._clock.monotonic_s() + delay_s
            heapq.heappush(self._jobs, (due_s, next(self._order), job))
        self._wake.set()

    def is_idle(self) -> bool:
        """Whether there is nothing to do, now or later."""
        with self._lock:
            return not self._jobs and not self._busy

    @property
    def stopping(self) -> bool:
        """Whether the running job had better come to an end."""
        return self._stopping.is_set()

    def rest(self, for_s: float) -> None:
        """Let the running job stand still for a while, or until it had better end."""
        self._clock.wait(self._stopping, for_s)

    def end(self) -> None:
        """Let the running job end, and do none of the others; waits for nothing."""
        self._stopping.set()
        self._wake.set()

    def stop(self) -> None:
        """Do the same, and return when that is so."""
        self.end()
        if self.is_alive() and threading.current_thread() is not self:
            self.join()

    def run(self) -> None:
        """Work until stopped."""
        while not self.stopping:
            self._wake.clear()
            job, wait_s = self._next()
            if job is None:
                self._clock.wait(self._wake, wait_s)
                continue
            try:
                job()
            except Exception as error:  # noqa: BLE001 - told; the next job is not to suffer
                self._on_error(getattr(job, "__qualname__", "job"), error)
            finally:
                with self._lock:
                    self._busy = False

    def _next(self) -> tuple[Job | None, float | None]:
        with self._lock:
            if not self._jobs:
                return None, None
            wait_s = self._jobs[0][0] - self._clock.monotonic_s()
            if wait_s > 0:
                return None, wait_s
            self._busy = True
            return heapq.heappop(self._jobs)[2], None
