"""Half-done swaps ended when a file of ours changes: the thread that does it, and when it may read.

One for the cameras that the kernel tells of, and one more for each polled camera, as the observers
have it (`segments/observers`): a share that hangs keeps its own alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from watcher.clock import Clock
from watcher.errors import Aborted
from watcher.events import Emit
from watcher.foreman import LONGEST_STAND_S
from watcher.segments.worker import Worker
from watcher.tending import Tender

SETTLE_AGAIN_S: Final = 30.0
_PUT_OFF_TIMES: Final = 20
"""What may not be read now is asked for less often: each time every name is looked at."""

_MIDST_S: Final = 5.0
"""Whoever asked so lately is in the midst of a file, all of whose reading would be in vain."""

_REST_SHARE, _LONGEST_REST_S = 3.0, 0.5
"""Of four moments one is read: where the disk is slow because others use it, that is little."""


class Settler:
    """Settles what it is told of, one directory after the other, in a thread of its own."""

    def __init__(
        self,
        tender: Tender,
        may_read: Callable[[], bool],
        *,
        again_s: float,
        clock: Clock,
        emit: Emit,
    ) -> None:
        """*may_read*: whole files, now. *again_s*: when what has to wait is looked at again."""
        self._tender = tender
        self._may_read = may_read
        self._again_s = again_s
        self._clock = clock
        self._emit = emit
        self._worker = Worker("watcher-upkeep", clock, self._failed)
        self._put_off, self._rested_s = False, -math.inf  # its thread's, as the next
        self._unsettled: dict[str, set[str]] = {}  # by directory

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def end(self) -> None:
        """Tell it to end; a read that runs is broken off."""
        self._worker.end()

    def join(self) -> None:
        """Wait for its end."""
        self._worker.stop()

    def is_idle(self) -> bool:
        """Say whether nothing is to be settled, now or later."""
        return self._worker.is_idle()

    def soon(self, job: Callable[[], None]) -> None:
        """Do *job* in turn."""
        self._worker.soon(job)

    def settle(self, directory: str, names: Sequence[str]) -> None:
        """Settle what stands beside the recordings *names*, in turn."""
        self._worker.soon(lambda: self._settle(directory, names))

    def _settle(self, directory: str, names: Sequence[str], *, again: bool = False) -> None:
        """Settle, and come back for what has to wait: a job ends without a word if it is killed."""
        self._put_off = False
        left = self._tender.settle(directory, names, self._politely, again=again)
        if left and directory not in self._unsettled:
            later_s = self._again_s * (_PUT_OFF_TIMES if self._put_off else 1)
            self._worker.soon(lambda: self._settle_again(directory), later_s)
        if left:
            self._unsettled.setdefault(directory, set()).update(left)

    def _settle_again(self, directory: str) -> None:
        self._settle(directory, sorted(self._unsettled.pop(directory, ())), again=True)

    def _politely(self) -> None:
        """Read a whole file in the window, while nobody needs the machine, and not in one go.

        It stands still no longer than a deletion does, for the directory's lock is held meanwhile;
        then it is broken off, and begins anew another time.
        """
        now_s = self._clock.monotonic_s()
        until_s = now_s + LONGEST_STAND_S if now_s - self._rested_s < _MIDST_S else now_s
        while not self._may_go_on():
            if self._clock.monotonic_s() >= until_s:
                self._put_off = True
                raise Aborted("later", "whole files are read while nobody needs the machine")
            self._worker.rest(_LONGEST_REST_S)
        read_s = now_s - self._rested_s
        self._worker.rest(min(_REST_SHARE * read_s, _LONGEST_REST_S))
        self._rested_s = self._clock.monotonic_s()

    def _may_go_on(self) -> bool:
        if self._worker.stopping:
            raise Aborted("shutdown", "told to stop: shutdown")
        return self._may_read()

    def _failed(self, job: str, error: Exception) -> None:
        self._emit("unexpected", where=f"upkeep, {job}", detail=f"{type(error).__name__}: {error}")
