"""Tells that something was mounted or unmounted, when it was; the tick alone would take 30 s.

The kernel wakes who polls /proc/self/mountinfo for POLLPRI at each change of what is mounted
(proc(5)). What changed is not said: whoever listens compares.
"""

import os
import select
import threading
from collections.abc import Callable
from typing import Final

from watcher.clock import Clock

_MOUNTS: Final = "/proc/self/mountinfo"
_SETTLE_S: Final = 1.0
"""Containers that start mount a dozen file systems in a moment: that is one change."""


class MountWatch(threading.Thread):
    """Calls *changed* after each change; sleeps in the kernel meanwhile."""

    def __init__(
        self, changed: Callable[[], None], clock: Clock, *, settle_s: float = _SETTLE_S
    ) -> None:
        super().__init__(name="segments-mounts", daemon=True)
        self._changed = changed
        self._clock = clock
        self._settle_s = settle_s
        self._stop_asked = threading.Event()
        self._ended = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def run(self) -> None:
        """Listen until stopped; where /proc is hidden the tick has to do."""
        try:
            with open(_MOUNTS, "rb") as mounts:
                self._listen(mounts.fileno())
        except OSError:
            return

    def stop(self) -> None:
        """End, and wait for that."""
        self._stop_asked.set()
        os.eventfd_write(self._ended, 1)
        if self.ident is not None:
            self.join()
        os.close(self._ended)

    def _listen(self, mounts: int) -> None:
        poll = select.poll()
        poll.register(mounts, select.POLLERR | select.POLLPRI)
        poll.register(self._ended, select.POLLIN)
        while not self._stop_asked.is_set():
            poll.poll()
            if not self._stop_asked.is_set():
                self._changed()
                self._clock.wait(self._stop_asked, self._settle_s)
