"""Children that nobody notices: the only way in which Watcher starts a process.

Promises, for every child, from its first instruction to its last:
- SCHED_IDLE, nice 19 (of its autogroup too) and I/O class idle; the kernel ends it before others
  when memory runs out; no core file; a bound on what it may allocate.
- Its own session and process group, no inherited descriptor, a clean environment, SIGKILL when
  this process ends, however it ends.
- Frozen from the first instruction where its leash is paused. Always reaped, with its whole group.
- Nobody waits for ever for one that the kernel keeps in a call (a disk, a network share or a GPU
  that hangs): it is left to its reaper, `Halt` says so, and no other starts beside it.
- What it says on stderr is drained without end and kept within 32 kB.

How: the child begins as a shell that says it is there, waits for one line on its stdin and then
becomes the program. Priorities are set from here while it waits. So nothing of ours runs between
fork and exec (`preexec_fn` deadlocks in a process with threads), and a parent that dies in
between leaves nothing behind. `setpriv` in front asks the kernel for the SIGKILL; as that is
bound to the thread that forked, one thread that lasts as long as the process starts every child.
"""

import contextlib
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import IO, Final, Self

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Retryable
from watcher.priority import Limits, lower, lower_session_again
from watcher.transcode.leash import Leash

__all__ = ["Child", "Leash", "Limits", "ensure_none_stuck", "spawn"]

_TAIL_BYTES = 32 * 1024
_HEAD_BYTES = 8 * 1024  # the first complaint is often the cause, the last one its consequence
GRACE_S: Final = 5.0
"""So long is a killed child waited for while there is something to hear of it."""

PATIENCE_S: Final = 30.0
"""So long is a killed child waited for: what takes longer, the kernel can't end."""

_INHERITED = ("HOME", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "ONEVPL_SEARCH_PATH")
_SHELL = "/bin/sh"
_GATE = 'echo >&2; IFS= read -r go && unset PWD && exec "$@"'
_TETHER_IN_PYTHON = (
    "import ctypes,os,sys; ctypes.CDLL(None).prctl(1,9); os.execv(sys.argv[1],sys.argv[1:])"
)
_UNKNOWN_EXIT = 255  # somebody else reaped it (a host that ignores SIGCHLD): never taken for 0


class Child:
    """A running child process and its group. Leaving the `with` block kills and reaps it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: Sequence[str],
        clock: Clock,
        leash: Leash | None,
        patience_s: float = PATIENCE_S,
        *,
        on_stderr: Callable[[bytes], None] | None = None,
        leave_out: bytes = b"",
    ) -> None:
        self.argv = tuple(argv)
        self.pid = process.pid
        self.stdout: IO[bytes] | None = process.stdout
        self.stdin: IO[bytes] | None = process.stdin
        self._process = process
        self._clock = clock
        self._leash = leash
        self._patience_s = patience_s
        self._on_stderr = on_stderr
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._exit_code: int | None = None
        self.cpu_s = 0.0
        """CPU time that it used, known once it has ended."""
        self._tail = _Tail(leave_out)
        self._drain = threading.Thread(target=self._read_stderr, name="child-stderr", daemon=True)
        self._reaper = threading.Thread(target=self._reap, name="child-reaper", daemon=True)

    def poll(self) -> int | None:
        """Give the exit code (negative: the signal that ended it), or None while it runs."""
        return self._exit_code

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end; give the exit code, or None where *timeout_s* passed first."""
        if self._clock.wait(self._gone, timeout_s):
            self._drain.join(self._patience_s)  # a child of its own may hold stderr, and hang
        return self._exit_code

    def read(self, timeout_s: float) -> bytes | None:
        """Give what it wrote to stdout, None where *timeout_s* passed first, b"" at its end."""
        if self.stdout is None:
            return b""
        poll = select.poll()
        poll.register(self.stdout.fileno(), select.POLLIN | select.POLLHUP)
        if not poll.poll(timeout_s * 1000):
            return None
        return os.read(self.stdout.fileno(), 1 << 20)

    def freeze(self) -> None:
        """Stop the whole group."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the whole group go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the whole group: the last word, which reaches stopped ones too."""
        self._signal(signal.SIGKILL)

    def stderr_tail(self) -> str:
        """Give what it said on stderr, the middle left out where that is more than 32 kB."""
        return self._tail.text()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._leash is not None:
            self._leash.release(self)
        self.kill()
        is_over = self.wait(self._patience_s) is not None
        for pipe in (self.stdin, self.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if not is_over:
            _abandoned.add(self)
            raise self.stuck() from error

    def stuck(self) -> Halt:
        """Give the error of a child that the kernel does not end."""
        return Halt(
            "child_stuck",
            f"process {self.pid} ({os.path.basename(self.argv[0])}) does not end though it was"
            " killed: a disk, a network share or the GPU keeps it in the kernel, or others leave it"
            " no moment of CPU in which to end",
            remedy="look at the kernel's log, and for what its disk or the GPU waits for; where"
            " nothing else helps, a reboot",
            command=" ".join(self.argv),
        )

    def wait_at_gate(self) -> None:
        """Wait for the shell's sign: from then on the kernel ends it with us, even stopped."""
        if self._process.stderr is not None:
            sign = os.read(self._process.stderr.fileno(), 1)
            self._tail.add(sign.strip())

    def open_gate(self, *, keep_stdin: bool) -> None:
        """Let the waiting shell become the program; for `spawn` alone."""
        self._drain.start()
        self._reaper.start()
        if self.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(b"\n")
            self.stdin.flush()
        if not keep_stdin:
            with contextlib.suppress(BrokenPipeError):
                self.stdin.close()
            self.stdin = None

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group, never one that the kernel may have given to somebody else since."""
        with self._lock:
            if self._exit_code is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)

    def _read_stderr(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            return
        with stderr, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stderr.fileno(), 65536):
                self._tail.add(chunk)
                if self._on_stderr is not None:
                    self._on_stderr(chunk)

    def _reap(self) -> None:
        lower_session_again(self.pid, self._gone, self._clock)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)  # what the leader left behind
            code, self.cpu_s = _collect(self._process)
            self._exit_code = code
        if self._leash is not None:
            self._leash.release(self)
        self._gone.set()


def spawn(
    argv: Sequence[str],
    *,
    leash: Leash | None = None,
    stdin: bool = False,
    stdout: bool = False,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
    on_stderr: Callable[[bytes], None] | None = None,
    leave_out: bytes = b"",
    clock: Clock | None = None,
) -> Child:
    """Start *argv* (its first word an absolute path) as a child that nobody notices.

    *stdin*, *stdout*: give pipes to it; otherwise nothing is read and nothing kept. *env* is added
    to the clean environment. *on_stderr* is shown, by another thread, all that is said there; of
    that no line is kept that holds *leave_out*. A killed child is waited for no longer than
    *patience_s*. A program that can't be started ends with 126 or 127, as in a shell; raises
    `Retryable` (no_process) where the machine has no room for a child, `Halt` (child_stuck) while
    an earlier one is stuck in the kernel.
    """
    ensure_none_stuck()
    command = [*tether(), _SHELL, "-c", _GATE, "watcher", *argv]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(os.environ) | dict(env or {}),
            start_new_session=True,
            close_fds=True,
        )

    try:
        process = _spawner().run(start)
    except OSError as error:  # no process, no memory, no descriptor: it passes
        raise Retryable("no_process", f"no child could be started: {error.strerror}") from error
    child = Child(
        process,
        argv,
        clock or SystemClock(),
        leash,
        patience_s,
        on_stderr=on_stderr,
        leave_out=leave_out,
    )
    child.wait_at_gate()
    lower(process.pid, limits or Limits())
    if leash is not None:
        leash.attach(child)
    child.open_gate(keep_stdin=stdin)
    return child


_abandoned: weakref.WeakSet[Child] = weakref.WeakSet()  # its reaper keeps each while it lives


def ensure_none_stuck() -> None:
    """Raise `Halt` while a child is stuck: whatever holds it would hold the next one too."""
    for child in list(_abandoned):
        if child.poll() is None:
            raise child.stuck()
        _abandoned.discard(child)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the little that a child needs to know of *environ*."""
    kept = {name: environ[name] for name in _INHERITED if name in environ}
    return {"HOME": "/", "PATH": "/usr/bin:/bin", "LC_ALL": "C"} | kept


class _Tail:
    """The first 8 and the last 24 kB of a stream of any length, but for lines with *leave_out*."""

    def __init__(self, leave_out: bytes = b"") -> None:
        self._lock = threading.Lock()
        self._mark = leave_out
        self._line = b""  # that has not ended yet, where lines are looked at
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, chunk: bytes) -> None:
        with self._lock:
            chunk = self._without(chunk) if self._mark else chunk
            room = max(0, _HEAD_BYTES - len(self._head))
            self._head += chunk[:room]
            self._tail += chunk[room:]
            excess = len(self._tail) - (_TAIL_BYTES - _HEAD_BYTES)
            if excess > 0:
                del self._tail[:excess]
                self._left_out += excess

    def text(self) -> str:
        with self._lock:
            gap = b"\n[... %d bytes left out ...]\n" % self._left_out if self._left_out else b""
            whole = bytes(self._head + gap + self._tail + self._line)
            return whole.decode("utf-8", "backslashreplace")

    def _without(self, chunk: bytes) -> bytes:
        *lines, self._line = (self._line + chunk).splitlines(keepends=True) or [b""]
        if self._line.endswith(b"\n") or len(self._line) > _HEAD_BYTES:
            lines, self._line = [*lines, self._line], b""
        return b"".join(line for line in lines if self._mark not in line)


class _Spawner:
    """One thread that starts every child, because PR_SET_PDEATHSIG dies with the forking thread."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        self.process_id = os.getpid()
        threading.Thread(target=self._serve, name="child-spawner", daemon=True).start()

    def run(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._wanted.put((start, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            start, answer = self._wanted.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
                answer.set_exception(error)


_spawner_lock = threading.Lock()
_the_spawner: _Spawner | None = None


def _spawner() -> _Spawner:
    """Give this process's spawner; a forked host has none of its parent's threads."""
    global _the_spawner  # noqa: PLW0603 - one thread per process is what it is for
    with _spawner_lock:
        if _the_spawner is None or _the_spawner.process_id != os.getpid():
            _the_spawner = _Spawner()
        return _the_spawner


def tether(path: str = "/usr/bin:/bin:/usr/sbin:/sbin") -> list[str]:
    """Give the words in front of a command that have it killed when we end."""
    setpriv = shutil.which("setpriv", path=path)
    if setpriv:
        return [setpriv, "--pdeathsig", "KILL", "--"]
    return [sys.executable, "-I", "-S", "-c", _TETHER_IN_PYTHON]


def _collect(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Reap *process*; give its exit code and CPU time."""
    try:
        _, status, used = os.wait4(process.pid, 0)
    except ChildProcessError:
        process.returncode = _UNKNOWN_EXIT
        return _UNKNOWN_EXIT, 0.0
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime
