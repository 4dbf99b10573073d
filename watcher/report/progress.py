"""A running transcode as a person watches it: a bar on a terminal, plain lines elsewhere.

Off a terminal (a pipe, cron's mail, CI) a bar would be garbage: there a line is printed at the
start, at every tenth, at each pause and at the end.
"""

import threading
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from watcher.report import forms

_TENTHS = 10


class JobProgress:
    """Shows one file after the other; a context manager. Several threads may tell it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._tenth = 0
        self._paused: str | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[name]}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[about]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, path: str, stage: str) -> None:
        """Show that work on *path* has come to *stage* ("probe", "encode", "verify", "swap")."""
        with self._lock:
            self._name, self._tenth = forms.name(path.rpartition("/")[2]), 0
            self._paused = None
            if self._bar is None:
                self._line(stage)
                return
            self._take_away()
            self._task = self._bar.add_task("", total=1.0, name=self._name, about=stage)

    def update(
        self, share: float, *, speed: float | None = None, remaining_s: float | None = None
    ) -> None:
        """Show that *share* (0 … 1) of the stage is done."""
        share = min(1.0, max(0.0, share))
        about = _about(speed, remaining_s)
        with self._lock:
            if self._bar is None:
                if int(share * _TENTHS) > self._tenth:
                    self._tenth = int(share * _TENTHS)
                    self._line(f"{self._tenth * 100 // _TENTHS} %{about and f', {about}'}")
            elif self._task is not None:
                self._bar.update(self._task, completed=share, about=about)

    def paused(self, why: str | None) -> None:
        """Show that the work stands still, and why; None: it goes on."""
        with self._lock:
            if why == self._paused:
                return
            self._paused = why
            about = f"paused: {why}" if why else "goes on"
            if self._bar is None:
                self._line(about)
            elif self._task is not None:
                self._bar.update(self._task, about=about)

    def done(self, said: str) -> None:
        """Take the bar away and say what came of the file."""
        with self._lock:
            self._take_away()
            self._line(said)

    def _take_away(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def _line(self, text: str) -> None:
        line = f"{self._name}: {text}" if self._name else text
        self._console.print(Text(line), soft_wrap=True, highlight=False)


def _about(speed: float | None, remaining_s: float | None) -> str:
    parts = []
    if speed is not None:
        parts.append(f"{speed:.1f} times real time")
    if remaining_s is not None:
        parts.append(f"{forms.duration(remaining_s)} left")
    return ", ".join(parts)
