"""Watchdog's inotify reader, made to lose nothing unnoticed. Knows nothing of recordings.

Watchdog 7.1's `InotifyFD` reads the kernel's queue and finds the callback of each watch. This
subclass keeps that and mends what it does where things go wrong; it is written so that it could go
upstream as it stands:

- After a queue overflow the watches are still valid. Watchdog takes all of them down and walks the
  tree to put them up again, which overflows the queue again where directories outnumber it. Here
  they are kept, and `on_overflow` is told; whoever listens compares what may have changed.
- An exception in a callback ends Watchdog's thread, silently. Here it is told, and reading goes on.
- `inotify_add_watch` failing with EACCES is registered under the descriptor -1. Here it raises.
- Watching a directory again warns with the list of all watches. Here the callback is replaced.
- A descriptor that gives nothing to read makes Watchdog's thread spin for ever. Here it ends it.
- The descriptor is not inherited by child processes.

`read_up_to_s` says up to which moment every event is known to have been handed over: what a
directory went through before that moment cannot have been lost.
"""

import ctypes
import errno
import fcntl
import os
import struct
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
)

from watcher.clock import Clock, SystemClock

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
_LONGEST_EVENT = 16 + 256
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


class Inotify(InotifyFD):
    """One inotify instance and the thread that reads it, on behalf of one `Reader`."""

    def __init__(self, reader: Reader, clock: Clock | None = None) -> None:
        super().__init__()  # raises OSError: EMFILE, where the instances are used up
        os.set_inheritable(self._inotify_fd, False)
        self.name = "inotify"
        self._read_up_to: tuple[float, float] | None = None
        self._reader = reader
        self._clock = clock or SystemClock()
        self._took_all = False
        self._read_nothing = False
        self._busy = threading.Event()

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

    def pending_bytes(self) -> int:
        """How much waits in the kernel's queue."""
        if self._closed:
            return 0
        buffer = fcntl.ioctl(self._inotify_fd, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", buffer)[0])

    def read_up_to_s(self) -> float | None:
        """Up to which moment (wall time) every event was handed over.

        None where that can't be said: nothing was read yet, or the clock was set meanwhile.
        """
        if self._read_up_to is None:
            return None
        wall_s, boot_s = self._read_up_to
        step_s = (self._clock.wall_s() - wall_s) - (self._clock.boot_s() - boot_s)
        return wall_s if abs(step_s) < _LARGEST_STEP_S else None

    def is_idle(self) -> bool:
        """Whether everything that happened before this call has been handed over."""
        return self.pending_bytes() == 0 and not self._busy.is_set()

    def run(self) -> None:
        """Read and hand over until stopped; see `Reader.on_death` for the other end."""
        try:
            while self.should_keep_running():
                self._read_once()
        except Exception as error:  # noqa: BLE001 - told, counted, and mended by a new instance
            with self._lock:
                self._is_reading = False  # so that close() closes the descriptors by itself
            self._reader.on_death(error)

    def handle_event(self, event: InotifyEvent) -> None:
        """Hand one event over; nothing that a callback does ends the stream."""
        try:
            if event.is_queue_overflow:
                self._reader.on_queue_overflow()
            else:
                super().handle_event(event)
        except Exception as error:  # noqa: BLE001
            self._reader.on_error(event, error)

    def _read_once(self) -> None:
        asked = (self._clock.wall_s(), self._clock.boot_s())
        try:
            events = self.read_events()
            if not events and self._read_nothing and self.should_keep_running():
                raise OSError(errno.EBADF, "the inotify descriptor gives nothing to read")
            overflown = False
            for event in events:
                overflown = overflown or event.is_queue_overflow
                self.handle_event(event)
            if events:
                self._reader.on_batch_end()
            if self._took_all and not overflown:
                self._read_up_to = asked
        finally:
            self._busy.clear()

    def _check_inotify_fd(self) -> bool:
        ready = super()._check_inotify_fd()
        if ready:
            self._busy.set()  # before the read, so that is_idle never looks between the two
        return ready

    def _read_event_buffer(self, event_buffer_size: int) -> bytes:
        buffer = super()._read_event_buffer(event_buffer_size)
        self._read_nothing = not buffer
        self._took_all = len(buffer) + _LONGEST_EVENT <= event_buffer_size
        return buffer

    def _add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        watch = self._get_or_create_watch(path, mask)
        watch.callbacks[id_] = callback
        return watch.wd

    def _get_or_create_watch(self, path: bytes, mask: Mask) -> Watch:
        wd = inotify_add_watch(self._inotify_fd, path, mask)
        if wd == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        watch = self._watch_for_wd.get(wd)
        if watch is None:
            watch = self._watch_for_wd[wd] = Watch(wd, mask, path)
        return watch


class _Callback:
    """What Watchdog calls for one watch; overflow never comes this way."""

    __slots__ = ("on_event", "on_watch_deleted")

    def __init__(self, reader: Reader) -> None:
        self.on_event: Callable[[InotifyEvent], None] = reader.on_event
        self.on_watch_deleted: Callable[[WatchDescriptor], None] = reader.on_watch_deleted

    def on_queue_overflow(self) -> None:
        """Never called: `Inotify.handle_event` tells the reader once, not once a watch."""


def limit(name: str, directory: Path = _LIMITS) -> int | None:
    """Give one of the kernel's inotify limits; None where it does not tell."""
    try:
        return int((directory / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def remedy(name: str) -> str:
    """Say which limit to raise, and to what."""
    now = limit(name)
    wanted = max(_WANTED[name], 2 * (now or 0))
    return (
        f"fs.inotify.{name} is {now}; set it to {wanted}: write 'fs.inotify.{name} = {wanted}' to"
        f" /etc/sysctl.d/60-watcher-inotify.conf and run 'sysctl --system'"
    )
