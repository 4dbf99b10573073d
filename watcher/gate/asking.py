"""Questions to what may hang: a disk, a network share, a host application; asked, not waited for.

Each is put in one of a few lasting threads. Who asks waits for a moment; what has not been answered
by then is not asked a second time, and answers with `NoAnswer` at once until it is. So a share that
hangs costs one moment, and one thread, however often it is looked at; where `most` hang, nobody is
asked any more. What silence means is for who asks to say: here it is never taken for consent.
"""

import errno
import queue
import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from watcher.clock import Clock, SystemClock

WITHIN_S: Final = 0.25
"""So long is waited for an answer while a job may have to stand still meanwhile."""

MOST: Final = 6
"""So many threads at most: the first look at as many that hang takes less than two seconds."""

_T = TypeVar("_T")


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

    def __init__(self, about: Hashable, ask: Callable[[], Any], put_s: float) -> None:
        self.about = about
        self.put_s = put_s
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
        self, *, within_s: float = WITHIN_S, most: int = MOST, clock: Clock | None = None
    ) -> None:
        self._within_s = within_s
        self._most = most
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._open: dict[Hashable, _Question] = {}
        self._put: queue.SimpleQueue[_Question] = queue.SimpleQueue()
        self._threads = 0

    def ask(self, about: Hashable, question: Callable[[], _T], within_s: float | None = None) -> _T:
        """Put *question*, or wait for the answer of one *about* the same; raise `NoAnswer`."""
        asked = self._asked(about, question)
        if not asked.done.wait(self._patience_s(asked, within_s)):
            asked.missed += 1
            raise NoAnswer(self._clock.monotonic_s() - asked.put_s, asked.missed)
        answer: _T = asked.answer()
        return answer

    def _patience_s(self, asked: _Question, within_s: float | None) -> float:
        """How long to wait: no longer than usual while another has not been answered in time."""
        if asked.missed:
            return 0.0
        with self._lock:
            something_hangs = any(one.missed for one in self._open.values())
        if within_s is None:
            return self._within_s
        return min(within_s, self._within_s) if something_hangs else within_s

    def _asked(self, about: Hashable, question: Callable[[], _T]) -> _Question:
        now_s = self._clock.monotonic_s()
        with self._lock:
            known = self._open.get(about)
            if known is not None:
                return known
            if len(self._open) >= self._most:
                oldest = min(self._open.values(), key=lambda one: one.put_s)
                oldest.missed += 1
                raise NoAnswer(now_s - oldest.put_s, oldest.missed)
            asked = self._open[about] = _Question(about, question, now_s)
            if self._threads < len(self._open):
                self._threads += 1
                threading.Thread(target=self._serve, name="watcher-asks", daemon=True).start()
        self._put.put(asked)
        return asked

    def _serve(self) -> None:
        while True:
            asked = self._put.get()
            asked.put()
            with self._lock:
                del self._open[asked.about]
            asked.done.set()


ASKER: Final = Asker()
"""The one for all of this process, so that the bound is one."""


def patient(
    question: Callable[[str], _T], within_s: float | None = None, asker: Asker = ASKER
) -> Callable[[str], _T]:
    """Give *question*, of a path, as one that raises `NoAnswer` instead of hanging."""

    def ask(path: str) -> _T:
        return asker.ask((question, path), lambda: question(path), within_s)

    return ask
