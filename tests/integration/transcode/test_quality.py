"""VMAF as it is measured here: never low where the copy is right, never high where it is not."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip, ffmpeg, remux
from support.proving import copy_of, the_ffmpeg

from watcher.errors import Aborted, Refused, Retryable
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.quality import Quality, QualitySettings, measure

ALL = QualitySettings(short_share=1, short_spread=3, frames=12, every=1)


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def measured(prober: Prober, source: Path, copy: Path, settings: QualitySettings = ALL) -> Quality:
    infos = [prober.probe(os.fspath(path)) for path in (source, copy)]
    paths = (os.fspath(source), os.fspath(copy))
    return measure(*paths, *infos, ffmpeg=the_ffmpeg().path, settings=settings, leash=Leash())


FULL = ("-color_range", "pc")
SELF: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "as it is": ({}, [], "mp4"),
    "into matroska": ({}, [], "mkv"),
    "into MOV": ({}, [], "mov"),
    "fragmented": ({}, ["-movflags", "frag_keyframe+empty_moov"], "mp4"),
    "shifted by 6.128 s": ({}, ["-output_ts_offset", "6.128"], "mp4"),
    "shifted by a day": ({}, ["-output_ts_offset", "86400"], "mp4"),
    "another timescale": ({}, ["-video_track_timescale", "10000000"], "mp4"),
    "variable frame rate": (
        {"video": ("-vf", "select='not(eq(mod(n,7),2))'", "-fps_mode", "vfr")},
        [],
        "mkv",
    ),
    "full range": ({"pix_fmt": "yuvj420p", "video": FULL}, [], "mkv"),
    "10 bit": ({"pix_fmt": "yuv420p10le"}, [], "mp4"),
    "4:4:4": ({"pix_fmt": "yuv444p"}, [], "mp4"),
    "B-frames, open GOP": (
        {"b_frames": 5, "gop": 12, "video": ("-x264-params", "open-gop=1:b-adapt=0")},
        [],
        "mkv",
    ),
    "29.97 fps": ({"fps": "30000/1001"}, [], "mkv"),
    "one frame": ({"fps": "1", "seconds": 1}, [], "mp4"),
}


@pytest.mark.parametrize(("options", "words", "suffix"), SELF.values(), ids=SELF.keys())
def test_a_file_against_itself_is_at_least_97(
    prober: Prober, tmp_path: Path, options: dict[str, Any], words: list[str], suffix: str
) -> None:
    """The known trap: frames paired wrongly, or converted on one side, make a perfect copy bad."""
    source = clip(**{"seconds": 3, **options})
    copy = remux(source, tmp_path / f"copy.{suffix}", *words)
    found = measured(prober, source, copy)
    assert found.minimum >= 97
    assert found.harmonic >= 97
    assert sum(sample.worst_place for sample in found.samples) == 1


@pytest.mark.parametrize("frames", range(8, 16))
def test_frames_one_tick_apart_are_told_apart(prober: Prober, tmp_path: Path, frames: int) -> None:
    """Cameras' clocks stumble; a sample may begin or end between two such frames."""
    fine = ("-video_track_timescale", "90000")
    even = remux(clip(seconds=3, b_frames=0), tmp_path / "even.mp4", *fine)
    close = ("-bsf:v", "setts=ts='TS+5*gt(N,1)-if(mod(N,2),3599)'")
    stumbling = remux(even, tmp_path / "rec.mp4", *fine, *close)
    settings = dataclasses.replace(ALL, frames=frames)
    assert measured(prober, stumbling, stumbling, settings).minimum >= 97


def test_no_copy_by_a_frame_off_passes_for_the_source(prober: Prober, tmp_path: Path) -> None:
    """The measure must be able to fail: the same pictures, each one frame later."""
    source = clip(seconds=3)
    late = tmp_path / "late.mp4"
    words = ["-vf", "tpad=start=1:start_mode=clone", "-frames:v", "75", "-c:v", "libx264"]
    ffmpeg("-i", source, *words, "-crf", "4", "-c:a", "copy", late)
    assert measured(prober, source, late).harmonic < 90


def test_worse_pictures_score_lower(prober: Prober, tmp_path: Path) -> None:
    source = clip(seconds=2)
    scores = [
        measured(prober, source, copy_of(source, tmp_path / f"{crf}.mp4", "-crf", crf)).harmonic
        for crf in ("18", "30", "45")
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[2] + 10


def test_the_place_with_most_motion_is_found(prober: Prober, tmp_path: Path) -> None:
    """Three still seconds, one of noise in the middle: a sample must lie there."""
    source = tmp_path / "rec.mp4"
    noise = "noise=alls=90:allf=t:enable='between(t,3,3.9)'"
    words = ["-f", "lavfi", "-i", "testsrc=s=160x120:r=25:d=8", "-vf", noise, "-c:v", "libx264"]
    ffmpeg(*words, "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", source)
    found = measured(prober, source, copy_of(source, tmp_path / "copy.mp4"))
    worst = next(sample for sample in found.samples if sample.worst_place)
    assert 70 <= worst.frame <= 100
    assert found.minimum == worst.minimum


def test_frames_that_can_not_be_paired_are_no_score(prober: Prober, tmp_path: Path) -> None:
    source = clip(seconds=3)
    short = remux(source, tmp_path / "short.mp4", "-t", "2")
    whole = prober.probe(os.fspath(source))
    paths = (os.fspath(source), os.fspath(short))
    with pytest.raises((Refused, Retryable)):
        measure(*paths, whole, whole, ffmpeg=the_ffmpeg().path, settings=ALL, leash=Leash())


def test_an_ffmpeg_without_vmaf_gives_no_score(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text("#!/bin/sh\necho '[error] No such filter: libvmaf' >&2; exit 8\n", "ascii")
    stand_in.chmod(0o755)
    info = prober.probe(os.fspath(source))
    paths = (os.fspath(source), os.fspath(source))
    with pytest.raises(Retryable) as caught:
        measure(*paths, info, info, ffmpeg=str(stand_in), settings=ALL, leash=Leash())
    assert caught.value.reason == "vmaf_failed"


def test_an_abort_ends_the_measurement(prober: Prober) -> None:
    source = os.fspath(clip())
    info, leash = prober.probe(source), Leash()
    leash.abort("stop")
    with pytest.raises(Aborted):
        measure(source, source, info, info, ffmpeg="/bin/true", settings=ALL, leash=leash)


def test_long_recordings_have_samples_over_their_length(prober: Prober, tmp_path: Path) -> None:
    source = clip(seconds=20, fps="5", width=64, height=64, audio=None)
    spread = dataclasses.replace(ALL, short_s=10, spread=3, frames=5)
    found = measured(prober, source, copy_of(source, tmp_path / "copy.mp4"), spread)
    places = [sample.frame for sample in found.samples if not sample.worst_place]
    assert len(found.samples) in (3, 4)
    assert max(places) - min(places) > 50


@pytest.mark.parametrize("spoilt", ["lt(n,6)", "gte(n,94)"], ids=["begin", "end"])
def test_an_encoder_that_begins_or_ends_badly_is_seen(
    prober: Prober, tmp_path: Path, spoilt: str
) -> None:
    source = clip(seconds=20, fps="5", width=64, height=64, audio=None)
    spread = dataclasses.replace(ALL, short_s=10, spread=3, frames=5)
    blur = ("-vf", f"boxblur=6:enable='{spoilt}'")
    bad = measured(prober, source, copy_of(source, tmp_path / "copy.mp4", *blur), spread)
    assert bad.harmonic < 50


@pytest.mark.parametrize(
    "words", ["hue=s=0", "lutyuv=u=128:v=200", "lutyuv=u=val+8"], ids=["grey", "tinted", "shifted"]
)
def test_lost_colours_are_seen(prober: Prober, tmp_path: Path, words: str) -> None:
    """VMAF looks at brightness alone."""
    source = clip(seconds=2)
    found = measured(prober, source, copy_of(source, tmp_path / "copy.mp4", "-vf", words))
    assert not found.keeps_color


@pytest.mark.parametrize(
    "words",
    ["lutyuv=y=clip((val-16)*255/219\\,0\\,255)", "lutyuv=y=val+8", "lutyuv=y=val-16"],
    ids=["range converted", "brighter", "darker"],
)
def test_another_brightness_is_seen(prober: Prober, tmp_path: Path, words: str) -> None:
    """VMAF gives 90 and more where a driver mistook the range, and black and white are lost."""
    source = clip(seconds=2)
    found = measured(prober, source, copy_of(source, tmp_path / "copy.mp4", "-vf", words))
    assert found.harmonic > 85
    assert not found.keeps_light


@pytest.mark.parametrize("options", [{}, {"pix_fmt": "yuv420p10le"}, {"pix_fmt": "gray"}])
def test_ordinary_encodes_keep_their_colours_and_their_light(
    prober: Prober, tmp_path: Path, options: dict[str, Any]
) -> None:
    source = clip(seconds=2, **options)
    found = measured(prober, source, copy_of(source, tmp_path / "copy.mp4", "-crf", "34"))
    assert found.keeps_color
    assert found.keeps_light
