"""The demo's box is what it says: real recordings under old mtimes, a recorder that is watched."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import av
import pytest

from watcher.clock import SystemClock
from watcher.demo_box import LIVE_FPS, PLANS, Live, LiveRecorder, frame_times, make_recordings
from watcher.errors import WatcherError

NOW_S = 1_700_000_000.0


def test_recordings_are_made_as_planned(tmp_path: Path) -> None:
    some = [plan for plan in PLANS if plan.special or plan.age_days < 7]
    plans = [replace(plan, length_s=1) for plan in some]
    heard: list[str] = []
    made = make_recordings(
        str(tmp_path), NOW_S, plans=plans, done=lambda each: heard.append(each.path)
    )
    assert sorted(heard) == sorted(each.path for each in made)
    for each in made:
        status = os.stat(each.path)
        assert abs(status.st_mtime - (NOW_S - each.plan.age_days * 86_400)) < 60
        assert status.st_size == each.size_bytes
        with av.open(each.path) as container:
            assert container.streams.video[0].codec_context.name == (
                "hevc" if each.plan.special == "hevc" else "h264"
            )
            assert container.streams.audio[0].codec_context.name == "aac"


def wait_for(condition: object, recorder: LiveRecorder, clock: SystemClock) -> None:
    assert callable(condition)
    for _ in range(600):
        if condition():
            return
        assert recorder.running
        clock.wait(threading.Event(), 0.05)
    raise AssertionError("the recorder records nothing")


def test_a_live_recorder_is_found_whole_and_a_lost_segment_is_noticed(tmp_path: Path) -> None:
    clock = SystemClock()
    recorder = LiveRecorder(str(tmp_path / "live"), clock)
    recorder.start()
    try:
        wait_for(lambda: len(list((tmp_path / "live").glob("*.mp4"))) >= 2, recorder, clock)
    finally:
        recorder.stop()
    assert not recorder.running
    live = recorder.verdict()
    assert live.whole, live
    assert live.segments >= 2
    assert live.frames_sent >= 4 * LIVE_FPS
    min((tmp_path / "live").glob("*.mp4")).unlink()
    assert not recorder.verdict().whole


def test_what_is_no_recording_has_no_frames(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no recording")
    assert frame_times(str(tmp_path / "x.mp4")) == []


@pytest.mark.parametrize("wrong", [{"dropped": 1}, {"duplicated": 1}, {"uneven": 1}])
def test_any_flaw_is_a_flaw(wrong: dict[str, int]) -> None:
    fields = {"dropped": 0, "duplicated": 0, "uneven": 0} | wrong
    assert not Live(frames_sent=9, frames_found=9, segments=1, worst_lag_s=0.0, **fields).whole


def test_a_recorder_that_never_started_has_nothing_to_say(tmp_path: Path) -> None:
    recorder = LiveRecorder(str(tmp_path), SystemClock())
    recorder.stop()
    assert not recorder.verdict().whole


def test_a_disk_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    with pytest.raises((WatcherError, OSError)):
        make_recordings(str(tmp_path), NOW_S, plans=PLANS[:1])
