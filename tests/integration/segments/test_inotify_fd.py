"""The general part of the inotify reader, by itself: nothing else of the house is used here."""

import ast
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from watcher.segments import inotify_fd
from watcher.segments.inotify_fd import SteadyInotifyFD

MASK = Mask(InotifyConstants.IN_CREATE | InotifyConstants.IN_DELETE_SELF)
OVERFLOW = InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b"")


class Callback:
    """Keeps what it is told; raises where it is to."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.changed = threading.Condition()
        self.wrong: Exception | None = None

    def on_event(self, event: InotifyEvent) -> None:
        if self.wrong:
            wrong, self.wrong = self.wrong, None
            raise wrong
        self._tell(os.fsdecode(event.name))

    def on_watch_deleted(self, _wd: WatchDescriptor) -> None:
        self._tell("(deleted)")

    def on_queue_overflow(self) -> None:
        self._tell("(overflow)")

    def until(self, what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: what in self.told, 30), self.told

    def _tell(self, what: str) -> None:
        with self.changed:
            self.told.append(what)
            self.changed.notify_all()


class Listening(SteadyInotifyFD):
    """Keeps what is called, and lets the rest happen."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []
        self.deaths: list[Exception] = []
        self.batches = 0

    def on_batch_end(self) -> None:
        self.batches += 1

    def on_callback_error(self, event: InotifyEvent, error: Exception) -> None:
        super().on_callback_error(event, error)
        self.errors.append(error)

    def on_death(self, error: Exception) -> None:
        super().on_death(error)
        self.deaths.append(error)


@pytest.fixture
def inotify() -> Iterator[Listening]:
    inotify = Listening()
    inotify.start()
    yield inotify
    inotify.stop()
    inotify.join()


def watch(inotify: InotifyFD, path: Path, callback: Callback) -> int:
    return inotify.add_callback(os.fsencode(path), MASK, callback, CallbackId(0))


def wait_for(what: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3_000):
        if what():
            return
        pause.wait(0.01)
    raise AssertionError("still not so")


def test_after_an_overflow_the_watches_are_kept_and_each_listener_is_told_once(
    inotify: Listening, tmp_path: Path
) -> None:
    callback = Callback()
    for name in "abc":
        (tmp_path / name).mkdir()
        watch(inotify, tmp_path / name, callback)
    inotify.handle_event(OVERFLOW)
    assert callback.told == ["(overflow)"]
    (tmp_path / "c/new").touch()
    callback.until("new")


def test_a_callback_that_raises_is_told_and_the_next_event_comes(
    inotify: Listening, tmp_path: Path
) -> None:
    callback = Callback()
    callback.wrong = RuntimeError("no")
    watch(inotify, tmp_path, callback)
    (tmp_path / "first").touch()
    (tmp_path / "second").touch()
    callback.until("second")
    assert [str(error) for error in inotify.errors] == ["no"]
    assert inotify.deaths == []


def test_a_path_that_cannot_be_watched_raises_whatever_the_reason(
    inotify: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        watch(inotify, tmp_path / "gone", Callback())
    monkeypatch.setattr(inotify_fd, "inotify_add_watch", lambda *_: -1)
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EACCES)
    with pytest.raises(PermissionError):
        watch(inotify, tmp_path, Callback())
    assert -1 not in inotify._watch_for_wd


def test_watching_again_replaces_the_callback_without_a_warning(
    inotify: Listening, tmp_path: Path
) -> None:
    before, after = Callback(), Callback()
    assert watch(inotify, tmp_path, before) == watch(inotify, tmp_path, after)
    (tmp_path / "new").touch()
    after.until("new")
    assert before.told == []


def test_a_watch_that_the_kernel_took_away_is_told(inotify: Listening, tmp_path: Path) -> None:
    callback = Callback()
    (tmp_path / "d").mkdir()
    watch(inotify, tmp_path / "d", callback)
    (tmp_path / "d").rmdir()
    callback.until("(deleted)")


def test_a_descriptor_that_gives_nothing_to_read_ends_the_thread(
    inotify: Listening, tmp_path: Path
) -> None:
    callback = Callback()
    watch(inotify, tmp_path, callback)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, inotify._inotify_fd)  # ready for ever, and at its end
    os.close(nothing)
    os.write(inotify._kill_w, b"!")  # it may be waiting for the one that was there
    inotify.join(30)
    assert not inotify.is_alive()
    assert [error.errno for error in inotify.deaths if isinstance(error, OSError)] == [errno.EBADF]


def test_no_child_process_inherits_the_descriptor(inotify: Listening) -> None:
    assert not os.get_inheritable(inotify._inotify_fd)
    code = f"import os; os.fstat({inotify._inotify_fd})"
    child = subprocess.run(
        [sys.executable, "-c", code], close_fds=False, check=False, capture_output=True
    )
    assert b"Bad file descriptor" in child.stderr


def _open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_what_is_stopped_before_it_reads_keeps_no_descriptor(tmp_path: Path) -> None:
    """A start that fails after it was made, in a host application that tries again and again."""
    before = _open_descriptors()
    for begin in (lambda _: None, SteadyInotifyFD.start):
        inotify = SteadyInotifyFD()
        inotify.add_callback(os.fsencode(tmp_path), MASK, Callback(), CallbackId(0))
        begin(inotify)
        inotify.stop()
        if inotify.ident is not None:
            inotify.join(30)
        assert _open_descriptors() == before


LAST_DESCRIPTOR = """
import os, resource
from watcher.segments.inotify_fd import SteadyInotifyFD
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    os.close(held.pop())
try:
    SteadyInotifyFD()
except OSError as error:
    print(os.strerror(error.errno))
os.close(os.open("/dev/null", os.O_RDONLY))
print("the last one is free")
"""


def test_one_that_can_not_be_made_whole_keeps_no_descriptor() -> None:
    """Each tick tries again: the one that somebody gives back would be taken by that, for good."""
    came = subprocess.run(
        [sys.executable, "-c", LAST_DESCRIPTOR], capture_output=True, text=True, check=False
    )
    said = came.stdout.splitlines()
    assert said == [os.strerror(errno.EMFILE), "the last one is free"], came.stderr


def test_it_is_idle_when_all_that_happened_has_been_handed_over(
    inotify: Listening, tmp_path: Path
) -> None:
    callback = Callback()
    watch(inotify, tmp_path, callback)
    for number in range(200):
        (tmp_path / str(number)).touch()
    wait_for(inotify.is_idle)
    assert len(callback.told) == 200
    assert inotify.batches >= 1
    assert inotify.pending_bytes() == 0


def test_one_that_is_closed_while_it_is_asked_is_idle() -> None:
    class ClosedMeanwhile(SteadyInotifyFD):
        """Is closed by another thread as soon as somebody has seen it open."""

        asked = False

        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if name == "_inotify_fd" and self.asked:
                self.asked = False
                self.close()
            return found

    inotify = ClosedMeanwhile()
    inotify.asked = True
    assert inotify.is_idle()
    assert not inotify.asked


def test_it_could_go_upstream_as_it_stands() -> None:
    """Watchdog and the standard library alone, and no word of what it is used for here."""
    source = Path(inotify_fd.__file__).read_text(encoding="utf-8")
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found - sys.stdlib_module_names == {"watchdog"}
    assert not [word for word in ("watcher", "recording", "segment", "camera") if word in source]
