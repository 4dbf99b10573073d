"""Questions to what may hang: a disk, a network share, a host application; asked, not waited for.

Each is put in one of a few lasting threads. Who asks waits for a moment; what has not been answered
by then is not asked a second time, and answers with `NoAnswer` at once until it is. An answer that
came late is given to who asks next: a disk that always takes longer than a moment is heard all the
same. What has not answered for a while keeps all of its mount point from being asked, as do several
such questions at once, or the many directories of one share, or the many shares of one server,
would take every thread from those who answer. So a share that hangs costs
a moment, and a few threads, however often and wherever it is looked at; where `most` hang, nobody
is asked any more. What silence means is for who asks to say: here it is never taken for consent.
"""

import errno
import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from watcher.clock import Clock, SystemClock
from watcher.segments.filesystems import Mount, mount_of, read_mounts

WITHIN_S: Final = 0.25
"""So long is waited for an answer while a job may have to stand still meanwhile."""

MOST: Final = 16
"""So many threads at most; the more hang, the less is waited for each further one."""

LATE_S: Final = 5.0
"""An answer that came late is given so long after the question at most, unless told otherwise."""

MOUNT_S: Final = 1.0
"""What has not answered for so long speaks for all of its mount point."""

_T = TypeVar("_T")
_SHARED: Final = 4.0
_OF_ONE_MOUNT: Final = 4

_TIMES: Final = 3
"""Who looks may have been starved of CPU, and so may the thread that asks: a single look that
found no answer, however late, says nothing of a disk."""


class NoAnswer(OSError):  # noqa: N818 - it may still come
    """Not answered yet, for *for_s*, at *times* looks. To who asks no further: an I/O error."""

    def __init__(self, for_s: float, times: int) -> None:
        super().__init__(errno.EIO, "no answer: its disk or network share hangs")
        self.for_s = for_s
        self.times = times

    def hangs(self, after_s: float) -> bool:
        """Say whether that is to be taken for hanging, by who waits for *after_s*."""
        return self.for_s >= after_s and self.times >= _TIMES


class _Question:
    """One that was put, and what came of it."""

    def __init__(
        self, about: Hashable, ask: Callable[[], Any], put_s: float, late_s: float, path: str | None
    ) -> None:
        self.about = about
        self.put_s = put_s
        self.stale_s = put_s + late_s
        self.path = path
        self.missed = 0
        self.done = threading.Event()
        self._ask = ask
        self._answer: Any = None
        self._error: BaseException | None = None

    def put(self) -> None:
        try:
            self._answer = self._ask()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked
            self._error = error

    def answer(self) -> Any:  # noqa: ANN401 - whatever was asked for
        if self._error is not None:
            raise self._error
        return self._answer


class Asker:
    """Asks; any thread may, and who asks the same at the same time shares the answer."""

    def __init__(
        self,
        *,
        within_s: float = WITHIN_S,
        most: int = MOST,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
        clock: Clock | None = None,
    ) -> None:
        self._within_s = within_s
        self._most = most
        self._mounts = mounts
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._open: dict[Hashable, _Question] = {}
        self._late: dict[Hashable, _Question] = {}
        self._put: queue.SimpleQueue[_Question] = queue.SimpleQueue()
        self._threads = 0

    def ask(
        self,
        about: Hashable,
        question: Callable[[], _T],
        within_s: float | None = None,
        *,
        path: str | None = None,
        late_s: float = LATE_S,
    ) -> _T:
        """Put *question*, or wait for the answer of one *about* the same; raise `NoAnswer`.

        *path*: what has to be touched for it, if anything. *late_s*: how old a late answer may be.
        """
        asked = self._asked(about, question, path, late_s)
        if not asked.done.wait(self._patience_s(asked, within_s)):
            raise self._missed(asked)
        answer: _T = asked.answer()
        return answer

    def _missed(self, asked: _Question) -> NoAnswer:
        asked.missed += 1
        return NoAnswer(self._clock.monotonic_s() - asked.put_s, asked.missed)

    def _patience_s(self, asked: _Question, within_s: float | None) -> float:
        """How long to wait: the less, the more others have not been answered in time."""
        if asked.missed:
            return 0.0
        with self._lock:
            missed = sum(one.missed > 0 for one in self._open.values())
        if within_s is None or missed:
            within_s = min(within_s or self._within_s, self._within_s)
        return within_s / (1 + missed / _SHARED)

    def _asked(
        self, about: Hashable, question: Callable[[], Any], path: str | None, late_s: float
    ) -> _Question:
        now_s = self._clock.monotonic_s()
        with self._lock:
            known = self._open.get(about) or self._late.pop(about, None)
            if known is not None and (not known.done.is_set() or now_s < known.stale_s):
                return known
            silent = self._silent(path, now_s)
            if silent is None and len(self._open) >= self._most:
                silent = min(self._open.values(), key=lambda one: one.put_s)
            if silent is not None:
                raise self._missed(silent)
            asked = self._open[about] = _Question(about, question, now_s, late_s, path)
            if self._threads < len(self._open):
                self._threads += 1
                threading.Thread(target=self._serve, name="watcher-asks", daemon=True).start()
        self._put.put(asked)
        return asked

    def _silent(self, path: str | None, now_s: float) -> _Question | None:
        """The question that speaks for the mount point of *path*, if one has gone unanswered.

        Or where as many have as one mount point may keep threads: the fewer are left, the fewer.
        Not for the root: links lie there that lead to other file systems.
        """
        missed = [
            one for one in self._open.values() if path is not None and one.path and one.missed
        ]
        if path is None or not missed:
            return None
        mounts = self._mounts()
        mine = mount_of(path, mounts)
        if mine is None or mine.point == "/":
            return None
        there = [one for one in missed if mount_of(one.path or "/", mounts) == mine]
        most = max(1, (self._most - len(self._open)) // _OF_ONE_MOUNT)
        speaks = len(there) >= most or any(now_s - one.put_s >= MOUNT_S for one in there)
        return min(there, key=lambda one: one.put_s) if speaks else None

    def _serve(self) -> None:
        while True:
            asked = self._put.get()
            asked.put()
            now_s = self._clock.monotonic_s()
            with self._lock:
                del self._open[asked.about]
                if asked.missed:
                    self._late = {at: one for at, one in self._late.items() if now_s < one.stale_s}
                    self._late[asked.about] = asked
                asked.done.set()


ASKER: Final = Asker()
"""The one for all of this process, so that the bound is one."""


def patient(
    question: Callable[[str], _T], within_s: float | None = None, asker: Asker = ASKER
) -> Callable[[str], _T]:
    """Give *question*, of a path, as one that raises `NoAnswer` instead of hanging."""

    def ask(path: str) -> _T:
        return asker.ask((question, path), lambda: question(path), within_s, path=path)

    return ask
