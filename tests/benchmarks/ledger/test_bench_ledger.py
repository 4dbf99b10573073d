"""A million verdicts: what a lookup, a write and a restart cost. Prints; fails none by time."""

import os
import random
import time
from pathlib import Path

import psutil
import pytest
from support.verdicts import PRINT, remember_hevc

from watcher.ledger.ledger import Ledger, Subject

pytestmark = pytest.mark.bench

NUMBER = int(os.environ.get("WATCHER_BENCH_VERDICTS", "1000000"))


def subject(number: int) -> Subject:
    day, camera = divmod(number, 5000)
    path = f"/srv/recordings/cam{camera % 4}/2026-01-{day:03d}/front-door_{number:08d}.mp4"
    return Subject(path, 1_000_000_000 + number, 1_700_000_000_000_000_000 + number, "cam1")


def fill(path: str) -> None:
    every = (subject(number) for number in range(NUMBER))
    remember_hevc(
        path,
        ((one.path, one.size, one.mtime_ns) for one in every),
        "it is HEVC already: hevc Main, 2560x1440, 60 fps",
    )


def microseconds(calls: int, started: float) -> str:
    return f"{1e6 * (time.perf_counter() - started) / calls:.2f} µs"


def test_a_million_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "ledger.sqlite")
    fill(path)
    process = psutil.Process()
    before = process.memory_info().rss
    said = [f"{NUMBER:,} verdicts, {os.path.getsize(path) / 1e6:.0f} MB on disk"]

    with Ledger(path) as ledger:
        started = time.perf_counter()
        assert ledger.load() == NUMBER
        said.append(f"restart (all read into memory): {time.perf_counter() - started:.2f} s")
        said.append(f"resident for it: {(process.memory_info().rss - before) / 1e6:.0f} MB")

        wanted = [subject(number) for number in random.Random(1).sample(range(NUMBER), 100_000)]
        started = time.perf_counter()
        for one in wanted:
            assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
        said.append(f"lookup, known: {microseconds(len(wanted), started)}")
        started = time.perf_counter()
        for one in wanted:
            assert ledger.verdict(one.path, one.size + 1, one.mtime_ns, PRINT) is None
        said.append(f"lookup, unknown: {microseconds(len(wanted), started)}")

        started = time.perf_counter()
        for one in wanted[:2000]:
            ledger.remember_refusal(one, "damaged_source", "a box is cut short", PRINT)
        said.append(f"a verdict written: {microseconds(2000, started)}")
        started = time.perf_counter()
        for one in wanted[2000:12_000]:
            ledger.gone(one.path, one.size, one.mtime_ns)
        said.append(f"a deletion noted: {microseconds(10_000, started)}")
        started = time.perf_counter()
        ledger.refresh()
        said.append(f"and written at the next tick: {microseconds(10_000, started)}")
        started = time.perf_counter()
        ledger.counts(PRINT)
        said.append(f"skipped by reason, for the page: {time.perf_counter() - started:.2f} s")

    with Ledger(path) as command:
        one = wanted[-1]
        started = time.perf_counter()
        assert command.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
        said.append(f"a command's first lookup: {1e3 * (time.perf_counter() - started):.2f} ms")
    with capsys.disabled():
        print(  # noqa: T201 - printing is what a benchmark is for
            "\n  " + "\n  ".join(said)
        )
