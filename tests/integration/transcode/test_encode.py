"""An encode keeps what it must, gives up what will not pay, and says whose fault a failure is."""

import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.clips import bundled_ffmpeg, clip, ffmpeg, remux
from support.clock import ManualClock
from support.damage import bent, element_bit
from support.fake_ffmpeg import Rule, calls, install
from support.trap import Trap

from watcher.errors import Aborted, Halt, Refused, Retryable
from watcher.transcode.command import Job, argv
from watcher.transcode.diagnosis import DeviceLook, Look
from watcher.transcode.encode import Encoded, encode
from watcher.transcode.encoders import ENCODERS, Decode, Rung, Settings
from watcher.transcode.ffmpeg import Ffmpeg, inspect
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo
from watcher.transcode.probe import Prober
from watcher.transcode.progress import Progress

X265 = ENCODERS["libx265"][0]
FAST = ENCODERS["hevc_qsv"][0]
QUICK = Settings(preset="ultrafast", max_threads=1)
LONG_WINDED = Settings(stall_timeout_s=1e9)


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


@pytest.fixture(scope="module")
def real() -> Ffmpeg:
    found = inspect(bundled_ffmpeg())
    assert found is not None
    return found


def fake(directory: Path, *rules: Rule) -> Ffmpeg:
    found = inspect(install(directory, *rules))
    assert found is not None
    return found


def encoded(
    prober: Prober, tool: Ffmpeg, source: Path, output: Path, rung: Rung = X265, **rest: Any
) -> tuple[Encoded, MediaInfo, MediaInfo]:
    settings = rest.pop("settings", QUICK)
    rest.setdefault("look", lambda: DeviceLook("/dev/dri/renderD128", Look.OPENS))
    info = prober.probe(str(source))
    job = Job(info, str(source), str(output), settings)
    done = encode(tool, rung, job, **rest)
    return done, info, prober.probe(str(output))


def seconds(info: MediaInfo) -> list[Fraction]:
    assert info.video is not None
    assert info.video.timestamps is not None
    return [t * info.video.time_base for t in info.video.timestamps]


VARIABLE = ("-vf", "select='not(eq(mod(n,7),3))',setpts=PTS+0.003*sin(N)/TB", "-fps_mode", "vfr")
KINDS: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "mov with PCM": {"container": "mov", "audio": "pcm_s16le"},
    "Matroska with G.711": {"container": "mkv", "audio": "pcm_alaw"},
    "no sound": {"audio": None},
    "B-frames": {"b_frames": 2, "video": ("-profile:v", "main")},
    "variable frame rate": {"video": VARIABLE},
    "late start": {"start_s": 6.128},
    "starts at 24 h": {"start_s": 86_400.0, "container": "mkv"},
    "index first": {"faststart": True},
    "fragmented": {"output": ("-movflags", "frag_keyframe+empty_moov")},
    "full range": {"pix_fmt": "yuvj420p"},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "ten bit": {"pix_fmt": "yuv420p10le"},
    "anamorphic": {"video": ("-aspect", "2:1")},
    "30000/1001": {"fps": "30000/1001"},
    "odd sides": {"width": 161, "height": 121, "pix_fmt": "yuv444p"},
    "timescale of ten million": {"output": ("-video_track_timescale", "10000000")},
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.replace(" ", "-"))
def test_everything_but_the_pictures_coding_stays(
    prober: Prober, real: Ffmpeg, tmp_path: Path, kind: str
) -> None:
    done, before, after = encoded(prober, real, clip(**KINDS[kind]), tmp_path / ".seg.transcoding")
    old, new = before.video, after.video
    assert old is not None
    assert new is not None
    said = [line for line in done.stderr.splitlines() if "Guessed Channel Layout" not in line]
    assert (said, done.source_errors, done.attempts) == ([], 0, 1)
    assert (new.codec, after.made_by_watcher) == ("hevc", True)
    assert (after.container, after.moov_first) == (
        before.container,
        before.moov_first if not before.fragmented else True,
    )
    assert seconds(after) == seconds(before)
    assert done.frames == new.frames == old.frames
    for name in ("width", "height", "pix_fmt", "sar", "rotation", "color_primaries"):
        assert getattr(new, name) == getattr(old, name), name
    assert (new.color_range or "tv") == (old.color_range or "tv")
    assert [s.codec for s in after.streams[1:]] == [s.codec for s in before.streams[1:]]
    assert [s.packets and s.packets.digest for s in after.streams] == [
        s.packets and s.packets.digest for s in before.streams
    ]
    if after.isobmff:
        assert after.streams[0].codec_tag == "hvc1"
    assert new.keyframe_distance == old.keyframe_distance


def test_rotation_chapters_and_several_tracks_stay(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    meta = tmp_path / "meta"
    meta.write_text(
        ";FFMETADATA1\ntitle=Front door\nlocation=+52+013/\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Door opens\n"
    )
    subtitles = tmp_path / "words.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nmotion\n")
    source = tmp_path / "source.mp4"
    ffmpeg(
        *("-display_rotation", "90", "-i", clip(), "-i", clip(), "-i", meta, "-i", subtitles),
        *("-map", "0", "-map", "1:a", "-map", "3", "-map_chapters", "2", "-map_metadata", "2"),
        *("-c", "copy", "-c:s", "mov_text", "-movflags", "+use_metadata_tags", source),
    )
    done, before, after = encoded(prober, real, source, tmp_path / "out")
    assert done.stderr == ""
    assert after.chapters == before.chapters != ()
    assert [s.kind for s in after.streams] == [s.kind for s in before.streams]
    assert [s.kind for s in after.streams].count("audio") == 2
    assert after.video is not None
    assert after.video.rotation == 90
    assert (after.video.width, after.video.height) == (160, 120)
    own = {"watcher", "encoder", "major_brand", "minor_version", "compatible_brands"}
    assert {k: v for k, v in after.metadata.items() if k not in own} == {
        k: v for k, v in before.metadata.items() if k not in own
    }
    assert after.metadata["title"] == "Front door"


def test_svt_av1_fits_where_it_is_asked_for(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    rung = ENCODERS["libsvtav1"][0]
    done, before, after = encoded(prober, real, clip(), tmp_path / "out", rung)
    assert after.video is not None
    assert after.video.codec == "av1"
    assert (done.stderr, seconds(after)) == ("", seconds(before))


def test_progress_tells_how_far_it_is(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    seen: list[Progress] = []
    done, _, _ = encoded(prober, real, clip(), tmp_path / "out", on_progress=seen.append)
    assert seen[-1].done
    assert seen[-1].fraction == 1.0
    assert done.speed is not None
    assert done.cpu_s > 0


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pauses_leave_no_trace_in_the_copy(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    source = clip(seconds=4, width=320, height=240)
    encoded(prober, real, source, tmp_path / "once")
    leash, over = Leash(), threading.Event()

    def disturb() -> None:
        while not over.wait(0.02):
            leash.pause("cpu")
            over.wait(0.03)
            leash.resume()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        done, _, _ = encoded(prober, real, source, tmp_path / "paused", leash=leash)
    finally:
        over.set()
        disturbing.join()
    assert done.paused_s > 0
    assert digest(tmp_path / "paused") == digest(tmp_path / "once")


def test_an_abort_ends_a_paused_encode(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    leash = Leash()
    source = clip(seconds=4, width=320, height=240)

    def stop(_progress: Progress) -> None:
        leash.pause("cpu")
        leash.abort("window")

    with pytest.raises(Aborted) as aborted:
        encoded(prober, real, source, tmp_path / "out", leash=leash, on_progress=stop)
    assert aborted.value.reason == "window"


def test_a_copy_that_will_not_pay_is_given_up(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    source = clip(seconds=8, crf=40, audio=None)
    slow = Settings(preset="slow", quality=1, max_threads=1)
    with pytest.raises(Retryable) as given_up:
        encoded(prober, real, source, tmp_path / "out", settings=slow)
    assert given_up.value.reason == "projected"
    assert isinstance(given_up.value.figures["savings_percent"], float)
    assert given_up.value.figures["savings_percent"] < 5


def test_who_wants_the_copy_all_the_same_gets_it(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    source, quick = clip(seconds=8, crf=40, audio=None), replace(QUICK, quality=1)
    done, _, _ = encoded(prober, real, source, tmp_path / "out", settings=quick, project=False)
    assert done.size_bytes > source.stat().st_size


def damaged(tmp_path: Path) -> Path:
    whole = bytearray(clip().read_bytes())
    middle = whole.find(b"mdat") + 30_000
    whole[middle : middle + 2000] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 2000])
    path = tmp_path / "damaged.mp4"
    path.write_bytes(whole)
    return path


def test_damage_in_the_source_is_told_from_a_broken_encoder(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        encoded(prober, real, damaged(tmp_path), tmp_path / "out")
    assert refused.value.reason == "damaged_source"
    errors = refused.value.figures["source_errors"]
    assert isinstance(errors, int)
    assert errors > 0


def test_damage_may_be_borne_and_is_counted(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    settings = replace(QUICK, tolerate_damage=True)
    done, _, _ = encoded(prober, real, damaged(tmp_path), tmp_path / "out", settings=settings)
    assert done.source_errors > 0


def test_frames_that_change_their_size_are_refused_not_scaled(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    small = clip(audio=None, seconds=1, container="h264")
    large = clip(audio=None, seconds=1, width=320, height=240, container="h264")
    joined, source = tmp_path / "joined.h264", tmp_path / "source.mp4"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    ffmpeg("-framerate", "25", "-i", joined, "-c", "copy", source)
    with pytest.raises(Refused) as refused:
        encoded(prober, real, source, tmp_path / "out")
    assert refused.value.reason == "format_changes"
    assert "320x240" in refused.value.message


def test_an_encoder_that_fails_is_no_fault_of_the_recording(prober: Prober, tmp_path: Path) -> None:
    tool = fake(tmp_path / "fake", Rule(stderr="[hevc_qsv @ 0x5] [error] strange\n", exit_code=1))
    with pytest.raises(Retryable) as failed:
        encoded(prober, tool, clip(), tmp_path / "out", FAST)
    assert failed.value.reason == "encoder_failed"
    assert "hevc_qsv" in str(failed.value.figures["command"])


def test_times_that_go_back_in_a_software_encode_are_the_recordings(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    """Such a file was tried again night after night; a driver may well make such times itself."""
    whole = remux(clip(container="mkv", b_frames=2), tmp_path / "1.mkv", "-write_crc32", "0")
    source = bent(whole, tmp_path / "2.mkv", element_bit(0xA3, 3, 8))
    with pytest.raises(Refused, match="contradict their order") as refused:
        encoded(prober, real, source, tmp_path / "out")
    assert refused.value.reason == "unverifiable"
    said = "[vost#0:0/hevc_qsv @ 0x5] [error] Non-monotonic DTS; previous: 3, current: 1; Error\n"
    tool = fake(tmp_path / "fake", Rule(stderr=said, exit_code=234))
    with pytest.raises(Retryable) as failed:
        encoded(prober, tool, clip(), tmp_path / "out", FAST)
    assert failed.value.reason == "encoder_failed"


def test_hardware_that_does_its_work_is_asked_once(prober: Prober, tmp_path: Path) -> None:
    tool = fake(tmp_path / "fake")
    source = clip(video=("-profile:v", "main"))
    done, before, after = encoded(prober, tool, source, tmp_path / "out", FAST)
    assert (done.encoder, done.decode, done.attempts) == ("hevc_qsv/fast", Decode.HARDWARE, 1)
    assert seconds(after) == seconds(before)
    assert len(calls(tool.path)) == 1


@pytest.mark.parametrize(
    "said",
    [
        "[h264_qsv @ 0x5] [error] Error decoding header\n",
        "[hevc_qsv @ 0x5] [error] Sync failed: GPU Hang (-21)\n",
        "[vist#0:0/h264 @ 0x5] [dec:h264_qsv @ 0x6] [error] Invalid data found\n",
    ],
)
def test_what_failed_in_hardware_is_tried_once_with_software_decoding(
    prober: Prober, tmp_path: Path, said: str
) -> None:
    tool = fake(tmp_path / "fake", Rule(when=("-hwaccel",), stderr=said, exit_code=1))
    source = clip(video=("-profile:v", "main"))
    done, _, _ = encoded(prober, tool, source, tmp_path / "out", FAST)
    assert (done.decode, done.attempts) == (Decode.SOFTWARE, 2)
    assert done.encoder == "hevc_qsv/fast/software-decode"
    assert ["-hwaccel" in call for call in calls(tool.path)] == [True, False]


def test_a_second_failure_is_the_end(prober: Prober, tmp_path: Path) -> None:
    hang = "[hevc_qsv @ 0x5] [error] Error during encoding: device failed (-17)\n"
    tool = fake(tmp_path / "fake", Rule(stderr=hang, exit_code=1))
    with pytest.raises(Retryable) as failed:
        encoded(prober, tool, clip(video=("-profile:v", "main")), tmp_path / "out", FAST)
    assert failed.value.reason == "device_failed"
    assert failed.value.figures["remedy"]
    assert len(calls(tool.path)) == 2


def test_what_hardware_does_not_decode_never_meets_it(prober: Prober, tmp_path: Path) -> None:
    tool = fake(tmp_path / "fake")
    done, _, _ = encoded(prober, tool, clip(pix_fmt="yuv420p10le"), tmp_path / "out", FAST)
    assert done.decode is Decode.SOFTWARE
    assert "format=p010le" in calls(tool.path)[0]


@pytest.mark.parametrize("action", ["hang", "deaf"])
def test_a_stalled_encoder_is_killed(prober: Prober, tmp_path: Path, action: str) -> None:
    tool = fake(tmp_path / "fake", Rule(action=action))
    with pytest.raises(Retryable) as stalled:
        encoded(
            *(prober, tool, clip(), tmp_path / "out", FAST),
            settings=replace(QUICK, stall_timeout_s=0.5),
        )
    assert stalled.value.reason == "stalled"


class Passing(ManualClock):
    """A second passes whenever somebody looks at it."""

    def monotonic_s(self) -> float:
        self.advance(1)
        return super().monotonic_s()


def test_it_ticks_for_an_encoder_that_says_nothing(prober: Prober, tmp_path: Path) -> None:
    """What is written while the index moves to the front has to go to the disk all the same."""
    leash, ticks = Leash(), []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 5:
            leash.abort("seen")

    silent = fake(tmp_path, Rule(action="hang"))
    job = Job(prober.probe(str(clip())), str(clip()), str(tmp_path / "out"), LONG_WINDED)
    with pytest.raises(Aborted):
        encode(silent, FAST, job, leash=leash, on_tick=tick, clock=Passing())
    assert len(ticks) == 5


def test_a_full_disk_stops_the_shift(prober: Prober, real: Ffmpeg) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("NOT SHOWN HERE: a full disk (there is no /dev/full)")
    info = prober.probe(str(clip(container="mkv")))
    job = Job(info, info.path, "/dev/full", QUICK)
    with pytest.raises(Halt) as halt:
        encode(real, X265, job)
    assert halt.value.reason == "disk_full"


def test_a_source_that_is_gone_fails_this_file_alone(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    info = prober.probe(str(clip()))
    job = Job(info, str(tmp_path / "gone.mp4"), str(tmp_path / "out"), QUICK)
    with pytest.raises(Retryable) as failed:
        encode(real, X265, job)
    assert failed.value.reason == "gone"


def test_a_place_that_can_not_be_written_to_stops_the_shift(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    info = prober.probe(str(clip()))
    job = Job(info, info.path, str(tmp_path / "no" / "such" / "directory"), QUICK)
    with pytest.raises(Halt) as halt:
        encode(real, X265, job)
    assert halt.value.reason == "write_error"


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("names", ["{0.secret}", "http://127.0.0.1:{0.port}/x.ts"])
def test_a_recording_that_turns_into_a_playlist_opens_nothing(
    prober: Prober, real: Ffmpeg, trap: Trap, tmp_path: Path, names: str
) -> None:
    hostile = tmp_path / "seg.mp4"
    info = prober.probe(str(clip()))
    hostile.write_text(PLAYLIST.format(names.format(trap)))
    with pytest.raises((Refused, Retryable)):
        encode(real, X265, Job(info, str(hostile), "/dev/null", QUICK))
    assert trap.touched() == []


def test_any_name_is_only_a_name(prober: Prober, real: Ffmpeg, tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/-i %03d:'\n\"\xe9.mp4"
    shutil.copyfile(os.fsencode(clip()), raw)
    source = Path(os.fsdecode(raw))
    done, before, after = encoded(prober, real, source, tmp_path / "-out %d.mp4")
    assert done.frames == 50
    assert seconds(after) == seconds(before)


def test_a_header_with_a_cut_end_is_no_success(
    prober: Prober, real: Ffmpeg, tmp_path: Path
) -> None:
    whole = clip(faststart=True).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    info = prober.probe(str(cut))
    try:
        done = encode(real, X265, Job(info, str(cut), str(tmp_path / "out"), QUICK))
    except (Refused, Retryable):
        return
    assert done.source_errors > 0
    assert done.frames != 50


OPENED = [
    rung
    for encoder in ("hevc_qsv", "av1_qsv", "hevc_nvenc")
    for rung in ENCODERS[encoder]
    if rung.hardware in ("qsv", "cuda") and rung.decode is Decode.SOFTWARE
]


@pytest.mark.parametrize("rung", OPENED, ids=lambda rung: rung.label)
def test_the_real_encoder_takes_every_word_up_to_the_missing_device(
    prober: Prober, rung: Rung, tmp_path: Path
) -> None:
    info = prober.probe(str(clip()))
    job = Job(info, info.path, str(tmp_path / "out"), Settings())
    words = argv(bundled_ffmpeg(), rung, job)
    for option in ("-init_hw_device", "-init_hw_device", "-filter_hw_device"):
        if option in words:  # without them the encoder's own words are reached
            del words[words.index(option) : words.index(option) + 2]
    said = subprocess.run(words, capture_output=True, check=False, text=True, timeout=120)
    assert said.returncode != 0
    assert re.search(r"MFX session|libcuda|libva|hw device", said.stderr), said.stderr
    for complaint in (
        "Unrecognized option",
        "Error setting option",
        "Unable to parse",
        "Undefined",
    ):
        assert complaint not in said.stderr


def test_the_fake_and_the_real_thing_refuse_the_same_word(tmp_path: Path) -> None:
    tool = install(tmp_path / "fake")
    words = ["-i", str(clip()), "-c:v:0", "hevc_qsv", "-look_ahead", "1", "-f", "mp4"]
    for path in (tool, bundled_ffmpeg()):
        refused = subprocess.run(
            [path, "-nostdin", "-y", *words, str(tmp_path / "x")], capture_output=True, check=False
        )
        assert refused.returncode != 0
        assert b"look_ahead" in refused.stderr
