"""The service in the foreground: signals in, exit code out.

SIGTERM (or SIGINT): let the running file finish, at most stop_timeout_seconds, else abort it; a
second one aborts at once. SIGHUP: reload; a bad file leaves the old values in force and says so.
SIGUSR1: dump the index. Handlers only note; the main thread acts, and waits in the kernel
meanwhile.
"""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from watcher.config import Config, ConfigError
from watcher.errors import WatcherError
from watcher.events import Emit, emit
from watcher.service import Service

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_STOP = (signal.SIGTERM, signal.SIGINT)


Follow = Callable[[Config, Config], None]
"""Told of the configuration that was in force, and of the one that is."""


def _unfollowed(_before: Config, _after: Config) -> None:
    """Nothing beside the service depends on the configuration."""


def run(
    service: Service,
    load: Callable[[], Config] | None,
    emit: Emit = emit,
    follow: Follow = _unfollowed,
) -> None:
    """Run *service* until it is told to stop; *load* reads its configuration anew (None: none)."""
    with _signals() as (came, wake):
        service.start()
        try:
            while _obey(service, came, wake, lambda: _reload(service, load, emit, follow), emit):
                pass
        finally:
            _stop(service, came, wake)


def _obey(
    service: Service,
    came: "deque[int]",
    wake: threading.Event,
    reload: Callable[[], None],
    emit: Emit,
) -> bool:
    """Wait for one signal and act upon it; False: it was one to stop."""
    wake.wait()
    wake.clear()
    while came:
        number = came.popleft()
        if number in _STOP:
            return False
        if number == signal.SIGUSR1:
            _dump(service, emit)
        elif number == signal.SIGHUP:
            reload()
    return True


def _dump(service: Service, emit: Emit) -> None:
    try:
        service.dump()
    except WatcherError as error:
        emit("dump_failed", detail=error.message)


def _reload(
    service: Service, load: Callable[[], Config] | None, emit: Emit, follow: Follow
) -> None:
    if load is None:
        emit("config_refused", mistakes=["this service was started with directories, not a file"])
        return
    try:
        before, after = service.config, load()
        service.reload(after)
        follow(before, after)
    except ConfigError as error:
        emit("config_refused", mistakes=[str(mistake) for mistake in error.mistakes])
    except WatcherError as error:
        emit("config_refused", mistakes=[error.message])


def _stop(service: Service, came: "deque[int]", wake: threading.Event) -> None:
    """Stop in another thread, so that a second signal can make it hurry."""
    stopping = threading.Thread(target=service.stop, name="watcher-stop")
    stopping.start()
    ended = threading.Thread(target=_wake_after, args=(stopping, wake), daemon=True)
    ended.start()
    while stopping.is_alive():
        wake.wait()
        wake.clear()
        if any(number in _STOP for number in came):
            service.hurry(0.0)
        came.clear()
    stopping.join()


def _wake_after(thread: threading.Thread, wake: threading.Event) -> None:
    thread.join()
    wake.set()


@contextmanager
def _signals() -> "Iterator[tuple[deque[int], threading.Event]]":
    came: deque[int] = deque()
    wake = threading.Event()

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        wake.set()

    before = {number: signal.signal(number, note) for number in _HANDLED}
    try:
        yield came, wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
