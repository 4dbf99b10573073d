"""An asker for tests of what is asked: it answers at once, in the thread that asks."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from watcher.gate.asking import Asker

_T = TypeVar("_T")


class AtOnce(Asker):
    def ask(
        self,
        about: Hashable,
        question: Callable[[], _T],
        within_s: float | None = None,
        *,
        path: str | None = None,
        late_s: float = 0.0,
    ) -> _T:
        del about, within_s, path, late_s
        return question()
