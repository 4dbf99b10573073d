"""The log into real pipes, files and hooks, and what it does when they do not take it."""

import errno
import gc
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.config import Config, parse_config
from watcher.events import emit
from watcher.report.logs import Log, LogSettings, configure, configure_from, follow
from watcher.report.outlets import DescriptorOutlet, FileOutlet
from watcher.report.sinks import Drops, Line, WriterSink

GENEROUS_S = 60.0


def line_of(number: int, size: int = 0) -> Line:
    data = json.dumps({"event": "log", "n": number, "fill": "x" * size}).encode()
    return Line(number, "info", "log", data)


def raw(line: Line) -> bytes:
    return line.data + b"\n"


@contextmanager
def logged(path: Path, **settings: object) -> Iterator[Log]:
    """Log into a file for the length of a block."""
    with path.open("w", encoding="utf-8") as stream:
        log = configure(LogSettings(**settings), stream=stream)  # type: ignore[arg-type] # by name
        try:
            yield log
        finally:
            assert log.close(GENEROUS_S)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_event_is_a_line_with_ts_level_event_and_its_fields(tmp_path: Path) -> None:
    out = tmp_path / "out"
    clock = ManualClock(1_700_000_000.25)
    with out.open("w", encoding="utf-8") as stream:
        log = configure(stream=stream, clock=clock)
        emit("segment_closed", camera="cam1", path="/a\udcff.mp4", size_bytes=2**70)
        log.close()
    assert lines_of(out) == [
        {
            "ts": "2023-11-14T22:13:20.250000Z",
            "level": "info",
            "event": "segment_closed",
            "camera": "cam1",
            "path": "/a\\xff.mp4",
            "size_bytes": str(2**70),
        }
    ]


def test_moments_are_told_as_rfc_3339_whatever_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with logged(out):
        for value in (1_700_000_000.5, 1e30, float("nan"), None, "soon"):
            emit("window_opened", closes_at=value)
    told = [line["closes_at"] for line in lines_of(out)]
    assert told == ["2023-11-14T22:13:20Z", 1e30, None, None, "soon"]


def test_the_level_filters_and_a_file_takes_the_place_of_standard_output(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "logs" / "watcher.log"
    with logged(out, level="warning", file=str(file)):
        emit("segment_closed", size_bytes=1)
        emit("clock_stepped", step_s=3600)
    assert [line["event"] for line in lines_of(file)] == ["clock_stepped"]
    assert out.read_bytes() == b""


def test_records_warnings_and_uncaught_exceptions_come_in_the_same_form(tmp_path: Path) -> None:
    out = tmp_path / "out"

    class Falls:
        def __del__(self) -> None:
            raise RuntimeError("in del")

    with logged(out), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("apscheduler.scheduler").error("job %s failed", "x\udcff")
        logging.getLogger("apscheduler.scheduler").info("each tick says so")
        logging.getLogger("broken").error("%d", "no number")
        logging.getLogger("httpx").error("authorization: secret")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=lambda: 1 // 0, name="worker")
        thread.start()
        thread.join()
        sys.excepthook(ValueError, ValueError("at last"), None)
        falls = Falls()
        del falls
        gc.collect()
    told = lines_of(out)
    assert {line["event"] for line in told} == {"log"}
    assert [(line["level"], line["logger"]) for line in told] == [
        ("error", "apscheduler.scheduler"),
        ("error", "broken"),
        ("warning", "py.warnings"),
        ("error", "uncaught"),
        ("critical", "uncaught"),
        ("error", "unraisable"),
    ]
    assert told[0]["message"] == "job x\\xff failed"
    assert "worker" in str(told[3]["message"])
    assert "ZeroDivisionError" in str(told[3]["exception"])


def test_an_exception_is_told_without_locals_and_with_few_frames(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def deep(password: str, left: int) -> None:
        if left == 0:
            raise ValueError("bottom")
        deep(password, left - 1)

    with logged(out):
        try:
            deep("hunter2", 300)
        except ValueError as error:
            emit("unexpected", where="test", detail="x", exc_info=error)
    line = out.read_text(encoding="utf-8")
    assert "hunter2" not in line
    assert len(json.loads(line)["exception"][0]["frames"]) <= 21


def test_closing_puts_back_what_was_there(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    with logged(tmp_path / "out"):
        assert sys.excepthook != before[2]
    assert (root.handlers[:], root.level, sys.excepthook, threading.excepthook) == before


def test_a_guest_leaves_the_hooks_of_the_host_alone(tmp_path: Path) -> None:
    before = sys.excepthook
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        log = configure(stream=stream, whole_process=False)
        assert sys.excepthook == before
        log.close()


def test_unconfigured_events_go_to_the_hosts_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="watcher"):
        emit("segment_closed", size_bytes=7)
    assert caplog.messages == ["segment_closed size_bytes=7"]


def test_a_blocked_reader_costs_the_caller_nothing_and_is_told_afterwards() -> None:
    read, write = os.pipe()
    out = os.fdopen(write, "w", encoding="utf-8")
    emitted = Emitted()
    sink = WriterSink("stream", DescriptorOutlet(write), raw, queue_bytes=200_000, emit=emitted)
    for number in range(1000):  # a pipe holds 64 KiB, the queue 200 kB; nobody reads
        sink.put(line_of(number, 1000))
    assert sink.drops.total > 500
    assert not sink.flush(0.05)
    out.close()
    kept: list[int] = []

    def read_all() -> None:
        with os.fdopen(read, encoding="utf-8") as lines:
            kept.extend(json.loads(line)["n"] for line in lines)

    reader = threading.Thread(target=read_all)
    reader.start()
    assert sink.flush(GENEROUS_S)
    assert sink.close(GENEROUS_S)
    reader.join(GENEROUS_S)
    assert kept == sorted(set(kept)), "gaps, but no disorder"
    assert len(kept) + sink.drops.total == 1000
    assert emitted.named("log_dropped") == [
        {"where": "stream", "reason": "queue_full", "count": sink.drops.total}
    ]


def test_a_stop_does_not_wait_for_a_reader_that_never_reads() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        log = configure(stream=stream)
        for _ in range(300):
            emit("unexpected", where="x", detail="y" * 1000)
        assert log.close(0.2) is False
        with os.fdopen(read, "rb") as drain:
            assert drain.read(10)


def test_a_closed_pipe_ends_the_stream_and_nothing_else(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    path = tmp_path / "log"
    file = WriterSink("file", FileOutlet(str(path), 10**6, 1), raw)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        log = configure(stream=stream, further=[file])
        emit("segment_closed", size_bytes=1)
        log.flush(GENEROUS_S)
        emit("segment_closed", size_bytes=2)
        log._own[0].finish()  # says what it has dropped
        log.close(GENEROUS_S)
    told = lines_of(path)
    assert [line["size_bytes"] for line in told if line["event"] == "segment_closed"] == [1, 2]
    assert [(line["where"], line["reason"]) for line in told if line["event"] == "log_dropped"] == [
        ("stream", "closed")
    ]


def test_a_service_started_without_standard_output_still_logs_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    stream = io.StringIO()  # has no descriptor
    log = configure(LogSettings(file=str(file)), stream=stream)
    emit("segment_closed", size_bytes=1)
    assert log.close(GENEROUS_S)
    assert len(lines_of(file)) == 1


class Disk:
    """An outlet that takes a few bytes, is full for some calls, and takes more later."""

    gone_for_good: frozenset[int] = frozenset()

    def __init__(self, full_for: int) -> None:
        self.taken = b""
        self.full_for = full_for

    def write(self, data: memoryview) -> int:
        if len(self.taken) > 100 and self.full_for > 0:
            self.full_for -= 1
            raise OSError(errno.ENOSPC, "full")
        self.taken += bytes(data[:7])
        return min(7, len(data))

    def close(self) -> None:
        """Nothing is held."""


def test_a_full_disk_is_waited_out_and_no_line_is_torn() -> None:
    disk = Disk(full_for=20)
    clock = ManualClock()
    complaints: list[str] = []
    sink = WriterSink("file", disk, raw, clock=clock, emit=Emitted(), complain=complaints.append)
    for number in range(50):
        sink.put(line_of(number))
    assert sink.close(GENEROUS_S)
    assert [json.loads(line)["n"] for line in disk.taken.splitlines()] == list(range(50))
    assert sink.drops.total == 0
    assert max(wait for wait in clock.waits if wait is not None) == 5.0
    assert len(complaints) == 1


def test_a_disk_that_stays_full_costs_the_caller_nothing_and_is_complained_of_once() -> None:
    complaints: list[str] = []
    sink = WriterSink(
        "file",
        FileOutlet("/dev/full", 10**6, 1),
        raw,
        queue_bytes=100_000,
        clock=ManualClock(),
        emit=Emitted(),
        complain=complaints.append,
    )
    for number in range(1000):
        sink.put(line_of(number, 1000))
    assert not sink.flush(0.2)
    assert not sink.close(0.2)
    assert len(complaints) == 1
    assert "No space left" in complaints[0]
    assert sink.drops.total > 800


def test_a_file_past_the_size_limit_of_the_process_hurts_nobody(tmp_path: Path) -> None:
    """EFBIG, the fault that needs no file system of its own, in a child with SIGXFSZ ignored."""
    code = f"""
import signal, resource
from watcher.report.logs import configure, LogSettings
from watcher.events import emit
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
log = configure(LogSettings(file={str(tmp_path / "log")!r}))
for n in range(100):
    emit("segment_closed", size_bytes=n)
log.flush(1.5)
print(log.close(0.3))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "False\n"
    assert ran.stderr.count("watcher: log file: [Errno 27] File too large") == 1
    assert (tmp_path / "log").stat().st_size == 2000


def test_rotation_keeps_the_newest_and_tears_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = WriterSink("file", FileOutlet(str(path), 1000, 3), raw)
    for number in range(200):
        sink.put(line_of(number, 50))
        sink.flush(GENEROUS_S)
    sink.close(GENEROUS_S)
    files = [tmp_path / name for name in ("log.3", "log.2", "log.1", "log")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    numbers = [line["n"] for file in files for line in lines_of(file)]
    assert numbers == list(range(200 - len(numbers), 200))
    assert all(file.stat().st_size <= 1000 for file in files)


def test_two_processes_on_one_file_lose_no_line_to_each_others_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sinks = [WriterSink("file", FileOutlet(str(path), 4000, 100), raw) for _ in range(2)]
    for number in range(200):
        sinks[number % 2].put(line_of(number, 50))
    assert all(sink.close(GENEROUS_S) for sink in sinks)
    numbers = [line["n"] for file in tmp_path.iterdir() for line in lines_of(file)]
    assert sorted(int(str(number)) for number in numbers) == list(range(200))


def test_a_rotation_that_fails_leaves_a_longer_file_and_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    sink = WriterSink("file", FileOutlet(str(path), 1000, 1), raw)
    for number in range(100):
        sink.put(line_of(number, 50))
    assert sink.close(GENEROUS_S)
    assert [line["n"] for line in lines_of(path)] == list(range(100))


def test_closing_twice_gives_back_no_descriptor_of_others(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        log = configure(stream=stream)
        assert log.close(GENEROUS_S)
        with (tmp_path / "other").open("w", encoding="utf-8") as other:
            assert log.close(GENEROUS_S)
            other.write("still mine")
    assert (tmp_path / "other").read_text(encoding="utf-8") == "still mine"


def test_the_journal_gets_its_priorities(tmp_path: Path) -> None:
    """The child finds on its standard output what systemd tells it of in JOURNAL_STREAM."""
    code = """
from watcher.events import emit
from watcher.report.logs import configure
log = configure()
emit("segment_closed", size_bytes=1)
emit("clock_stepped", step_s=1)
emit("halted", reason="x")
log.close()
"""
    with (tmp_path / "out").open("wb") as out:
        there = os.fstat(out.fileno())
        for told in (f"{there.st_dev}:{there.st_ino}", "1:1"):
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "JOURNAL_STREAM": told},
                stdout=out,
                check=True,
                timeout=60,
            )
    begins = [line[:4] for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
    assert begins == ["<6>{", "<4>{", "<3>{", '{"ts', '{"ts', '{"ts']


def test_drops_are_said_once_a_minute_at_most() -> None:
    clock, emitted = ManualClock(), Emitted()
    drops = Drops("stream", clock, emitted)
    for _ in range(200):  # a second each
        drops.count(line_of(1), "queue_full")
        drops.say()
        clock.advance(1.0)
    assert [one["count"] for one in emitted.named("log_dropped")] == [1, 60, 60, 60]
    drops.say(now=True)
    assert sum(int(str(one["count"])) for one in emitted.named("log_dropped")) == drops.total == 200


def test_a_file_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = WriterSink("file", FileOutlet(str(path), 10_000, 3), raw)
    sink.put(line_of(1))
    sink.flush(GENEROUS_S)
    path.rename(tmp_path / "away")
    sink.put(line_of(2))
    sink.close(GENEROUS_S)
    assert [line["n"] for line in lines_of(path)] == [2]


def test_a_signal_handler_may_log_in_the_middle_of_a_log_call(tmp_path: Path) -> None:
    """A lock that is not re-entrant would stand still here for ever."""
    out = tmp_path / "out"
    seen = 0

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal seen
        seen += 1
        emit("log", logger="signal", message="in the handler")

    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        with logged(out):
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            count = 0
            while seen < 100:
                emit("segment_closed", size_bytes=count)
                count += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(lines_of(out)) == count + seen


def test_a_command_of_a_persons_writes_to_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "log"
    config = parse_config(
        f"recordings: {{cam1: /srv/cam1}}\nlogging: {{file: {file}, level: error}}", "test.yaml"
    )
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w", encoding="utf-8") as stream, os.fdopen(controller, "rb") as shown:
        before = sys.excepthook
        log = configure_from(config, str(tmp_path), by_hand=True, stream=stream)
        assert sys.excepthook == before
        emit("segment_closed", size_bytes=1)
        emit("halted", reason="x")
        assert log.close(GENEROUS_S)
        stream.write("its own words")
        stream.flush()
        assert os.read(shown.fileno(), 100) == b"its own words"
    assert [line["event"] for line in lines_of(file)] == ["halted"]


def test_an_event_with_a_path_alone_is_told_with_its_camera(tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = parse_config("recordings: {cam1: /srv/cam1, cam2: /srv/cam11/}", "test.yaml")
    with out.open("w", encoding="utf-8") as stream:
        log = configure_from(config, str(tmp_path), stream=stream)
        for path in ("/srv/cam1/a.mp4", "/srv/cam11/a.mp4", "/srv/other/a.mp4", None):
            emit("original_deleted", path=path, reason="due", size_bytes=1)
        emit("segment_closed", path="/srv/cam1/a.mp4", camera="told", size_bytes=1)
        assert log.close(GENEROUS_S)
    cameras = [line.get("camera") for line in lines_of(out)]
    assert cameras == ["cam1", "cam2", None, None, "told"]


def config_of(**logging: object) -> Config:
    return parse_config(
        json.dumps({"recordings": {"cam1": "/srv/cam1"}, "logging": logging}), "test.yaml"
    )


def test_a_changed_configuration_is_followed_without_losing_a_line(tmp_path: Path) -> None:
    """Level, then file, then the level again, while another thread goes on telling."""
    out, file, done = tmp_path / "out", tmp_path / "log", threading.Event()
    count = 0

    def tell() -> None:
        nonlocal count
        while not done.is_set():
            emit("unexpected", where="thread", detail=str(count))
            count += 1

    state = str(tmp_path)
    configs = [config_of(level="info"), config_of(level="error"), config_of(file=str(file))]
    with out.open("w", encoding="utf-8") as stream:
        hook = sys.excepthook
        log = configure_from(configs[0], state, stream=stream)
        teller = threading.Thread(target=tell)
        teller.start()
        for before, after in [(0, 1), (1, 2), (2, 0), (0, 2)]:
            emit("segment_closed", size_bytes=before)
            follow(log, configs[before], configs[after], state)
        emit("segment_closed", size_bytes=9)
        done.set()
        teller.join()
        assert sys.excepthook != hook
        assert log.close(GENEROUS_S)
        assert sys.excepthook == hook
    told = [*lines_of(out), *lines_of(file)]
    numbers = sorted(int(str(line["detail"])) for line in told if line["event"] == "unexpected")
    assert numbers == list(range(count))
    closed = [line["size_bytes"] for line in told if line["event"] == "segment_closed"]
    assert closed == [0, 0, 2, 9], "the one at level error was not told; the file has the last two"


def test_the_terminal_gets_the_readable_form() -> None:
    controller, terminal = os.openpty()
    stream: TextIO
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        log = configure(stream=stream)
        emit("segment_closed", camera="cam1", size_bytes=7)
        assert log.close(GENEROUS_S)
        shown = os.read(controller, 4096).decode()
    os.close(controller)
    assert "segment_closed" in shown
    assert not shown.startswith("{")
