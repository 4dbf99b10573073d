"""The only place that asks what time it is, so that tests can turn it.

Three kinds of time are told apart. *Wall* time is what a person reads and what mtimes are in; it
may be set by anybody. *Monotonic* time measures durations and stands still in suspend. *Boot* time
goes on through suspend: compared with wall time it shows that a clock was set.
"""

import ctypes
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ADJTIMEX_BYTES = 512  # struct timex is 208 on 64 bit; nothing of it is read but the return value
_TIME_ERROR = 5  # adjtimex(2): "the system clock is not synchronised"


class Clock(Protocol):
    """What time it is, and waiting for it."""

    def wall_s(self) -> float:
        """Give seconds since the epoch, as the machine believes them to be."""

    def monotonic_s(self) -> float:
        """Give seconds of a clock that nobody sets and that stands still in suspend."""

    def boot_s(self) -> float:
        """Give seconds since boot, suspend included (CLOCK_BOOTTIME)."""

    def boot_id(self) -> str:
        """Name this boot, so that boot times of different boots are never compared."""

    def synchronised(self) -> bool:
        """Say whether the kernel believes the wall clock to be synchronised (adjtimex)."""

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        """Wait until *wake* is set or *timeout_s* has passed; True if it was set."""


def utc(wall_s: float) -> datetime:
    """Turn seconds since the epoch into an aware UTC time."""
    return datetime.fromtimestamp(wall_s, UTC)


class SystemClock:
    """The machine's own clocks."""

    def wall_s(self) -> float:
        """See `Clock`."""
        return time.time()

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def boot_s(self) -> float:
        """See `Clock`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """See `Clock`; empty where /proc does not tell."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def synchronised(self) -> bool:
        """See `Clock`; False where the kernel can't be asked."""
        try:
            answer = ctypes.CDLL(None, use_errno=True).adjtimex(
                ctypes.create_string_buffer(_ADJTIMEX_BYTES)
            )
        except (OSError, AttributeError):
            return False
        return 0 <= int(answer) < _TIME_ERROR

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        """See `Clock`."""
        return wake.wait(timeout_s)
