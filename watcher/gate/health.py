"""A camera's health command: run in the background, last in every queue, with a time limit.

Asking for the verdict never waits: it gives the last one and, once a minute, starts the next run.
Exit 0 is healthy; any other, and a run that had to be killed, is not. The command and all that it
started die together, at the time limit and at `close`. Of what it says, the end is kept.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from watcher.clock import Clock, SystemClock
from watcher.priority import Limits, lower, lower_session_again

_EVERY_S = 60.0
_LIMIT_S = 30.0
_SAID = 200  # bytes of what the command wrote that are worth telling
_REAPED_WITHIN_S = 2.0
_GATE = ("/bin/sh", "-c", 'IFS= read -r go && exec "$@" </dev/null', "watcher")
"""Waits for a line before it becomes the command: by then its priorities are set from outside."""


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """What somebody says of a recorder."""

    healthy: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; *exit_code* None: it was killed at the time limit."""

    exit_code: int | None
    said: str = ""


class HealthCheck:
    """One camera's command and its last verdict."""

    def __init__(
        self,
        command: str | None,
        *,
        limit_s: float = _LIMIT_S,
        every_s: float = _EVERY_S,
        run: "Callable[[str, float, Callable[[int], None]], Ended] | None" = None,
        clock: Clock | None = None,
    ) -> None:
        """*run* gets the command, the limit and where to tell the process group's id."""
        self._command = command or ""
        self._limit_s = limit_s
        self._every_s = every_s
        self._run = run or run_command
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started_s = float("-inf")
        self._verdict: HealthVerdict | None = None
        self._group: int | None = None
        self._closed = False

    def verdict(self) -> HealthVerdict | None:
        """Give the last verdict (None before the first) and see to it that there is a next."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            idle = self._thread is None or not self._thread.is_alive()
            if idle and not self._closed and now_s - self._started_s >= self._every_s:
                self._started_s = now_s
                self._thread = threading.Thread(
                    target=self._once, name="watcher-health", daemon=True
                )
                self._thread.start()
            return self._verdict

    def wait(self, timeout_s: float) -> None:
        """Wait until the run under way, if any, is over."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def close(self) -> None:
        """Kill what runs, and start nothing more."""
        with self._lock:
            self._closed = True
            if self._group is not None:
                _kill_group(self._group)
        self.wait(1.0)

    def _once(self) -> None:
        try:
            ended = self._run(self._command, self._limit_s, self._started)
            verdict = _judge(ended, self._limit_s)
        except (OSError, ValueError) as error:
            verdict = HealthVerdict(healthy=False, reason=f"health_command: {error}")
        with self._lock:
            self._group = None
            self._verdict = verdict

    def _started(self, group: int) -> None:
        with self._lock:
            self._group = group
            if self._closed:
                _kill_group(group)


def _judge(ended: Ended, limit_s: float) -> HealthVerdict:
    if ended.exit_code is None:
        return HealthVerdict(
            healthy=False, reason=f"health_command took longer than {limit_s:g} s and was killed"
        )
    said = f": {ended.said}" if ended.said else ""
    return HealthVerdict(ended.exit_code == 0, f"health_command ended with {ended.exit_code}{said}")


def run_command(command: str, limit_s: float, started: Callable[[int], None]) -> Ended:
    """Run a shell command in a session of its own, last in every queue from its beginning."""
    process = subprocess.Popen(
        # `timeout` as well as our own limit: it ends the command even if we are killed meanwhile
        [*_GATE, "timeout", "-s", "KILL", f"{limit_s + 1:.1f}", "sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    said = _Said(process.stdout)
    started(process.pid)
    try:
        lower(process.pid, Limits(memory_bytes=None))
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(b"\n")
        lower_session_again(process.pid, threading.Event(), SystemClock())
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return Ended(None)
    finally:
        _kill_group(process.pid)  # what it left running in the background, too
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel keeps it: not us
            process.wait(_REAPED_WITHIN_S)
    return Ended(process.returncode, said.text())


class _Said:
    """The end of what a command says, however much that is, read until nobody has the pipe."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self._tail = b""
        self._reader = threading.Thread(target=self._read, name="watcher-health-said", daemon=True)
        self._reader.start()

    def text(self) -> str:
        self._reader.join(_REAPED_WITHIN_S)  # one that left the session may have it open for ever
        return " ".join(self._tail.decode(errors="replace").split())

    def _read(self) -> None:
        if self._pipe is not None:
            with self._pipe as pipe:
                while chunk := os.read(pipe.fileno(), 65536):
                    self._tail = (self._tail + chunk)[-_SAID:]


def _kill_group(group: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
