"""A box with cameras for tests: directories, a configuration, commands, and a service to run.

It stands on tmpfs where there is one, because the exchange is known to be safe there; elsewhere the
configuration allows replacing without it.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.clips import clip_at
from support.emitted import Emitted
from watcher import cli
from watcher.clock import Clock
from watcher.config import Config, load_config
from watcher.service import Service
from watcher.settling import SETTLE_AGAIN_S
from watcher.wakeups import TICK_S

DAY_S = 86_400.0
_PATIENCE_S = 120.0
_TMPFS = Path("/dev/shm")


class Telling(Emitted):
    """An emitter that somebody can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._deeds: dict[str, Callable[[], object]] = {}

    def on(self, event: str, deed: Callable[[], object]) -> None:
        """Do *deed* the next time that *event* comes, once, in the thread that tells of it."""
        self._deeds[event] = deed

    def __call__(self, event: str, /, **fields: object) -> None:
        self._deeds.pop(event, int)()
        with self._changed:
            super().__call__(event, **fields)
            self._changed.notify_all()

    def wait_for(self, event: str, times: int = 1) -> dict[str, object]:
        """Wait until *event* has come so often; give the fields of the last."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.named(event)) >= times, _PATIENCE_S)
            names = [name for name, _ in self.events]
            assert came, f"{event} did not come {times} times; what came: {names}"
            return self.named(event)[times - 1]


@dataclass
class Box:
    """One box. `transcoding` are the keys of that section that differ from the defaults."""

    top: Path
    cameras: tuple[str, ...] = ("cam1", "cam2")
    transcoding: dict[str, Any] = field(default_factory=dict)
    emitted: Telling = field(default_factory=Telling)

    @property
    def config_path(self) -> Path:
        return self.top / "watcher.yaml"

    @property
    def state(self) -> Path:
        return self.top / "state"

    def write_config(self, **transcoding: Any) -> Config:
        """Write the configuration; everything that this machine could hold work for is off."""
        section = {
            "codec": "libx265",
            "preset": "ultrafast",
            "run_schedule": "always",
            "max_cpu_percent": 100,
            "max_io_wait": 100,
            "min_free_space_gb": 0.002,
            "critical_free_space_gb": 0.001,
            "verify_quality": False,
            "allow_non_exchange": True,
            **self.transcoding,
            **transcoding,
        }
        recordings = {name: str(self.top / name) for name in self.cameras}
        for name in self.cameras:
            (self.top / name).mkdir(exist_ok=True)
        whole = {"recordings": recordings, "transcoding": section, "state_dir": str(self.state)}
        self.config_path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return load_config(str(self.config_path))

    def record(self, camera: str, name: str, age_days: float = 9.0, **options: Any) -> Path:
        """Put a recording there, as old as that."""
        path = self.top / camera / name
        return clip_at(path, time.time() - age_days * DAY_S, **options)

    @contextlib.contextmanager
    def service(
        self,
        *,
        recorders_healthy: Callable[[], bool] | None = None,
        clock: Clock | None = None,
        tick_s: float = TICK_S,
        settle_again_s: float = SETTLE_AGAIN_S,
        **transcoding: Any,
    ) -> Iterator[Service]:
        """Run the service in this process, while the block runs."""
        service = Service(
            self.write_config(**transcoding),
            recorders_healthy=recorders_healthy,
            clock=clock,
            tick_s=tick_s,
            settle_again_s=settle_again_s,
            emit=self.emitted,
        )
        service.start()
        try:
            yield service
        finally:
            service.stop(0.0)

    def command(self, *words: str | Path) -> tuple[int, str, str]:
        """Run one command in this process; gives its exit code and what it said."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main(["--config", str(self.config_path), *(str(word) for word in words)])
            except SystemExit as end:
                code = int(end.code or 0)
        return code, out.getvalue(), err.getvalue()

    def wait_until(self, what: Callable[[], bool]) -> None:
        """Wait for what no event tells: the bookkeeping after one."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not what():
            assert time.monotonic() < deadline_s, "it did not come true"
            threading.Event().wait(0.01)

    def process(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start one command as a process of its own."""
        return subprocess.Popen(
            # a hang-up is to arrive, though the tests themselves may run under nohup
            [
                "env",
                "--default-signal=HUP",
                sys.executable,
                "-m",
                "watcher",
                "--config",
                str(self.config_path),
                *words,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.top,
        )

    def files(self, camera: str) -> set[str]:
        """Name what stands in a camera's directory."""
        return {entry.name for entry in (self.top / camera).iterdir()}


def make_box() -> Iterator[Box]:
    """Make a box, and take it away afterwards; for a fixture."""
    parent = _TMPFS if os.access(_TMPFS, os.W_OK) else None
    top = Path(tempfile.mkdtemp(prefix="watcher-box-", dir=parent))
    try:
        yield Box(top)
    finally:
        shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def box() -> Iterator[Box]:
    """Give a box with two empty cameras."""
    yield from make_box()
