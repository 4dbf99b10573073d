"""How a command over ssh and the running service reach one another: files in the state directory.

No socket: a flag file switches the service off, a request file asks it a question, and an answer
file replies; the service watches these few names with the same inotify as the recordings, and never
lists the directory. Two locks
(flock, so that a killed process leaves none behind): one service a state directory, and one job at
a time, service and commands together. Nothing here is a recording, and nothing here is precious.
"""

import contextlib
import errno
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, WatcherError
from watcher.gate.asking import NoAnswer
from watcher.report.clean import document

DISABLED = "disabled"
STATUS = "status.json"
REQUESTS = tuple(f"ask-{slot}.request" for slot in range(4))
"""So many can ask at once, each in a slot of its own; whoever comes later waits for one."""
_SERVICE_LOCK = "service.lock"
_JOB_LOCK = "job.lock"
_MODE = 0o2775
"""Group-writable and setgid: whoever is in the service's group reaches the same directory."""
_FILE_MODE = 0o664
_POLL_S = 0.05
_LOCK_TRIES = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = "make some room there: the service can't be asked meanwhile, and works on"
_GROUP = "run this as the service's user or a member of its group"


class NoService(WatcherError):  # noqa: N818 - what was found, not a fault
    """No live service uses this state directory."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question to the service: a verb and its arguments; *name* is the file it came in."""

    name: str
    ident: str
    verb: str
    arguments: Mapping[str, Any]


class StateDirectory:
    """The files by which service and commands know of each other.

    Raises `Halt` where the directory can't be made or written, with the remedy.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Clock | None = None,
        exists: Callable[[str], bool] = os.path.exists,
    ) -> None:
        """*exists* may raise `NoAnswer`: who asks twice a second does not wait for a disk."""
        self.path = Path(path)
        self._clock = clock or SystemClock()
        self._exists = exists
        self._enabled = False

    def prepare(self) -> None:
        """Make the directory where there is none, and see how it is switched."""
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True)
                self.path.chmod(_MODE)
            self._enabled = not (self.path / DISABLED).exists()
        except OSError as error:
            raise Halt(
                "state_directory",
                f"{self.path}: {error.strerror}; make it writable for this user,"
                " or name another one as state_dir",
            ) from error

    # --- the switch -----------------------------------------------------------------------

    def enabled(self) -> bool:
        """Say whether `watcher disable` has not switched it off; its last word, if mute."""
        with contextlib.suppress(NoAnswer):
            self._enabled = not self._exists(str(self.path / DISABLED))
        return self._enabled

    def switch(self, *, on: bool) -> None:
        """Switch the service on or off, across restarts."""
        flag = self.path / DISABLED
        try:
            if on:
                flag.unlink(missing_ok=True)
            else:
                flag.touch(mode=_FILE_MODE)
        except OSError as error:
            raise _unwritable(flag, error) from error

    # --- what the service says of itself ---------------------------------------------------

    def publish(self, status: Mapping[str, Any]) -> None:
        """Put *status* where commands read it; a full disk costs the news, never the work."""
        with contextlib.suppress(OSError):
            write_whole(self.path / STATUS, document(dict(status)))

    def status(self) -> Mapping[str, Any]:
        """Give what the service last said of itself; empty where it never did."""
        try:
            found = orjson.loads((self.path / STATUS).read_bytes())
        except (OSError, ValueError):
            return MappingProxyType({})
        return found if isinstance(found, dict) else MappingProxyType({})

    # --- locks ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def service_lock(self) -> Iterator[None]:
        """Be the one service of this directory; `Halt` where another one lives."""
        with self._lock(_SERVICE_LOCK, note=str(os.getpid())) as holder:
            if holder is not None:
                raise Halt(
                    "service_running",
                    f"{self.path}: a service (pid {holder or 'unknown'}) already uses this state"
                    " directory; stop it, or give this one a state_dir of its own",
                )
            yield

    def service_lives(self) -> bool:
        """Say whether a live service holds this directory."""
        return _is_locked(self.path / _SERVICE_LOCK)

    @contextlib.contextmanager
    def job_lock(
        self,
        recording: str,
        *,
        wait: bool,
        on_busy: Callable[[str], None] = lambda _holder: None,
        stop: threading.Event | None = None,
    ) -> Iterator[bool]:
        """Hold the one job of this directory; yields False where it is busy and *wait* is not set.

        *on_busy* is told once which recording the other job works on.
        """
        told = False
        while True:
            with self._lock(_JOB_LOCK, note=recording) as holder:
                if holder is None:
                    yield True
                    return
            if not told:
                on_busy(holder)
                told = True
            if not wait or self._clock.wait(stop or threading.Event(), 0.5):
                yield False
                return

    def job_holder(self) -> str | None:
        """Name the recording that a running job works on; None where none runs."""
        path = self.path / _JOB_LOCK
        return os.fsdecode(path.read_bytes()) if _is_locked(path) else None

    @contextlib.contextmanager
    def _lock(self, name: str, *, note: str, tries: int = _LOCK_TRIES) -> Iterator[str | None]:
        """Lock *name*; yields None when it is ours, else the holder's note."""
        path = self.path / name
        try:
            descriptor = _open_lock(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            if not self._taken(descriptor, tries):
                yield os.fsdecode(os.pread(descriptor, 8192, 0))
                return
            with contextlib.suppress(OSError):  # a full disk costs the note, not the lock
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, os.fsencode(note), 0)
            yield None
        finally:
            os.close(descriptor)

    def _taken(self, descriptor: int, tries: int) -> bool:
        """Try for the lock a few times: `_is_locked` of a command holds it for microseconds."""
        for _ in range(tries):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if tries > 1:
                self._clock.wait(threading.Event(), _POLL_S)
        return False

    # --- questions and answers --------------------------------------------------------------

    def ask(self, verb: str, *, within_s: float, **arguments: object) -> Mapping[str, Any]:
        """Ask the running service and wait for its answer.

        Raises `NoService` where none lives, or none answers in time.
        """
        if not self.service_lives():
            raise NoService("no_service", f"no service is running with state directory {self.path}")
        deadline_s = self._clock.monotonic_s() + within_s
        with self._slot(deadline_s) as name:
            request, answer = self.path / name, self.path / _answer_to(name)
            ident = uuid.uuid4().hex
            try:
                answer.unlink(missing_ok=True)  # of somebody who did not wait for it
                body = {"ident": ident, "verb": verb, "arguments": arguments}
                write_whole(request, document(body))
            except OSError as error:
                raise _unasked(request, error) from error
            try:
                return self._await(answer, ident, deadline_s)
            finally:
                request.unlink(missing_ok=True)
                answer.unlink(missing_ok=True)

    def take(self, name: str) -> Request | None:
        """Take the question in the file *name*, one of `REQUESTS`; each is given once."""
        path = self.path / name
        try:
            body = orjson.loads(path.read_bytes())
            path.unlink()
            return Request(name, str(body["ident"]), str(body["verb"]), dict(body["arguments"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def answer(self, request: Request, reply: Mapping[str, Any]) -> None:
        """Answer *request*; whoever asked may be gone, which is no fault."""
        body = {"ident": request.ident, "reply": dict(reply)}
        with contextlib.suppress(OSError):
            write_whole(self.path / _answer_to(request.name), document(body))

    def sweep(self) -> None:
        """Forget questions and answers of an earlier life; the service calls it at its start."""
        for name in REQUESTS:
            for path in (self.path / name, self.path / _answer_to(name)):
                with contextlib.suppress(OSError):
                    path.unlink()

    @contextlib.contextmanager
    def _slot(self, deadline_s: float) -> Iterator[str]:
        """Have a place to ask in to oneself; `NoService` where all are taken for too long."""
        while self._clock.monotonic_s() < deadline_s:
            for name in REQUESTS:
                with self._lock(f"{name}.lock", note="", tries=1) as holder:
                    if holder is None:
                        yield name
                        return
            self._clock.wait(threading.Event(), _POLL_S)
        raise NoService("busy", "too many others ask the service at once; try again")

    def _await(self, answer: Path, ident: str, deadline_s: float) -> Mapping[str, Any]:
        never = threading.Event()
        while self._clock.monotonic_s() < deadline_s:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                found = orjson.loads(answer.read_bytes())
                if found["ident"] == ident:
                    return dict(found["reply"])
            self._clock.wait(never, _POLL_S)
        raise NoService("no_answer", "the service did not answer in time; is it busy or stopping?")


def _answer_to(name: str) -> str:
    return name.removesuffix(".request") + ".answer"


def write_whole(path: Path, body: bytes) -> None:
    """Write *body* so that a reader sees the old or the new, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(body)
        beside.chmod(_FILE_MODE)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _open_lock(path: Path) -> int:
    """Open a lock; whoever happens to make it first makes it for the directory's whole group."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, _FILE_MODE)  # whatever the umask
            if os.geteuid() == 0:
                house = path.parent.stat()
                os.fchown(descriptor, house.st_uid, house.st_gid)
        return descriptor
    return os.open(path, flags)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _unasked(path: Path, error: OSError) -> WatcherError:
    """A full disk keeps nobody from what can be told without the service."""
    if error.errno in _FULL:
        return NoService("no_room", f"{path}: {error.strerror}; {_ROOM}")
    return _unwritable(path, error)


def _unwritable(path: Path, error: OSError) -> Halt:
    remedy = _ROOM if error.errno in _FULL else _GROUP
    return Halt("state_directory", f"{path}: {error.strerror}; {remedy}")
