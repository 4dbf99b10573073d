"""ffmpeg is found in order, asked once, and run with pauses, limits and an end for every case."""

import os
import threading
from pathlib import Path

import pytest
from support.clips import bundled_ffmpeg, clip
from support.clock import ManualClock
from support.fake_ffmpeg import Rule, install

from watcher.errors import Aborted, Halt, Retryable
from watcher.transcode.diagnosis import Look
from watcher.transcode.ffmpeg import bundled, find, inspect, look_at_device, places, run
from watcher.transcode.leash import Leash
from watcher.transcode.progress import Progress

SH = "/bin/sh"


def executable(path: Path, text: str = "exit 0") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_order_is_configured_jellyfin_path_bundled(tmp_path: Path) -> None:
    jellyfin = executable(tmp_path / "jellyfin" / "ffmpeg")
    on_path = executable(tmp_path / "bin" / "ffmpeg")
    search = os.path.dirname(on_path)
    assert places(path=search, jellyfin=jellyfin) == [jellyfin, on_path, bundled()]
    assert places(path=search, jellyfin="/no/such") == [on_path, bundled()]
    assert places(path="", jellyfin="/no/such") == [bundled()]
    assert places("/my/own", path=search, jellyfin=jellyfin) == ["/my/own"]
    assert places("ffmpeg", path=search, jellyfin=jellyfin) == [on_path]
    assert places("no-such-name", path=search, jellyfin=jellyfin) == []


def test_what_may_not_be_run_is_no_ffmpeg(tmp_path: Path) -> None:
    plain = tmp_path / "ffmpeg"
    plain.write_text("text")
    plain.chmod(0o644)
    assert places(path=str(tmp_path), jellyfin=str(plain)) == [bundled()]


def test_the_bundled_one_is_known_by_what_it_lists() -> None:
    found = inspect(bundled_ffmpeg())
    assert found is not None
    assert found.version.startswith("n9.")
    assert {"hevc_qsv", "hevc_vaapi", "libx265", "libsvtav1"} <= found.encoders
    assert {"libvmaf", "xpsnr", "psnr"} <= found.filters
    assert "=" not in found.encoders | found.filters


def test_what_is_no_ffmpeg_is_none(tmp_path: Path) -> None:
    assert inspect(executable(tmp_path / "liar", "echo hello")) is None
    assert inspect(str(tmp_path / "missing")) is None


def test_where_none_runs_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(Halt) as halt:
        find(str(tmp_path / "missing"))
    assert halt.value.reason == "no_ffmpeg"
    assert halt.value.figures["remedy"]


def test_a_run_tells_its_progress_and_its_cost() -> None:
    seen: list[Progress] = []
    words = ["-hide_banner", "-nostdin", "-v", "error", "-progress", "pipe:1", "-i", str(clip())]
    done = run([bundled_ffmpeg(), *words, "-f", "null", "-"], on_progress=seen.append)
    assert done.ok
    assert done.progress == seen[-1]
    assert done.progress is not None
    assert (done.progress.frame, done.progress.done) == (50, True)
    assert done.cpu_s > 0
    assert (done.stderr, done.paused_s) == ("", 0.0)


def test_a_failure_keeps_its_command_its_code_and_its_words() -> None:
    done = run([SH, "-c", "echo what happened >&2; exit 7"])
    assert (done.ok, done.exit_code, done.stderr) == (False, 7, "what happened\n")
    assert done.argv[0] == SH


def test_output_goes_to_who_wants_it() -> None:
    said: list[bytes] = []
    run([SH, "-c", "echo one; echo two"], on_output=said.append)
    assert b"".join(said) == b"one\ntwo\n"


def test_what_the_listener_raises_ends_the_child(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    def refuse(_chunk: bytes) -> None:
        raise Retryable("projected", "will not pay")

    with pytest.raises(Retryable, match="pay"):
        run([SH, "-c", f"echo x; sleep 60; echo y > {witness}"], on_output=refuse)
    assert not witness.exists()


def test_standing_still_is_a_failure(tmp_path: Path) -> None:
    stalling = install(tmp_path, Rule(action="hang"))
    with pytest.raises(Retryable) as stalled:
        run([stalling, "-c:v:0", "hevc_qsv", "-f", "mp4", "x"], stall_timeout_s=0.4)
    assert stalled.value.reason == "stalled"
    assert "hevc_qsv" in str(stalled.value.figures["command"])


def test_a_pause_is_counted_apart() -> None:
    leash = Leash()

    def pause(_chunk: bytes) -> None:
        leash.pause("cpu")
        threading.Timer(0.3, leash.resume).start()

    done = run([SH, "-c", "echo x"], leash, on_output=pause)
    assert done.ok
    assert done.paused_s >= 0.25


def test_an_abort_ends_a_run_that_is_paused() -> None:
    leash = Leash()

    def stop(_chunk: bytes) -> None:
        leash.pause("cpu")
        leash.abort("window")

    with pytest.raises(Aborted) as aborted:
        run([SH, "-c", "echo x; sleep 600"], leash, on_output=stop)
    assert aborted.value.reason == "window"


def test_nothing_is_started_for_a_job_that_was_aborted(tmp_path: Path) -> None:
    leash, witness = Leash(), tmp_path / "witness"
    leash.abort("stop")
    with pytest.raises(Aborted):
        run([SH, "-c", f"echo x > {witness}"], leash)
    assert not witness.exists()


def test_a_child_that_closes_its_output_first_is_waited_for() -> None:
    done = run([SH, "-c", "exec >&-; sleep 0.3; exit 3"])
    assert done.exit_code == 3


def test_the_device_is_looked_at_before_anything_is_believed(tmp_path: Path) -> None:
    pattern = str(tmp_path / "renderD*")
    assert look_at_device(pattern).look is Look.ABSENT
    (tmp_path / "renderD129").mkdir()
    assert look_at_device(pattern).look is Look.BROKEN
    (tmp_path / "renderD128").write_bytes(b"")
    found = look_at_device(pattern)
    assert (found.look, found.path) == (Look.OPENS, str(tmp_path / "renderD128"))


def test_intels_device_is_preferred_where_there_are_several(tmp_path: Path) -> None:
    for number, vendor in ((128, "0x10de"), (129, "0x8086"), (130, "0x1002")):
        (tmp_path / f"renderD{number}").write_bytes(b"")
        described = tmp_path / "drm" / f"renderD{number}" / "device" / "vendor"
        described.parent.mkdir(parents=True)
        described.write_text(f"{vendor}\n")
    found = look_at_device(str(tmp_path / "renderD*"), str(tmp_path / "drm"))
    assert (found.path, found.driver) == (str(tmp_path / "renderD129"), "iHD")
    (tmp_path / "renderD129").unlink()
    found = look_at_device(str(tmp_path / "renderD*"), str(tmp_path / "drm"))
    assert (found.path, found.driver) == (str(tmp_path / "renderD128"), None)


def test_a_turned_clock_does_not_make_a_real_child_stall() -> None:
    done = run([SH, "-c", "exec >&-; sleep 0.3"], stall_timeout_s=1.0, clock=ManualClock())
    assert done.ok
