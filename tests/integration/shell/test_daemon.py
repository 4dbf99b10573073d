"""The service as a process: its signals, its end, and what a kill leaves behind."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from support.box import Box
from support.probing import codec_of

from watcher.daemon import Bell


class Daemon:
    """`watcher run` as a process, its log read line by line."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []

    def until(self, event: str) -> dict[str, object]:
        """Read the log up to *event*; give its line."""
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = json.loads(raw)
            self.lines.append(line)
            if line["event"] == event:
                return dict(line)
        raise AssertionError(f"the log ended without {event}: {self.lines}")

    def end(self) -> int:
        """Read the rest of the log; give the exit code."""
        assert self.process.stdout is not None
        self.lines += [json.loads(raw) for raw in self.process.stdout]
        return self.process.wait(120)

    def named(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["event"] == event]


@contextmanager
def daemon(box: Box) -> Iterator[Daemon]:
    process = box.process("run")
    try:
        yield Daemon(process)
    finally:
        process.kill()
        process.communicate()


def long_recording(box: Box) -> Path:
    """One that takes seconds to encode; a test that needs it longer suspends the encoder."""
    return box.record("cam1", "long.mp4", seconds=20, width=320, height=240)


def children_of(process: "subprocess.Popen[bytes]", name: str) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if name in " ".join(child.cmdline())]


def encoder_of(box: Box, running: Daemon) -> psutil.Process:
    """The ffmpeg that writes the copy."""

    def found() -> bool:
        return bool(children_of(running.process, "/fd/"))

    box.wait_until(found)
    return children_of(running.process, "/fd/")[-1]


def test_sigterm_lets_the_running_file_finish_where_that_is_expected_in_time(box: Box) -> None:
    box.write_config()
    box.record("cam1", "first.mp4", age_days=12)
    path = long_recording(box)
    with daemon(box) as running:
        running.until("transcode_finished")  # now the speed is known
        running.until("transcode_started")
        encoder = encoder_of(box, running)
        encoder.suspend()
        running.process.terminate()
        encoder.resume()
        assert running.end() == 0
    assert codec_of(path) == "hevc"
    assert running.named("service_stopped")


def test_sigterm_aborts_a_file_that_would_take_longer_and_removes_what_is_half_made(
    box: Box,
) -> None:
    box.write_config(stop_timeout_seconds=1)
    path = long_recording(box)
    with daemon(box) as running:
        running.until("transcode_started")
        encoder_of(box, running).suspend()
        running.process.terminate()
        assert running.end() == 0
    assert running.named("transcode_failed")[0]["reason"] == "shutdown"
    assert box.files("cam1") == {"long.mp4"}
    assert codec_of(path) == "h264"


def test_a_second_sigterm_aborts_at_once(box: Box) -> None:
    box.write_config(stop_timeout_seconds=3600)
    box.record("cam1", "first.mp4", age_days=12)
    path = long_recording(box)
    with daemon(box) as running:
        running.until("transcode_finished")
        running.until("transcode_started")
        encoder_of(box, running).suspend()  # nothing but an abort ends it
        running.process.terminate()
        running.process.send_signal(signal.SIGINT)  # two of one kind may arrive as one
        assert running.end() == 0
    assert running.named("transcode_failed")[0]["reason"] == "shutdown"
    assert codec_of(path) == "h264"
    assert not any(name.endswith(".transcoding") for name in box.files("cam1"))


def test_sigterm_is_obeyed_while_a_reload_waits_for_the_running_file(box: Box) -> None:
    box.write_config(stop_timeout_seconds=1)
    path = long_recording(box)
    with daemon(box) as running:
        running.until("transcode_started")
        encoder = encoder_of(box, running)
        encoder.suspend()  # by itself it never ends
        box.write_config(stop_timeout_seconds=1, min_age_days=6)
        running.process.send_signal(signal.SIGHUP)
        running.process.terminate()
        assert running.end() == 0
    assert running.named("transcode_failed")[0]["reason"] == "shutdown"
    assert [one["changed"] for one in running.named("config_reloaded")] == [
        ["transcoding.min_age_days"]
    ]
    assert box.files("cam1") == {"long.mp4"}
    assert codec_of(path) == "h264"


def test_what_can_be_at_once_is_so_though_an_earlier_reload_waits_for_the_running_file(
    box: Box,
) -> None:
    box.write_config()
    long_recording(box)
    with daemon(box) as running:
        running.until("transcode_started")
        encoder_of(box, running).suspend()  # by itself it never ends
        box.write_config(quality=30)
        running.process.send_signal(signal.SIGHUP)
        running.until("config_waits")
        running.process.send_signal(signal.SIGUSR1)
        running.until("index_dumped")
        box.write_config(quality=31, enabled=False)
        running.process.send_signal(signal.SIGHUP)
        assert running.until("transcode_failed")["reason"] == "disabled"
        changed = running.until("config_reloaded")["changed"]
        assert changed == ["transcoding.enabled", "transcoding.quality"]
        running.process.terminate()
        assert running.end() == 0
    assert len(running.named("config_waits")) == 2


def test_a_kill_of_service_and_encoder_loses_nothing_and_the_next_life_finishes_the_file(
    box: Box,
) -> None:
    box.write_config()
    path = long_recording(box)
    before = path.read_bytes()
    with daemon(box) as running:
        running.until("transcode_started")
        encoder = encoder_of(box, running)
        running.process.kill()
        running.process.wait(60)
        psutil.wait_procs([encoder], timeout=60)
        assert not encoder.is_running()  # it dies with its parent
    assert path.read_bytes() == before
    assert ".long.mp4.transcoding" in box.files("cam1")
    with daemon(box) as running:
        running.until("transcode_finished")
        running.process.terminate()
        running.end()
    assert running.named("swap_recovered")
    assert codec_of(path) == "hevc"
    assert box.files("cam1") == {"long.mp4", "long.mp4.original", "long.mp4.transcoded"}


def test_sigusr1_dumps_the_index_oldest_first(box: Box) -> None:
    box.write_config(enabled=False)
    box.record("cam1", "young.mp4", age_days=1)
    box.record("cam2", "old.mp4", age_days=9)
    with daemon(box) as running:
        running.until("index_ready")
        box.wait_until((box.state / "status.json").exists)
        running.process.send_signal(signal.SIGUSR1)
        dumped = running.until("index_dumped")
        lines = Path(str(dumped["path"])).read_text(encoding="utf-8").splitlines()
        head, *rows = map(json.loads, lines)
        assert dumped["count"] == 2
        assert head["counts"]["segments"] == 2
        assert [Path(row["path"]).name for row in rows] == ["old.mp4", "young.mp4"]
        assert [row["reason"] for row in rows] == [None, "too_young"]


def test_sighup_takes_a_changed_file_and_a_bad_one_leaves_the_old_in_force(box: Box) -> None:
    box.write_config(enabled=False)
    path = box.record("cam1", "a.mp4")
    with daemon(box) as running:
        running.until("index_ready")
        box.wait_until((box.state / "status.json").exists)
        box.config_path.write_text("recordings: {cam1: relative}\nnonsense: 1\n", encoding="utf-8")
        running.process.send_signal(signal.SIGHUP)
        refused = running.until("config_refused")
        assert len(refused["mistakes"]) == 2  # type: ignore[arg-type] # a list, in JSON
        box.write_config()
        running.process.send_signal(signal.SIGHUP)
        reloaded = running.until("config_reloaded")
        assert reloaded["changed"] == ["transcoding.enabled"]
        running.until("transcode_finished")
    assert codec_of(path) == "hevc"


def test_two_services_on_one_state_directory_are_one_too_many(box: Box) -> None:
    box.write_config(enabled=False)
    with daemon(box) as running:
        running.until("index_ready")
        other = box.process("run")
        _, complaint = other.communicate(timeout=120)
    assert other.returncode == 1
    assert f"pid {running.process.pid}".encode() in complaint


def test_every_child_runs_at_the_lowest_priority(box: Box) -> None:
    box.write_config()
    long_recording(box)
    with daemon(box) as running:
        running.until("transcode_started")
        encoder = encoder_of(box, running)
        encoder.suspend()  # or it may have ended before all is asked
        assert encoder.nice() == 19
        assert os.sched_getscheduler(encoder.pid) == os.SCHED_IDLE
        assert encoder.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
        assert encoder.environ().keys().isdisjoint({"HISTFILE", "PYTHONPATH", "OLDPWD"})


def test_a_log_whose_reader_has_gone_stops_nothing(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    process = box.process("run")
    try:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        box.wait_until(lambda: "a.mp4.transcoded" in box.files("cam1"))
        box.wait_until(lambda: codec_of(path) == "hevc")
    finally:
        process.terminate()
        _, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (0, b"")


def test_a_signal_that_another_thread_is_given_is_heard_of_too() -> None:
    """The kernel gives it to one that is ready; the main thread may be waiting in C."""
    bell = Bell()
    heard = threading.Thread(target=bell.wait)
    heard.start()
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        signal.pthread_kill(heard.ident or 0, signal.SIGUSR2)
        heard.join(60)
        assert not heard.is_alive()
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGUSR2, handler)
        bell.close()
