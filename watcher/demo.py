"""`watcher demo`: the whole road on a box made on the spot, with no camera and no set-up.

Makes two cameras' recordings of ten days, starts a live recorder beside them, runs the real service
on all three with a window that is open now, and then tells what became of each recording, what the
statistics page says, and whether the recorder lost a frame. Nothing is simulated but the cameras;
everything is left where it was made. What the box is made of stands in `demo_box`, how its night
is read in `demo_night`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from watcher.clock import Clock, SystemClock, utc
from watcher.demo_box import LIVE, PLANS, Live, LiveRecorder, Plan, Recording, make_recordings
from watcher.demo_night import Night, configuration, of_age, results
from watcher.errors import Refused, WatcherError
from watcher.replace.directory import LinuxDirectory
from watcher.replace.preflight import try_out
from watcher.replace.steps import Policy
from watcher.report import forms
from watcher.report.reasons import meaning
from watcher.report.tables import results_table

_LONGEST_S: Final = 240.0
_STOP_S = 60.0
_LOOK_S = 0.2
_FAILED = 1
_TERMINATED = 128 + signal.SIGTERM
_PIPE_WIDTH = 110


def run_demo(
    directory: str | None = None,
    *,
    console: Console | None = None,
    clock: Clock | None = None,
    longest_s: float = _LONGEST_S,
    plans: Sequence[Plan] = PLANS,
) -> int:
    """Make the box, run the night, tell what happened; 0 where all went as it should."""
    clock = clock or SystemClock()
    console = console or _console()
    top = fresh_directory(directory, os.getcwd(), clock.wall_s())
    demo = _Demo(top, console, clock, longest_s, plans)
    began_s = clock.monotonic_s()
    recorder = LiveRecorder(os.path.join(top, LIVE), clock)
    with _told_to_stop():
        try:
            recorder.start()
            recordings = demo.make()
            night, page = demo.night(recordings)
        finally:
            recorder.stop()
    live = recorder.verdict()
    took_s = clock.monotonic_s() - began_s
    return demo.tell(recordings, night, page, live, took_s)


@contextlib.contextmanager
def _told_to_stop() -> Iterator[None]:
    """Take SIGTERM as an end like any other, so that service and recorder go with us."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _console() -> Console:
    """Give the terminal, or what a pipe or a log may be wide."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def fresh_directory(wanted: str | None, cwd: str, now_s: float) -> str:
    """Make the directory for it all: *wanted*, which must be new or empty, or one named by now."""
    path = os.path.join(cwd, wanted or f"watcher-demo-{utc(now_s):%Y%m%d-%H%M%S}")
    try:
        path.encode()
        os.makedirs(path, exist_ok=wanted is not None)
        if os.listdir(path):
            raise WatcherError("demo", f"{path} is not empty; name a new directory")
    except UnicodeEncodeError:
        raise WatcherError("demo", "the demo's directory needs a name in UTF-8") from None
    except OSError as error:
        raise WatcherError("demo", f"{path}: {error.strerror}; name another --directory") from error
    return os.path.normpath(path)


class _Tail:
    """What a growing log has had to say since the last look."""

    def __init__(self, log: BinaryIO, night: Night) -> None:
        self.night = night
        self._log = log
        self._rest = b""

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Give what is new, noted in *night*."""
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        for line in lines:
            event = self.night.note(line.decode("utf-8", "replace"))
            if event is not None:
                yield event


class _Demo:
    """One run: the box at *top*, the console, the clock, what is made."""

    def __init__(
        self, top: str, console: Console, clock: Clock, longest_s: float, plans: Sequence[Plan]
    ) -> None:
        self._top, self._console, self._clock = top, console, clock
        self._plans = plans
        self._ends_s = clock.monotonic_s() + longest_s
        self._config = os.path.join(top, "watcher.yaml")
        self._log = os.path.join(top, "service.log")
        self._never = threading.Event()

    def make(self) -> list[Recording]:
        """Make the recordings, with a bar."""
        self._say(f"A box with two cameras and a live recorder, in {self._top}\n")
        with self._bar("making ten days of recordings", len(self._plans)) as bar:
            task = bar.task_ids[0]
            now_s = self._clock.wall_s()
            made = make_recordings(
                self._top, now_s, plans=self._plans, done=lambda _made: bar.advance(task)
            )
        total = forms.size(sum(each.size_bytes for each in made))
        self._say(f"{len(made)} recordings of gate and yard, {total}, 1 to 10 days old")
        self._say("a live recorder writes beside them, a segment every few seconds\n")
        return made

    def night(self, recordings: Sequence[Recording]) -> tuple[Night, str]:
        """Run the service until each recording of age has its verdict, or time is up."""
        with open(self._config, "w", encoding="utf-8") as file:
            now_s, allow = self._clock.wall_s(), not self._exchanges()
            cameras = sorted({each.plan.camera for each in recordings})
            file.write(configuration(self._top, cameras, now_s, allow_non_exchange=allow))
        self._say("$ watcher --config watcher.yaml run")
        with open(self._log, "wb") as log:
            service = subprocess.Popen(
                self._watcher("run"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        with open(self._log, "rb") as written:
            tail = _Tail(written, Night())
            try:
                self._follow(service, tail, of_age(recordings))
                page = self._stats()
            finally:
                self._stop(service)
            self._read(tail)
        return tail.night, page

    def tell(
        self,
        recordings: Sequence[Recording],
        night: Night,
        page: str,
        live: Live,
        took_s: float,
    ) -> int:
        """Print what happened; give the exit code."""
        say = self._say
        say("\nWhat became of each recording\n")
        self._console.print(results_table(results(recordings, night, self._top)))
        say(f"\n$ watcher --config watcher.yaml stats\n\n{page.rstrip()}\n")
        say(
            f"The live recorder: {live.frames_sent} frames sent, {live.frames_found} found in"
            f" {live.segments} segments; {live.dropped} dropped, {live.duplicated} duplicated,"
            f" {live.uneven} out of time; never more than {live.worst_lag_s:.2f} s late."
        )
        settled = night.settled(of_age(recordings))
        say("It lost nothing." if live.whole else "That is NOT what it should be.")
        if not settled:
            why = f" (held: {night.held})" if night.held else ""
            say(f"The night was too short for every recording{why}; see {self._log}")
        say(f"\n{took_s:.0f} s in all. Everything is left to look at in {self._top}:\n")
        for line in self._left():
            say(line)
        return 0 if settled and live.whole else _FAILED

    def _left(self) -> Iterator[str]:
        config = forms.name(self._config)
        yield "  gate/ yard/   the recordings; beside each new one its .original and its report"
        yield "  live/         what the live recorder wrote"
        yield "  service.log   every event, as JSON"
        yield "  watcher.yaml  the configuration; for example"
        yield f"                watcher --config {config} restore gate"
        yield f"                watcher --config {config} check"

    def _follow(
        self, service: subprocess.Popen[bytes], tail: "_Tail", wanted: Sequence[str]
    ) -> None:
        """Show the night until each of *wanted* has its verdict, or time is up."""
        night = tail.night
        with self._bar("the night", len(wanted)) as bar:
            while self._clock.monotonic_s() < self._ends_s:
                running = service.poll() is None
                self._read(tail)
                about = night.current and os.path.relpath(night.current, self._top)
                bar.update(
                    bar.task_ids[0],
                    completed=sum(path in night.verdicts for path in wanted),
                    description=f"held: {night.held}" if night.held else about or "the night",
                )
                if night.settled(wanted):
                    return
                if not running:
                    raise WatcherError("demo", f"the service ended early; see {self._log}")
                self._clock.wait(self._never, _LOOK_S)

    def _read(self, tail: "_Tail") -> None:
        for event in tail.events():
            self._said(event)

    def _said(self, event: Mapping[str, Any]) -> None:
        """Print the events that a person wants to see go by."""
        name, path = event["event"], event.get("path")
        where = os.path.relpath(path, self._top) if isinstance(path, str) else ""
        if name == "service_started":
            self._say("  the service is up")
        elif name == "encoder_chosen":
            self._say(f"  encoder: {event.get('encoder')}, tried for real on this machine")
        elif name == "gate_held":
            self._say(f"  standing still: {event.get('detail') or event.get('reason')}")
        elif name == "transcode_finished":
            took_s = sum(float(event.get(key) or 0) for key in ("encode_s", "verify_s"))
            saved = f"saved {event.get('savings_percent')} % in {took_s:.1f} s"
            vmaf = f", VMAF {event['vmaf']:.1f}" if event.get("vmaf") else ""
            self._say(f"  {where}: {saved}, proven{vmaf}")
        elif name in {"transcode_rejected", "transcode_failed"}:
            self._say(f"  {where}: left as it is, {meaning(str(event.get('reason'))).sentence}")

    def _exchanges(self) -> bool:
        """Say whether two names can be exchanged here; where not, a demo may do without."""
        try:
            with LinuxDirectory(self._top) as directory, directory.locked():
                try_out(directory, Policy())
        except Refused as refused:
            self._say(f"{refused.message}; in this demo it is allowed\n")
            return False
        return True

    def _stats(self) -> str:
        done = subprocess.run(self._watcher("stats"), capture_output=True, check=False)
        return (done.stdout or done.stderr).decode("utf-8", "replace")

    def _stop(self, service: subprocess.Popen[bytes]) -> None:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()

    def _watcher(self, command: str) -> list[str]:
        """Say how to run a command of this very installation, whatever lies in this directory."""
        return [sys.executable, "-P", "-m", "watcher", "--config", self._config, command]

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def _bar(self, title: str, total: int) -> Progress:
        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        bar.add_task(title, total=total)
        return bar
