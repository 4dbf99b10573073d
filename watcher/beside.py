"""Whole files that are read beside the shift: when that may be, and the looks that tell.

The upkeep thread compares whole recordings where no smaller proof is left. It reads while the gate
lets work go on. The shift is the one that looks at the gate, and while it has nothing to do it does
not: so whoever wants to read asks, and as long as it asks the shift looks for it.
"""

import math
import threading
from collections.abc import Callable
from typing import Final

from watcher.clock import Clock
from watcher.foreman import LOOK_EVERY_S
from watcher.lookout import Lookout

ASKED_S: Final = 2.0
"""So long a look counts, and a question: whoever reads asks oftener."""


class Beside:
    """Between the shift's thread, which rests here, and those that read."""

    def __init__(self, lookout: Lookout, wake: threading.Event, clock: Clock) -> None:
        """*wake*: what ends the shift's rest."""
        self._lookout = lookout
        self._wake = wake
        self._clock = clock
        self._looked = threading.Event()
        self._asked_s = -math.inf
        self._over = False

    def may_read(self) -> bool:
        """Say whether whole files may be read now; any thread but the shift's.

        Asked again and again. Where nobody looks, the first answer takes a moment.
        """
        self._asked_s = self._clock.monotonic_s()
        if not self._lookout.looked_within(ASKED_S) and not self._over:
            self._looked.clear()
            self._wake.set()
            self._clock.wait(self._looked, ASKED_S)
        return self._lookout.looked_within(ASKED_S) and self._lookout.lets_read

    def rest(self, wait_s: float | None, is_open: Callable[[], bool]) -> None:
        """Wait to be woken, or for *wait_s*; look meanwhile for who reads, while *is_open* says so.

        A wait no longer than that between two looks is one of the shift's own.
        """
        until_s = self._clock.monotonic_s() + (math.inf if wait_s is None else wait_s)
        while not self._wake.is_set():
            now_s = self._clock.monotonic_s()
            left_s = max(0.0, until_s - now_s)
            if left_s <= LOOK_EVERY_S or now_s - self._asked_s > ASKED_S or not is_open():
                self._looked.set()
                self._clock.wait(self._wake, None if left_s == math.inf else left_s)
                return
            self._lookout.peek()
            self._looked.set()
            self._clock.wait(self._wake, LOOK_EVERY_S)

    def end(self) -> None:
        """Let nobody wait for a look any more."""
        self._over = True
        self._looked.set()
