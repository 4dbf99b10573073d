"""Verdicts that end: which segment is to be tried again first. Pure.

A heap with lazy deletion: an alarm that was cancelled or set anew stays in it until its turn comes.
"""

import heapq

Key = tuple[str, str]
"""Directory and name."""


class Alarms:
    """One alarm a segment at most, the earliest first."""

    def __init__(self) -> None:
        self._times: dict[Key, tuple[float, float]] = {}
        self._heap: list[tuple[float, Key]] = []

    def set(self, key: Key, until_s: float, at_s: float) -> None:
        """Note that *key*'s verdict holds *until_s*, and that it can be due *at_s*."""
        self._times[key] = (until_s, at_s)
        heapq.heappush(self._heap, (at_s, key))

    def cancel(self, key: Key) -> None:
        """Forget the alarm of *key*, if there is one."""
        self._times.pop(key, None)

    def until_s(self, key: Key) -> float | None:
        """Until when *key*'s verdict holds."""
        times = self._times.get(key)
        return times[0] if times else None

    def first_s(self) -> float | None:
        """When the first one is due."""
        while self._heap:
            at_s, key = self._heap[0]
            times = self._times.get(key)
            if times and times[1] == at_s:
                return at_s
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now_s: float) -> Key | None:
        """Take out the first one that is due by *now_s*."""
        first_s = self.first_s()
        if first_s is None or first_s > now_s:
            return None
        key = heapq.heappop(self._heap)[1]
        del self._times[key]
        return key

    def all(self) -> dict[Key, float]:
        """Every key with the time until which its verdict holds."""
        return {key: until_s for key, (until_s, _) in self._times.items()}
