"""Clocks that a test turns by hand; same signatures as watcher.clock.SystemClock."""

import threading

from watcher.clock import SystemClock


class ManualClock:
    """Stands still until `advance` or `set_wall` moves it; waits return at once, advancing it."""

    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._wall_s = wall_s
        self._elapsed_s = 1000.0
        self.boot = "boot-1"
        self.is_synchronised = False
        self.waits: list[float | None] = []

    def wall_s(self) -> float:
        return self._wall_s

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def boot_s(self) -> float:
        return self._elapsed_s

    def boot_id(self) -> str:
        return self.boot

    def synchronised(self) -> bool:
        return self.is_synchronised

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        """Advance by *timeout_s* instead of waiting; with no time-out, wait for real."""
        self.waits.append(timeout_s)
        if wake.is_set():
            return True
        if timeout_s is None:
            return wake.wait()
        self.advance(timeout_s)
        return wake.is_set()

    def advance(self, by_s: float) -> None:
        """Let time pass on every clock."""
        with self._lock:
            self._wall_s += by_s
            self._elapsed_s += by_s

    def set_wall(self, wall_s: float) -> None:
        """Set the wall clock alone, as ntpd or a person would."""
        self._wall_s = wall_s


class SetClock(SystemClock):
    """The machine's own clocks, which go on, set further by a test; for services with real work."""

    def __init__(self) -> None:
        self._wall_s = self._elapsed_s = 0.0
        self.boot = "boot-1"

    def wall_s(self) -> float:
        return super().wall_s() + self._wall_s

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._elapsed_s

    def boot_s(self) -> float:
        return super().boot_s() + self._elapsed_s

    def boot_id(self) -> str:
        return self.boot

    def synchronised(self) -> bool:
        return False

    def advance(self, by_s: float) -> None:
        """Let time pass on every clock."""
        self.set_wall(by_s)
        self._elapsed_s += by_s

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock alone, further by so much or (negative) back."""
        self._wall_s += by_s
