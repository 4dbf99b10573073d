"""The one lock of the observer's threads, and what is told after it was given back.

    with changes:
        ...                              # look, and tell the index
        changes.then(hooks.closed, segment)

Hooks and log events are called in the order in which they were collected, when the outermost block
ends, with no lock held: whoever listens may take locks of its own, ask the index, or take its time.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from watcher.events import Emit
from watcher.segments.inotify import remedy
from watcher.segments.tree import Directory, Root

LIMITS = ("watch_limit", "instance_limit")
"""What concerns thousands of directories at once, all for one reason: said of the first alone."""

HIDDEN = {
    "mounted_over": "a file system was mounted over it: what it held is hidden, not deleted",
    "unmounted": "its file system was unmounted: what it held is away, not deleted",
}
"""Why a directory is not what it was, though nobody touched it."""

REREAD = "nothing to do: it is read again"

_REMEDIES: dict[str, Callable[[], str]] = {
    "watch_limit": lambda: remedy("max_user_watches"),
    "instance_limit": lambda: remedy("max_user_instances"),
    "overflow": lambda: remedy("max_queued_events"),
    "permission": lambda: "let the service's user read and search this directory (r-x)",
    "unreadable": lambda: "see the kernel's log: the disk or its file system is failing",
    "mounted_over": lambda: "nothing to do, if the mount is meant: what it holds is read",
    "unmounted": lambda: "mount it again: that is noticed within 30 s",
    "root_absent": lambda: "it is waited for: mount its disk, or correct the camera's path",
}


class Changes:
    """Context manager: the lock, the counters, and what is to be told."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.tally: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        self.limited: set[str] = set()  # which of `LIMITS` is reached, and has been said to be
        self._lock = threading.RLock()
        self._depth = 0
        self._then: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        told: list[Callable[[], None]] = []
        if self._depth == 0 and self._then:
            told, self._then = self._then, told
        self._lock.release()
        for call in told:
            self.tell(call)

    @contextmanager
    def within(self, for_s: float) -> Iterator[bool]:
        """Take the lock if it can be had within *for_s*; gives whether it could."""
        if not self._lock.acquire(timeout=for_s):
            yield False
            return
        self._depth += 1
        try:
            yield True
        finally:
            self.__exit__(None, None, None)

    def then(self, call: Callable[..., None], *arguments: object) -> None:
        """Call a hook when the lock has been given back."""
        self._then.append(partial(call, *arguments))

    def say(self, event: str, **fields: object) -> None:
        """Emit a log event when the lock has been given back."""
        self._then.append(partial(self.emit, event, **fields))

    def tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Call a hook now; what it raises is logged, and hurts nobody here."""
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - a listener's fault must not end the events
            hook = call.func if isinstance(call, partial) else call
            where = f"segments, hook {getattr(hook, '__qualname__', hook)}"
            self.emit("unexpected", where=where, detail=f"{type(error).__name__}: {error}")

    def lost(
        self,
        cause: str,
        root: Root,
        detail: str,
        directory: Directory | None = None,
        remedy_: str | None = None,
    ) -> None:
        """Note that something is not heard of; said once for a directory and cause, or for all."""
        if directory:
            if directory.lost == cause:
                return
            directory.lost = cause
        self.losses[cause] += 1
        if cause in self.limited:
            return
        if cause in LIMITS:
            self.limited.add(cause)
            detail += "; so it is for further directories, which are counted and not said"
        self.say(
            "events_lost",
            camera=root.camera,
            root=root.path,
            path=directory.path if directory else root.path,
            cause=cause,
            detail=detail,
            remedy=remedy_ or remedy_for(cause),
            count=self.losses[cause],
        )

    def resynced(self, cause: str, root: str, removed: int) -> None:
        """Note that the index has given up what can't be seen any more. The lock is held."""
        self.tally["resyncs"] += 1
        self.say(
            "index_resynced",
            root=root,
            cause=cause,
            directories_compared=1,
            directories_read=0,
            added=0,
            removed=removed,
            duration_s=0.0,
        )


def remedy_for(cause: str) -> str:
    """What a person can do about it."""
    return _REMEDIES[cause]() if cause in _REMEDIES else REREAD
