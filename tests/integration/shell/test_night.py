"""The main job, end to end, in one process: real inotify, real ffmpeg, real swaps."""

import hashlib
import json
import os
import time
from pathlib import Path

from support.box import Box
from support.clips import clip_at
from support.probing import codec_of

from watcher.background import BackgroundTranscoder
from watcher.bench import open_bench
from watcher.byhand import named
from watcher.config import load_config
from watcher.job import Road, Stage, Step
from watcher.replace.marker import parse
from watcher.segments.segment import State
from watcher.service import Service
from watcher.transcode.leash import Leash


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_recordings_of_age_become_hevc_oldest_first_and_nothing_else_of_them_changes(
    box: Box,
) -> None:
    box.write_config()
    younger = box.record("cam1", "a.mp4", age_days=9, seconds=2)
    older = box.record("cam2", "b.mp4", age_days=12, seconds=2, gop=10)
    young = box.record("cam1", "young.mp4", age_days=1, seconds=2)
    older.chmod(0o640)
    before = {path: (digest(path), path.stat()) for path in (younger, older, young)}
    with box.service():
        box.emitted.wait_for("transcode_finished", 2)
    finished = [str(fields["path"]) for fields in box.emitted.named("transcode_finished")]
    assert finished == [str(older), str(younger)]
    for path in (younger, older):
        was, now = before[path][1], path.stat()
        assert codec_of(path) == "hevc"
        assert (now.st_mtime_ns, now.st_mode, now.st_uid) == (
            was.st_mtime_ns,
            was.st_mode,
            was.st_uid,
        )
        assert now.st_size < was.st_size
        assert digest(path.with_name(f"{path.name}.original")) == before[path][0]
        marker = parse(path.with_name(f"{path.name}.transcoded").read_bytes(), path.name)
        assert marker.report["frames"] == 50
    assert digest(young) == before[young][0]
    assert box.files("cam2") == {"b.mp4", "b.mp4.original", "b.mp4.transcoded"}


def test_the_dump_tells_what_was_found_in_each_recording(box: Box) -> None:
    box.write_config()
    box.record("cam1", "replaced.mp4", age_days=9)
    box.record("cam1", "hevc.mp4", codec="libx265", age_days=9)
    box.record("cam2", "young.mp4", age_days=1)
    with box.service():
        box.emitted.wait_for("transcode_finished")
        box.emitted.wait_for("transcode_rejected")
        box.wait_until(lambda: box.command("dump", "--format", "table")[1].count("(replaced)") == 1)
        lines = Path(box.command("dump")[1].strip()).read_text(encoding="utf-8").splitlines()
    rows = {os.path.basename(row["path"]): row for row in map(json.loads, lines[1:])}
    assert {name: (row["state"], row["codec"]) for name, row in rows.items()} == {
        "replaced.mp4": ("replaced", "hevc"),
        "hevc.mp4": ("settled", "hevc"),
        "young.mp4": ("candidate", None),
    }


def test_a_second_life_does_nothing_that_was_done(box: Box) -> None:
    box.write_config()
    box.record("cam1", "a.mp4")
    small = box.record("cam1", "hevc.mp4", codec="libx265", age_days=8)
    with box.service():
        box.emitted.wait_for("transcode_finished")
        rejected = box.emitted.wait_for("transcode_rejected")
    assert (rejected["path"], rejected["reason"]) == (str(small), "already_hevc")
    with box.service() as service:
        index = service.watch.index
        assert index.next_due_s() is None
        assert {entry.state for entry in index.snapshot()} == {State.REPLACED, State.SETTLED}
    assert len(box.emitted.named("transcode_started")) == 1
    assert len(box.emitted.named("transcode_rejected")) == 1


def test_restore_brings_the_original_back_byte_for_byte_and_it_stays(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    was, status = digest(path), path.stat()
    with box.service():
        box.emitted.wait_for("transcode_finished")
    code, said, _ = box.command("restore", path)
    assert (code, digest(path)) == (0, was)
    assert "back in its place" in said
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert box.files("cam1") == {"a.mp4"}
    with box.service() as service:
        assert service.watch.index.next_due_s() is None
    assert len(box.emitted.named("transcode_finished")) == 1
    code, said, _ = box.command("why", path)
    assert "restored" in said


def test_a_segment_that_appears_while_the_service_runs_is_known_without_reading_a_directory(
    box: Box,
) -> None:
    box.write_config()
    (box.top / "cam1" / "day").mkdir()
    with box.service(run_schedule=closed_now()) as service:
        before = service.watch.observer.statistics()
        assert box.emitted.named("window_opened") == []
        path = box.record("cam1", "day/new.mp4", age_days=0)
        box.emitted.wait_for("segment_closed")
        code, said, _ = box.command("dump")
        after = service.watch.observer.statistics()
    assert code == 0
    assert str(path) in Path(said.strip()).read_text(encoding="utf-8")
    assert after.directories_read == before.directories_read == 3


def closed_now() -> str:
    """A window that is closed now, and stays so for hours."""
    hour = time.localtime().tm_hour
    return f"{(hour + 10) % 24:02}:00-{(hour + 11) % 24:02}:00"


def test_outside_the_window_nothing_is_begun(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    with box.service(run_schedule=closed_now()) as service:
        service.tick()
        code, said, _ = box.command("stats")
        assert code == 0
        assert "Status: Running (paused - outside schedule window)" in said
        code, said, _ = box.command("why", path)
        assert "the next in line" in said
        assert "the schedule window" in said
    assert box.emitted.named("transcode_started") == []


def test_in_the_daytime_why_says_in_which_night_a_turn_is_expected(box: Box) -> None:
    box.write_config()
    measured = box.record("cam1", "a.mp4", age_days=12)
    with box.service(run_schedule=closed_now()):
        waiting = [box.record("cam2", name, age_days=9) for name in ("b.mp4", "c.mp4")]
        box.wait_until(lambda: "number 3 in line" in box.command("why", waiting[1])[1])
        assert "not known before the first" in box.command("why", waiting[1])[1]
        assert box.command("transcode", measured)[0] == 0
    with box.service(run_schedule=closed_now()):
        said = box.command("why", waiting[1])[1]
    assert "of age: number 2 in line" in said
    opens = (time.localtime().tm_hour + 10) % 24
    assert f" {opens:02}:00\n" in said.partition("expected about")[2]
    assert "expected to take" in said


def test_disable_takes_effect_in_the_running_service_and_outlives_it(box: Box) -> None:
    box.write_config()
    box.record("cam1", "a.mp4", seconds=60, width=320, height=240)
    with box.service() as service:
        box.emitted.wait_for("transcode_started")
        assert box.command("disable")[0] == 0
        failed = box.emitted.wait_for("transcode_failed")
        assert failed["reason"] == "disabled"
        assert "paused_s" in failed
        assert not service.enabled()
        assert "Status: Disabled" in box.command("stats")[1]
    assert box.files("cam1") == {"a.mp4"}
    with box.service() as service:
        assert not service.enabled()
        assert box.command("enable")[0] == 0
        box.emitted.wait_for("transcode_finished")


def test_switching_needs_a_live_service_and_says_so(box: Box) -> None:
    box.write_config()
    code, _, complaint = box.command("disable")
    assert code == 1
    assert "no service is running" in complaint


def test_enable_names_the_line_that_still_says_no(box: Box) -> None:
    with box.service(enabled=False):
        code, said, _ = box.command("enable")
    assert code == 1
    assert "enabled: true" in said or "set it to true" in said


def test_an_original_whose_time_is_over_goes_after_its_copy_was_read_back(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    with box.service() as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        (waiting,) = service.watch.tender.originals.all()
        assert 86_300 < waiting.held.keep_s <= 86_400
        deletion = service.watch.tender.delete(waiting, "safety_period_over", lambda: None)
    assert deletion.reason == "too_young"
    assert path.with_name("a.mp4.original").exists()


def test_the_host_application_sees_what_is_done(box: Box) -> None:
    config = box.write_config()
    path = box.record("cam1", "a.mp4")
    transcoder = BackgroundTranscoder(config, recorders_healthy=lambda: True)
    was_running = transcoder.running
    transcoder.start()
    try:
        assert (was_running, transcoder.running) == (False, True)
        box.wait_until(lambda: transcoder.stats.files_transcoded == 1)
    finally:
        transcoder.stop()
    assert not transcoder.running
    assert transcoder.current_file is None
    assert transcoder.stats.files_transcoded == 1
    assert transcoder.stats.space_saved > 0
    assert codec_of(path) == "hevc"


def test_while_the_host_says_that_its_recorders_are_ill_nothing_is_done(box: Box) -> None:
    box.write_config()
    box.record("cam1", "a.mp4")
    with box.service(recorders_healthy=lambda: False):
        held = box.emitted.wait_for("gate_held")
        assert held["reason"] == "recorder"
        assert "Status: Running (held - recorders_healthy: the host" in box.command("stats")[1]
    assert box.emitted.named("transcode_started") == []


def test_what_a_command_transcodes_is_no_candidate_of_the_service(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", age_days=0.01)
    with box.service(run_schedule=closed_now()) as service:
        code, _, shown = box.command("transcode", path)
        assert code == 0, shown
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        entry = service.watch.index.get(str(path))
        assert entry is not None
        assert entry.state is State.REPLACED
        code, said, _ = box.command("why", path)
        assert "transcoded" in said


def test_names_that_are_not_utf8_or_begin_with_a_dash_are_ordinary_names(box: Box) -> None:
    box.write_config()
    names = [b"-rf.mp4", b"new\nline.mp4", b"latin-\xe9.mp4", b"%03d 'quoted'.mp4"]
    for name in names:
        clip_at(box.top / "cam1" / os.fsdecode(name), time.time() - 9 * 86400)
    with box.service():
        box.emitted.wait_for("transcode_finished", len(names))
    for name in names:
        assert codec_of(box.top / "cam1" / os.fsdecode(name)) == "hevc"


def test_a_recording_that_is_deleted_meanwhile_is_not_encoded_to_its_end(box: Box) -> None:
    config = box.write_config()
    path = box.record("cam1", "long.mp4", seconds=60, width=320, height=240)
    stages: list[Stage] = []

    def on_step(step: Step) -> None:
        stages.append(step.stage)
        if step.fraction:
            path.unlink(missing_ok=True)

    with open_bench(config, emit=box.emitted) as bench:
        road = Road(named(str(path), config), bench.workshop, Leash(), on_step=on_step)
        outcome = road.travel()
    assert outcome.reason == "original_changed"
    assert stages[-1] is Stage.ENCODE
    assert box.files("cam1") == set()


def test_statistics_and_summary_need_no_camera_to_be_there(box: Box) -> None:
    box.write_config()
    box.record("cam2", "a.mp4")
    (box.top / "cam1").rmdir()
    service = Service(load_config(str(box.config_path)), emit=box.emitted)
    service.start()
    try:
        box.emitted.wait_for("transcode_finished")
        code, said, _ = box.command("stats")
        assert (code, "Files transcoded: 1" in said) == (0, True)
    finally:
        service.stop(0.0)
    assert box.emitted.named("night_summary")[0]["files"] == 1
