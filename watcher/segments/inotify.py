"""The inotify instance that follows the recordings: what it is asked for, and its limits.

`inotify_fd` is the general part, which could be Watchdog's. Here stand what matters of a directory
of recordings, the one `Reader` that is told of everything, and what a person can do where one of
the kernel's limits is reached.

`read_up_to_s` says up to which moment every event is known to have been handed over: what a
directory went through before that moment cannot have been lost.
"""

import errno
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    Mask,
    WatchDescriptor,
)

from watcher.clock import Clock, SystemClock
from watcher.segments.inotify_fd import SteadyInotifyFD

IN_CREATE = InotifyConstants.IN_CREATE
IN_CLOSE_WRITE = InotifyConstants.IN_CLOSE_WRITE
IN_MOVED_FROM = InotifyConstants.IN_MOVED_FROM
IN_MOVED_TO = InotifyConstants.IN_MOVED_TO
IN_DELETE = InotifyConstants.IN_DELETE
IN_ATTRIB = InotifyConstants.IN_ATTRIB
IN_ISDIR = InotifyConstants.IN_ISDIR
IN_SELF_GONE = Mask(
    InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF | InotifyConstants.IN_UNMOUNT
)

DIRECTORY_MASK = Mask(
    IN_CREATE
    | IN_CLOSE_WRITE
    | IN_MOVED_FROM
    | IN_MOVED_TO
    | IN_DELETE
    | IN_ATTRIB  # a copying tool sets the old mtime after its close: that is the age
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
"""What matters of a directory: never that a file was opened, read or modified."""

_LIMITS = Path("/proc/sys/fs/inotify")
_WANTED = {"max_user_watches": 1_048_576, "max_user_instances": 1_024, "max_queued_events": 131_072}
_LARGEST_STEP_S = 1.0


class Reader(Protocol):
    """Who is told of what happens to the queue, beside the callbacks of single watches."""

    def on_event(self, event: InotifyEvent) -> None:
        """An event of one of the watches."""

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The kernel took a watch away: its directory is gone, or its file system unmounted."""

    def on_queue_overflow(self) -> None:
        """The kernel dropped events; the watches are kept."""

    def on_batch_end(self) -> None:
        """Everything that was read at once has been handed over."""

    def on_error(self, event: InotifyEvent, error: Exception) -> None:
        """A callback raised; reading goes on."""

    def on_death(self, error: Exception) -> None:
        """Reading itself failed; the thread ends."""


class Inotify(SteadyInotifyFD):
    """One inotify instance and the thread that reads it, on behalf of one `Reader`."""

    def __init__(self, reader: Reader, clock: Clock | None = None) -> None:
        super().__init__()  # raises OSError: EMFILE, where the instances are used up
        self.name = "inotify"
        self._read_up_to: tuple[float, float] | None = None
        self._reader = reader
        self._clock = clock or SystemClock()

    def watch(self, path: bytes, mask: Mask = DIRECTORY_MASK) -> int:
        """Watch *path*; the descriptor of the same inode is always the same.

        Raises OSError: ENOSPC where the watches are used up, EACCES, ENOENT.
        """
        return self.add_callback(path, mask, _Callback(self._reader), CallbackId(0))

    def unwatch(self, wd: int) -> None:
        """Take a watch down; harmless if the kernel did so before."""
        try:
            self.remove_callbacks([(WatchDescriptor(wd), CallbackId(0))])
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise

    def watches(self) -> int:
        """How many watches are up."""
        return len(self._watch_for_wd)

    def read_up_to_s(self) -> float | None:
        """Up to which moment (wall time) every event was handed over.

        None where that can't be said: nothing was read yet, or the clock was set meanwhile.
        """
        if self._read_up_to is None:
            return None
        wall_s, boot_s = self._read_up_to
        step_s = (self._clock.wall_s() - wall_s) - (self._clock.boot_s() - boot_s)
        return wall_s if abs(step_s) < _LARGEST_STEP_S else None

    def read_once(self) -> bool:
        """Read and hand over, and note up to when that was everything."""
        asked = (self._clock.wall_s(), self._clock.boot_s())
        took_all = super().read_once()
        if took_all:
            self._read_up_to = asked
        return took_all

    def on_overflow(self) -> None:
        """Tell the reader once, not once a watch."""
        self._reader.on_queue_overflow()

    def on_batch_end(self) -> None:
        """Tell the reader."""
        self._reader.on_batch_end()

    def on_callback_error(self, event: InotifyEvent, error: Exception) -> None:
        """Tell the reader."""
        self._reader.on_error(event, error)

    def on_death(self, error: Exception) -> None:
        """Tell the reader."""
        self._reader.on_death(error)


class _Callback:
    """What Watchdog calls for one watch; overflow never comes this way."""

    __slots__ = ("on_event", "on_watch_deleted")

    def __init__(self, reader: Reader) -> None:
        self.on_event: Callable[[InotifyEvent], None] = reader.on_event
        self.on_watch_deleted: Callable[[WatchDescriptor], None] = reader.on_watch_deleted

    def on_queue_overflow(self) -> None:
        """Never called: `Inotify.on_overflow` tells the reader once, not once a watch."""


def limit(name: str, directory: Path = _LIMITS) -> int | None:
    """Give one of the kernel's inotify limits; None where it does not tell."""
    try:
        return int((directory / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def remedy(name: str, directory: Path = _LIMITS) -> str:
    """Say what to do where the limit *name* was reached: to what to raise it, and what then."""
    now, wanted = limit(name, directory), _WANTED[name]
    if name == "max_queued_events":
        return _longer_queue(now, wanted)
    advice = _raise(name, now, max(wanted, 2 * (now or 0)))
    if name == "max_user_instances":
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        advice += (
            f"; or else this process has as many files open as it may ({most}): raise LimitNOFILE="
            " in its unit (ulimit -n)"
        )
    return advice


def _longer_queue(now: int | None, wanted: int) -> str:
    """The kernel reads this limit when an instance is made: raising it does nothing for one."""
    if now is None or now < wanted:
        return f"{_raise('max_queued_events', now, wanted)}, then restart the service"
    return (
        f"fs.inotify.max_queued_events is {now}, which is as much as is advised: what was missed is"
        " found out; if it was raised after the service had started, restart the service"
    )


def _raise(name: str, now: int | None, wanted: int) -> str:
    return (
        f"fs.inotify.{name} is {now}; set it to {wanted}: write 'fs.inotify.{name} = {wanted}' to"
        f" /etc/sysctl.d/60-watcher-inotify.conf and run 'sysctl --system'"
    )
