"""The service in the foreground: signals in, exit code out.

SIGTERM (or SIGINT): let the running file finish, at most stop_timeout_seconds, else abort it; a
second one aborts at once. SIGHUP: reload; a bad file leaves the old values in force and says so,
and what waits for the running file is told; one that comes meanwhile takes its place. SIGUSR1:
dump the index.

Handlers only note; the main thread acts, and waits in the kernel meanwhile: for a byte in a pipe,
because of two signals at once the kernel may give the second to another thread, and a main thread
that waits for a lock would never hear of it.
"""

import contextlib
import os
import select
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


_CHUNK_BYTES = 4096

Follow = Callable[[Config, Config], None]
"""Told of the configuration that was in force, and of the one that is."""


def _unfollowed(_before: Config, _after: Config) -> None:
    """Nothing beside the service depends on the configuration."""


class Bell:
    """Something to wait for that a signal can ring, whichever thread the kernel gives it to."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Give the end that rings it: for `signal.set_wakeup_fd`."""
        return self._write

    def ring(self) -> None:
        """Wake whoever waits, or will."""
        with contextlib.suppress(BlockingIOError):  # full: it rings already
            os.write(self._write, b"\0")

    def wait(self) -> None:
        """Wait until it has rung since the last time."""
        select.select([self._read], [], [])
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, _CHUNK_BYTES):
                pass

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._read)
        os.close(self._write)


def run(
    service: Service,
    load: Callable[[], Config] | None,
    emit: Emit = emit,
    follow: Follow = _unfollowed,
) -> None:
    """Run *service* until it is told to stop; *load* reads its configuration anew (None: none)."""
    with _signals() as (came, wake):
        service.start()
        stops = 0
        try:
            reload = _Reload(service, load, emit, follow)
            while not stops:
                stops = _obey(service, came, wake, reload, emit)
        finally:
            within_s = 0.0 if stops > 1 else None
            _attended(lambda: service.stop(within_s), service, came, wake, stops=1)


def _obey(
    service: Service,
    came: "deque[int]",
    wake: Bell,
    reload: "_Reload",
    emit: Emit,
) -> int:
    """Wait for signals and act upon them; says how many of them were to stop."""
    wake.wait()
    stops = 0
    while came and not stops:
        number = came.popleft()
        if number in _STOP:
            stops = 1
        elif number == signal.SIGUSR1:
            _dump(service, emit)
        elif number == signal.SIGHUP:
            stops = _attended(reload, service, came, wake, meanwhile=reload.meanwhile)
    return stops


def _dump(service: Service, emit: Emit) -> None:
    def then(came: str | WatcherError) -> None:
        if isinstance(came, WatcherError):
            emit("dump_failed", detail=came.message)

    service.dumping.ask(then)


class _Reload:
    """What SIGHUP asks for; *meanwhile*: what is done of other signals while one waits."""

    def __init__(
        self, service: Service, load: Callable[[], Config] | None, emit: Emit, follow: Follow
    ) -> None:
        self._service = service
        self._load = load
        self._emit = emit
        self._follow = follow

    def __call__(self) -> None:
        service = self._service

        def take(before: Config, after: Config) -> bool:
            service.reload(after, lambda: self._follow(before, after))
            return True

        self._try(take)

    def meanwhile(self, number: int) -> bool:
        """Obey a signal while a reload waits for the running file; False: it has to wait, too.

        A second SIGHUP may be what is to end that file: its configuration takes the place of the
        first one's.
        """
        if number == signal.SIGUSR1:
            _dump(self._service, self._emit)
            return True
        waits = self._service.pending.config is not None
        return number == signal.SIGHUP and waits and self._amend()

    def _amend(self) -> bool:
        def take(before: Config, after: Config) -> bool:
            amended = self._service.amend(after)
            if amended:
                self._follow(before, after)
            return amended

        return self._try(take)

    def _try(self, take: Callable[[Config, Config], bool]) -> bool:
        """Read the configuration, and *take* it; one that is refused is done with."""
        if self._load is None:
            mistakes = ["this service was started with directories, not a file"]
        else:
            try:
                return take(self._service.pending.config or self._service.config, self._load())
            except ConfigError as error:
                mistakes = [str(mistake) for mistake in error.mistakes]
            except WatcherError as error:
                mistakes = [error.message]
        self._emit("config_refused", mistakes=mistakes)
        return True


def _attended(
    work: Callable[[], None],
    service: Service,
    came: "deque[int]",
    wake: Bell,
    *,
    stops: int = 0,
    meanwhile: Callable[[int], bool] = lambda _: False,
) -> int:
    """Do what waits for the running file in another thread, and obey the signals to stop meanwhile.

    The first gives the file stop_timeout_seconds, each further one aborts it; *stops* have come
    before, and how many have come in all is given back. Other signals wait until *work* is done,
    unless *meanwhile* has obeyed them.
    """
    done, wrong, others = threading.Event(), list[BaseException](), list[int]()

    def body() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again, in the thread that asked
            wrong.append(error)
        finally:
            done.set()
            wake.ring()

    thread = threading.Thread(target=body, name="watcher-attended")
    thread.start()
    while not done.is_set():
        while came:  # what came together with the signal that began this woke nobody for it
            number = came.popleft()
            if number not in _STOP:
                if not meanwhile(number):
                    others.append(number)
                continue
            stops += 1
            service.hurry(0.0 if stops > 1 else service.config.transcoding.stop_timeout_seconds)
        wake.wait()
    thread.join()
    came.extendleft(reversed(others))
    if came:
        wake.ring()
    if wrong:
        raise wrong[0]
    return stops


@contextmanager
def _signals() -> "Iterator[tuple[deque[int], Bell]]":
    came: deque[int] = deque()
    wake = Bell()

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        wake.ring()  # once more: the first ring may have been heard before this ran

    fd_before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, note) for number in _HANDLED}
    try:
        yield came, wake
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)
        wake.close()
