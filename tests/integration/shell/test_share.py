"""A camera on a network share whose server is off, beside one on a disk: a file system that never
answers, and a service that goes on."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.box import Box
from support.clock import SetClock
from support.filesystems import Unavailable, hanging
from support.swapped import DAY_S, swapped

from watcher.bench import open_bench
from watcher.byhand import HANGS, left_out
from watcher.commands import FAILED
from watcher.config import Config, load_config
from watcher.gate.asking import Asker, NoAnswer
from watcher.ledger.ledger import Ledger, Subject, fingerprint
from watcher.parting import Parting
from watcher.service import Service
from watcher.watch import Watch


def polled(box: Box, camera: str) -> Config:
    """Let *camera* be polled, as one on a share is."""
    box.write_config()
    written = yaml.safe_load(box.config_path.read_text())
    path = written["recordings"][camera]
    written["recordings"][camera] = {"path": path, "watch": "poll"}
    box.config_path.write_text(yaml.safe_dump(written))
    return load_config(str(box.config_path))


@contextlib.contextmanager
def server_off(box: Box, camera: str) -> Iterator[None]:
    """Let *camera* be polled, on a share that hangs."""
    polled(box, camera)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hanging(box.top / camera))
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield


def test_the_other_camera_is_converted_questions_are_answered_and_the_end_is_bounded(
    box: Box,
) -> None:
    path = box.record("cam1", "a.mp4")
    with server_off(box, "cam2"):
        service = Service(
            load_config(str(box.config_path)),
            emit=box.emitted,
            parts_within_s=1.0,
            shift_after_s=0.5,
        )
        service.start()
        try:
            box.emitted.wait_for("transcode_finished")
            box.wait_until(lambda: len(service.watch.tender.originals) == 1)
            assert (path.parent / "a.mp4.original").exists()
            code, out, err = box.command("stats")
            assert (code, err) == (0, "")
            assert "cam2" in out
            assert "has not answered" in out
            code, out, _ = box.command("why", str(box.top / "cam2" / "b.mp4"))
            assert "it can't be looked at: no answer: its disk or network share hangs" in out
            _, out, _ = box.command("check")
            said = " ".join(out.split())  # the table breaks lines
            assert "does not answer: its disk or network share hangs" in said
            assert "/cam1: 1 file" in said
            service.tick()
        finally:
            service.stop(0.0)
        assert service.left_behind == ("watch",)
        assert box.emitted.named("unexpected") == []


def test_what_a_share_keeps_from_being_settled_keeps_no_other_camera_and_no_part_but_its_own(
    box: Box,
) -> None:
    """Whole files on the share are compared, and the kernel never comes back from it."""
    config = polled(box, "cam2")
    (box.top / "elsewhere").mkdir()
    swapped(box.top / "elsewhere" / "a.mp4")
    shutil.copytree(box.top / "elsewhere", box.top / "cam2" / "day")
    replaced = box.top / "cam1" / "b.mp4"
    swapped(replaced)
    reading, over = threading.Event(), threading.Event()

    def may_read() -> bool:
        reading.set()
        return over.wait()

    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(config, ledger, wake=lambda: None, may_read=may_read, emit=box.emitted)
        watch.start()
        parting = Parting(0.1)
        try:
            assert reading.wait(60)
            replaced.unlink()
            box.wait_until(lambda: [one.orphan for one in watch.tender.originals.all()] == [True])
            parting.end("watch", watch.stop)
            assert parting.left == ["watch"]
            box.wait_until(lambda: not any(one.healthy() for one in watch.observer.parts.values()))
        finally:
            over.set()
            watch.stop()


def test_of_a_share_that_is_read_late_all_is_taken_that_a_start_takes(box: Box) -> None:
    """How long its segments are, and which verdicts are on files that went meanwhile."""
    config, share, now_s = polled(box, "cam2"), box.top / "cam2", time.time()
    for number in range(9):
        path = share / f"{number}.mp4"
        path.write_bytes(b"recording")
        os.utime(path, (now_s - 9_000 + 60 * number,) * 2)
    decides = fingerprint(config.transcoding)
    gone = [f"{box.top}/{camera}/gone.mp4" for camera in ("cam1", "cam2")]
    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        for one in gone:
            ledger.remember_refusal(Subject(one, 1, 1, ""), "interlaced", "", decides)

        def remembered() -> list[bool]:
            return [ledger.verdict(one, 1, 1, decides) is not None for one in gone]

        (box.top / "cam1" / "other.mp4").write_bytes(b"")
        watch = Watch(config, ledger, wake=lambda: None, shares_within_s=0.01, emit=box.emitted)
        with watch.observer.of(str(share))._changes:  # somebody keeps it
            watch.start()
            box.wait_until(lambda: remembered() == [False, True])
        try:
            assert watch.observer.wait_ready(60)
            for _ in range(2):
                watch.tick()
                assert len(watch.recorders.known()["cam2"].intervals) == 8
            box.wait_until(lambda: remembered() == [False, False])
        finally:
            watch.stop()


def test_a_command_that_walks_all_cameras_leaves_out_the_one_that_hangs_and_says_so(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    box.write_config()
    for camera in ("cam1", "cam2"):
        swapped(box.top / camera / "a.mp4")
    share = str(box.top / "cam2")

    def look_at(path: str) -> None:
        if path == share:
            raise NoAnswer(10.0, 1)

    with open_bench(load_config(str(box.config_path)), emit=box.emitted) as bench:
        bench.look_at = look_at
        index = bench.walk(any_age=True, heed_verdicts=True)
        assert [entry.segment.camera for entry in index.snapshot()] == ["cam1"]
        assert left_out(bench) == [FAILED]
    assert capsys.readouterr().out == f"{share}: {HANGS}\n"


class _Mute(Asker):
    """Whatever lies on the share is asked in vain, since *for_s*."""

    def __init__(self, share: Path) -> None:
        super().__init__()
        self.share, self.for_s, self.times = str(share), 0.0, 0

    def ask(self, about: Any, question: Any, *bounds: Any, **more: Any) -> Any:
        if self.times and str(more.get("path")).startswith(self.share):
            raise NoAnswer(self.for_s, self.times)
        return super().ask(about, question, *bounds, **more)


def test_a_share_that_hangs_later_is_told_once_in_the_log_and_by_stats_until_it_answers(
    box: Box,
) -> None:
    config, share = polled(box, "cam2"), box.top / "cam2"
    asker = _Mute(share)
    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(config, ledger, wake=lambda: None, asker=asker, emit=box.emitted)
        watch.start()
        try:
            assert watch.unheard() == {}
            asker.times = 1
            assert "does not answer" in watch.unheard()["cam2"]
            watch.tick()
            assert box.emitted.named("events_lost") == [], "it may be slow, and no more"
            asker.for_s, asker.times = 60.0, 3
            for _ in range(2):
                watch.tick()
            (told,) = box.emitted.named("events_lost")
            assert (told["camera"], told["cause"], told["root"]) == ("cam2", "silent", str(share))
            asker.times = 0
            watch.tick()
            assert watch.unheard() == {}
            asker.times = 3
            watch.tick()
            assert [one["count"] for one in box.emitted.named("events_lost")] == [1, 2]
            assert watch.losses == {"silent": 2}, "counted, for `stats`"
        finally:
            asker.times = 0
            watch.stop()


def test_originals_that_are_due_on_a_server_that_went_off_keep_no_others(box: Box) -> None:
    clock, here = SetClock(), box.top / "cam1" / "b.mp4"
    config = polled(box, "cam2")
    swapped(box.top / "cam2" / "a.mp4", clock=clock)
    swapped(here, clock=clock)
    service = Service(config, emit=box.emitted, clock=clock, parts_within_s=0.1)
    service.start()
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop, 0.0)
        box.wait_until(lambda: len(service.watch.tender.originals) == 2)
        try:
            stack.enter_context(hanging(box.top / "cam2"))
        except Unavailable as reason:
            pytest.skip(str(reason))
        clock.advance(DAY_S + 1)
        service.tick()
        gone = box.emitted.wait_for("original_deleted")
        assert gone["path"] == str(here)
        assert len(service.watch.tender.originals) == 1
