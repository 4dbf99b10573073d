"""Watchdog's inotify reader, made to lose nothing unnoticed.

`InotifyFD` of Watchdog 7.1 reads the kernel's queue and finds the callbacks of each watch. This
subclass needs nothing but Watchdog and the standard library, and changes what `InotifyFD` does
where things go wrong; it is meant to be proposed to Watchdog:

- After a queue overflow the watches are still valid. Watchdog's observers answer by taking all of
  them down and walking the tree to put them up again, which overflows the queue again where
  directories outnumber it. Here `on_overflow` is called once, and the watches stay; whoever
  listens compares what may have changed.
- An exception in a callback ends the thread, and is told by nobody but `threading.excepthook`. Here
  `on_callback_error` is called, and reading goes on. Where reading itself fails, `on_death` is.
- `inotify_add_watch` that fails with EACCES is registered under the descriptor -1. Here it raises.
- A callback that replaces another one under its id is warned of, with a text that is made of the
  watch each time. Here it replaces it: a path that is watched again has the same descriptor.
- A descriptor that is ready and gives nothing to read makes the thread spin for ever. Here it ends.
- The descriptor was inherited by child processes. Here it is closed on exec from the start on.
- What was stopped before its thread began to read kept its three descriptors, and one that got no
  pipe the first. Here they are closed: where descriptors are used up, each try took another.
"""

import ctypes
import errno
import fcntl
import logging
import os
import struct
import termios
import threading

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyEvent,
    InotifyFD,
    Mask,
    Watch,
    WatchCallback,
    WatchDescriptor,
    inotify_add_watch,
)

_LOG = logging.getLogger(__name__)
_LONGEST_EVENT = 16 + 256
_LIBC = ctypes.CDLL(None, use_errno=True)


class SteadyInotifyFD(InotifyFD):
    """One inotify instance and the thread that reads it; subclasses listen by overriding `on_…`."""

    def __init__(self) -> None:
        """Raise OSError where no instance can be had (EMFILE: of this user, or descriptors)."""
        self._inotify_fd = -1
        try:
            super().__init__()
        except OSError:
            if self._inotify_fd >= 0:
                os.close(self._inotify_fd)
            raise
        self._is_reading = False  # else close() leaves closing to a thread that may never read
        self._took_all = False
        self._read_nothing = False
        self._busy = threading.Event()

    # What may be overridden. All are called by the reading thread, with no lock held.

    def on_overflow(self) -> None:
        """The kernel dropped events; the watches are kept."""
        with self._lock:
            watches = list(self._watch_for_wd.values())
            callbacks = {id(one): one for watch in watches for one in watch.callbacks.values()}
        for callback in callbacks.values():
            callback.on_queue_overflow()

    def on_batch_end(self) -> None:
        """Everything that was read at once has been handed over."""

    def on_callback_error(self, event: InotifyEvent, error: Exception) -> None:
        """A callback raised; reading goes on."""
        _LOG.error("a callback failed for %r; reading goes on", event, exc_info=error)

    def on_death(self, error: Exception) -> None:
        """Reading itself failed; the thread ends."""
        _LOG.error("inotify can't be read any more", exc_info=error)

    # What can be asked.

    def pending_bytes(self) -> int:
        """How much waits in the kernel's queue."""
        try:
            if self._closed:
                return 0
            buffer = fcntl.ioctl(self._inotify_fd, termios.FIONREAD, b"\0\0\0\0")
        except OSError:
            with self._lock:
                if not self._closed:  # else between the look and the question
                    raise
            return 0
        return int(struct.unpack("i", buffer)[0])

    def is_idle(self) -> bool:
        """Whether everything that happened before this call has been handed over."""
        return self.pending_bytes() == 0 and not self._busy.is_set()

    # The reading.

    def run(self) -> None:
        """Read and hand over until stopped; see `on_death` for the other end."""
        try:
            while self.should_keep_running():
                self.read_once()
        except Exception as error:  # noqa: BLE001 - told to whoever can make another instance
            with self._lock:
                self._is_reading = False  # so that close() closes the descriptors by itself
            self.on_death(error)

    def read_once(self) -> bool:
        """Wait, read and hand over; whether that was all there was, and nothing was dropped."""
        try:
            events = self.read_events()
            if not events and self._read_nothing and self.should_keep_running():
                raise OSError(errno.EBADF, "the inotify descriptor gives nothing to read")
            overflown = False
            for event in events:
                overflown = overflown or event.is_queue_overflow
                self.handle_event(event)
            if events:
                self.on_batch_end()
            return self._took_all and not overflown
        finally:
            self._busy.clear()

    def handle_event(self, event: InotifyEvent) -> None:
        """Hand one event over; nothing that a callback does ends the stream."""
        try:
            if event.is_queue_overflow:
                self.on_overflow()
            else:
                super().handle_event(event)
        except Exception as error:  # noqa: BLE001
            self.on_callback_error(event, error)

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

    @classmethod
    def _create_inotify_fd(cls) -> int:
        descriptor = int(_LIBC.inotify_init1(os.O_CLOEXEC))
        if descriptor == -1:
            raise _error()
        return descriptor

    def _add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        watch = self._get_or_create_watch(path, mask)
        watch.callbacks[id_] = callback
        return watch.wd

    def _get_or_create_watch(self, path: bytes, mask: Mask) -> Watch:
        wd = inotify_add_watch(self._inotify_fd, path, mask)
        if wd == -1:
            raise _error(path)
        watch = self._watch_for_wd.get(wd)
        if watch is None:
            watch = self._watch_for_wd[wd] = Watch(wd, mask, path)
        return watch


def _error(*about: bytes) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), *about)
