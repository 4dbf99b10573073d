"""Every check of verification, by a copy or a source that is wrong in just that."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip, ffmpeg, remux
from support.corpus import chapters
from support.damage import Bend, bent, cut, flip, insert, spoil_sample, zero
from support.isobmff import box
from support.proving import MEASURED, STRUCTURE, copy_of, encode_that, proven, the_ffmpeg, tools

from watcher.errors import Aborted, Refused, Retryable
from watcher.settings import Transcoding
from watcher.transcode.command import Job
from watcher.transcode.encode import encode
from watcher.transcode.encoders import Decode, Settings, ladder
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.verify import Tools, VerifySettings, judge_source, verify_copy

Make = Callable[[Path, Path], Path]


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def by(*words: str, before: tuple[str, ...] = ()) -> Make:
    """Make the copy with *words*."""
    return lambda source, directory: copy_of(
        source, directory / f"copy{source.suffix}", *words, before=before
    )


def joined(*words: str, audio_before: tuple[str, ...] = ()) -> Make:
    """Make the copy of the video of the source, and of its sound read a second time."""

    def make(source: Path, directory: Path) -> Path:
        target = directory / f"copy{source.suffix}"
        again: tuple[str | Path, ...] = ("-i", source, *audio_before, "-i", source)
        quiet = ("-x265-params", "log-level=none:pools=1")
        video = ("-map", "0:v", "-map", "1:a", "-c:v", "libx265", "-preset", "ultrafast", *quiet)
        exact = ("-fps_mode", "passthrough", "-enc_time_base", "demux", "-tag:v", "hvc1")
        ffmpeg("-copyts", *again, *video, "-c:a", "copy", *exact, *words, target)
        return target

    return make


def afterwards(bend: Bend) -> Make:
    """Make a good copy and bend its bytes."""

    def make(source: Path, directory: Path) -> Path:
        good = copy_of(source, directory / "good.mp4")
        return bent(good, directory / "copy.mp4", bend)

    return make


def container_says_full_range(source: Path, directory: Path) -> Path:
    """Make a copy whose stream says limited range, where players that go by it lose contrast."""
    limited = ("-bsf:v", "hevc_metadata=video_full_range_flag=0")
    good = copy_of(source, directory / "good.mp4", *limited)

    def bend(data: bytearray) -> None:
        colr = box(b"colr", b"nclx" + bytes([0, 2, 0, 2, 0, 2, 0x80]))
        parents = (b"hvc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")
        insert(data, data.index(b"hvcC") - 4, colr, parents)

    return bent(good, directory / "copy.mp4", bend)


def test_a_good_copy_is_proven_and_the_report_says_by_what(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    report = proven(prober, source, copy_of(source, tmp_path / "copy.mp4"), MEASURED)
    said = report.to_json()
    assert (said["frames"], said["max_timestamp_error_s"]) == (50, 0.0)
    assert (said["decode"], said["source_decode"], said["damaged_frames"]) == ("full", "full", 0)
    assert list(report.packets) == [1]
    assert report.savings_percent > 40
    assert report.vmaf is not None
    assert report.vmaf_min is not None
    assert report.vmaf_min <= report.vmaf


COLOURS = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709")

WRONG: dict[str, tuple[dict[str, Any], Make, str]] = {
    "the last frame is missing": ({"audio": None}, by("-frames:v", "49"), "frames_differ"),
    "frames are doubled": ({}, by("-vf", "fps=50"), "frames_differ"),
    "a frame comes late": (
        {},
        by("-vf", "setpts='if(eq(N,10),PTS+0.6/25/TB,PTS)'"),
        "timestamps_differ",
    ),
    "every frame comes 3 ms late": ({}, by("-vf", "setpts=PTS+0.003/TB"), "timestamps_differ"),
    "all is moved by a second": (
        {"audio": None},
        by("-output_ts_offset", "1"),
        "timestamps_differ",
    ),
    "sound comes 50 ms late": (
        {"audio": "pcm_alaw", "container": "mov"},
        joined(audio_before=("-itsoffset", "0.05")),
        "offset_differs",
    ),
    "sound was encoded again": ({}, by("-c:a", "aac", "-b:a", "24k"), "packets_differ"),
    "sound ends early": ({}, joined(audio_before=("-t", "1.5")), "packets_differ"),
    "sound is lost": ({}, by("-an"), "streams_differ"),
    "sound is doubled": ({}, by("-map", "0", "-map", "0:a"), "streams_differ"),
    "smaller pictures": ({}, by("-vf", "scale=152:112"), "picture_differs"),
    "colour of half the width": (
        {"pix_fmt": "yuv422p"},
        by("-pix_fmt", "yuv420p"),
        "picture_differs",
    ),
    "8 of 10 bits": ({"pix_fmt": "yuv420p10le"}, by("-pix_fmt", "yuv420p"), "picture_differs"),
    "full range is lost": (
        {"pix_fmt": "yuvj420p"},
        by("-vf", "scale=out_range=tv", "-pix_fmt", "yuv420p", "-color_range", "tv"),
        "picture_differs",
    ),
    "full range is left to the container": (
        {"pix_fmt": "yuvj420p", "audio": None},
        container_says_full_range,
        "picture_differs",
    ),
    "colours are lost": ({"video": COLOURS}, by("-colorspace", "bt470bg"), "picture_differs"),
    "a rare colour matrix is lost": (
        {"output": ("-bsf:v", "h264_metadata=matrix_coefficients=14")},
        by("-vf", "setparams=colorspace=unknown"),
        "picture_differs",
    ),
    "the aspect is lost": (
        {"video": ("-vf", "setsar=16/11")},
        by("-vf", "setsar=1"),
        "picture_differs",
    ),
    "still H.264": ({"crf": 4}, by("-c:v", "libx264", "-tag:v", "avc1"), "codec_differs"),
    "the index is behind": ({"faststart": True}, by(), "index_not_first"),
    "bits of it flipped": ({"audio": None}, afterwards(flip(60)), "copy_damaged"),
    "half of it zeroed": ({"audio": None}, afterwards(zero(0.5, 1)), "copy_damaged"),
    "its last byte is missing": ({}, afterwards(cut(1)), "copy_damaged"),
    "it holds two copies": ({}, afterwards(lambda data: data.extend(bytes(data))), "copy_damaged"),
    "other pictures": ({}, by("-vf", "negate"), "quality_too_low"),
    "blurred pictures": ({}, by("-vf", "boxblur=4"), "quality_too_low"),
    "one place is spoilt": (
        {"seconds": 4},
        by("-vf", "boxblur=6:enable='between(n,42,60)'"),
        "copy_damaged",
    ),
    "one place is poor": (  # from afar it looks as it did
        {"seconds": 4, "width": 640, "height": 480},
        by("-vf", "gblur=sigma=2:planes=1:enable='between(n,42,60)'"),
        "quality_too_low",
    ),
    "the sound is no longer the default": ({}, by("-disposition:a", "comment"), "streams_differ"),
    "the video is a comment": (
        {"container": "mkv"},
        by("-disposition:v", "comment"),
        "streams_differ",
    ),
    "no key frame comes after the first": (
        {"seconds": 24, "width": 64, "height": 64, "audio": None},
        by("-x265-params", "keyint=-1:scenecut=0:log-level=none:pools=1"),
        "keyframes_differ",
    ),
    "saves next to nothing": ({"crf": 45}, by("-crf", "14"), "no_saving"),
}


@pytest.mark.parametrize(("options", "make", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_copy_is_refused_for_what_is_wrong(
    prober: Prober, tmp_path: Path, options: dict[str, Any], make: Make, reason: str
) -> None:
    source = clip(**options)
    copy = make(source, tmp_path)
    with pytest.raises((Refused, Retryable)) as caught:
        proven(prober, source, copy, MEASURED)
    assert caught.value.reason == reason, caught.value.message


def test_a_lost_rotation_is_seen(prober: Prober, tmp_path: Path) -> None:
    source = remux(clip(), tmp_path / "rec.mp4", before=("-display_rotation", "90"))
    assert proven(prober, source, copy_of(source, tmp_path / "good.mp4")).frames == 50
    turned = copy_of(source, tmp_path / "copy.mp4", before=("-display_rotation", "0"))
    with pytest.raises(Refused, match="rotation") as caught:
        proven(prober, source, turned)
    assert caught.value.reason == "picture_differs"


def test_lost_words_are_seen(prober: Prober, tmp_path: Path) -> None:
    """Title, language and what else a person wrote must be in the copy too."""
    words = ["-metadata", "title=yard", "-metadata:s:a:0", "language=deu"]
    source = remux(clip(), tmp_path / "rec.mp4", *words)
    assert proven(prober, source, copy_of(source, tmp_path / "good.mp4")).frames == 50
    for number, lost in enumerate((("-metadata", "title="), ("-metadata:s:a:0", "language=fra"))):
        with pytest.raises(Refused) as caught:
            proven(prober, source, copy_of(source, tmp_path / f"{number}.mp4", *lost))
        assert caught.value.reason == "metadata_differs"


def test_lost_chapters_are_seen(prober: Prober, tmp_path: Path) -> None:
    source = chapters.make(tmp_path)
    words = ["-map", "0", "-map", "-0:d"]
    assert proven(prober, source, copy_of(source, tmp_path / "good.mp4", *words)).frames == 25
    copy = copy_of(source, tmp_path / "copy.mp4", *words, "-map_chapters", "-1")
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy)
    assert caught.value.reason == "chapters_differ"


def test_another_container_is_seen(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mkv", "-tag:v", "0")
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy)
    assert caught.value.reason == "container_differs"


def test_too_little_saved_is_refused_before_anything_is_decoded(
    prober: Prober, tmp_path: Path
) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    greedy = dataclasses.replace(STRUCTURE, min_space_savings=99)
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, greedy)
    assert caught.value.reason == "savings_too_small"


# ---- the source's own decode --------------------------------------------------------------------


def spoiled(tmp_path: Path, *bends: Bend, **options: Any) -> tuple[Path, Path]:
    """Give a damaged source, and a copy that a decoder which hides damage would have made."""

    def bend(data: bytearray) -> None:
        for one in bends:
            one(data)

    source = bent(clip(**options), tmp_path / "rec.mp4", bend)
    return source, copy_of(source, tmp_path / "copy.mp4")


def test_damage_that_a_hardware_decoder_hid_is_found(prober: Prober, tmp_path: Path) -> None:
    """Garbage encodes cleanly: the copy is perfect, and the source was broken."""
    source, copy = spoiled(tmp_path, spoil_sample(31))
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, encoded=encode_that(decode=Decode.HARDWARE))
    assert caught.value.reason == "damaged_source"


def test_damage_that_the_encode_saw_is_not_overlooked(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    line = "[vist#0:0/h264 @ 0x5581] [dec:h264 @ 0x5582] [warning] corrupt decoded frame\n"
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, encoded=encode_that(stderr=line))
    assert caught.value.reason == "damaged_source"


def test_a_line_that_nobody_knows_is_a_reason(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    with pytest.raises(Refused):
        proven(prober, source, copy, encoded=encode_that(stderr="[warning] something odd\n"))


def test_what_the_encoder_says_of_itself_is_no_damage(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    chatter = "[mp4 @ 0x1] [warning] track 1: codec frame size is not set\nx265 [warning]: slow\n"
    assert proven(prober, source, copy, encoded=encode_that(stderr=chatter)).frames == 50


def test_damaged_sound_is_the_sources_damage(prober: Prober, tmp_path: Path) -> None:
    source, copy = spoiled(tmp_path, spoil_sample(4, track=1))
    with pytest.raises(Refused, match="aac") as caught:
        proven(prober, source, copy, encoded=encode_that())
    assert caught.value.reason == "damaged_source"


def test_sampled_says_so_and_still_finds_a_broken_key_frame(prober: Prober, tmp_path: Path) -> None:
    settings = dataclasses.replace(STRUCTURE, decode="sampled")
    hardware = encode_that(decode=Decode.HARDWARE)
    source = clip()
    report = proven(prober, source, copy_of(source, tmp_path / "a.mp4"), settings, hardware)
    assert (report.decode, report.source_decode) == ("sampled", "sampled")
    source, copy = spoiled(tmp_path, spoil_sample(25))  # frame 25 is the second key frame
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, settings, hardware)
    assert caught.value.reason == "damaged_source"


CONVERT = VerifySettings(quality=None, min_space_savings=5, damaged_sources="convert")
LONG: dict[str, Any] = {"seconds": 16, "width": 64, "height": 64, "audio": None, "gop": 2}


def test_convert_takes_a_frame_in_two_hundred_and_counts_it(prober: Prober, tmp_path: Path) -> None:
    source, copy = spoiled(tmp_path, spoil_sample(331), **LONG)
    report = proven(prober, source, copy, CONVERT)
    assert report.source_errors == 2  # up to the next key frame
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, STRUCTURE)
    assert caught.value.reason == "damaged_source"


def test_convert_goes_the_whole_road(prober: Prober, tmp_path: Path) -> None:
    """What the real encode says of a damaged frame is counted, not decoded a second time."""
    source = bent(clip(**LONG), tmp_path / "rec.mp4", spoil_sample(331))
    info = prober.probe(str(source))
    judge_source(info, CONVERT, tools(prober))
    settings = Settings(preset="ultrafast", quality=28, max_threads=1, tolerate_damage=True)
    job = Job(info, str(source), str(tmp_path / "copy.mp4"), settings)
    made = encode(the_ffmpeg(), ladder("libx265")[0], job, project=False)
    assert made.source_errors > 0
    report = verify_copy(info, job.output, made, tools(prober), CONVERT)
    assert (report.source_errors, report.frames, report.source_decode) == (2, 400, "full")


def test_convert_counts_what_is_made_of_a_damaged_frame(prober: Prober, tmp_path: Path) -> None:
    """It is seen until the next key frame: 25 frames of 400, though one alone is spoiled."""
    source, copy = spoiled(tmp_path, spoil_sample(331), **{**LONG, "gop": 25})
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, CONVERT)
    assert (caught.value.reason, caught.value.figures["damaged_frames"]) == ("damaged_source", 25)


def test_convert_does_not_take_more(prober: Prober, tmp_path: Path) -> None:
    bends = [spoil_sample(number) for number in (30, 90, 150, 210)]
    source, copy = spoiled(tmp_path, *bends, **LONG)
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy, CONVERT)
    assert caught.value.reason == "damaged_source"


def test_convert_does_not_take_a_damaged_container(prober: Prober, tmp_path: Path) -> None:
    source = bent(clip(faststart=True), tmp_path / "rec.mp4", cut(900))
    with pytest.raises(Refused) as caught:
        judge_source(prober.probe(str(source)), CONVERT, tools(prober))
    assert caught.value.reason == "damaged_source"


# ---- holding and ending -------------------------------------------------------------------------


def test_an_abort_ends_verification(prober: Prober, tmp_path: Path) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    leash = Leash()
    leash.abort("stop")
    with pytest.raises(Aborted):
        proven(prober, source, copy, leash=leash)


def test_a_pause_holds_verification_and_nothing_is_lost_by_it(
    prober: Prober, tmp_path: Path
) -> None:
    source = clip()
    copy = copy_of(source, tmp_path / "copy.mp4")
    leash = Leash()
    leash.pause("cpu")
    with ThreadPoolExecutor(1) as thread:
        report = thread.submit(proven, prober, source, copy, MEASURED, leash=leash)
        assert not report.done()
        leash.resume()
        assert report.result(timeout=120).frames == 50
    assert leash.paused_s() > 0


def test_settings_are_the_configurations() -> None:
    configured = Transcoding(min_vmaf=91, verify_decode="sampled", max_threads=3)
    found = VerifySettings.of(configured)
    assert (found.decode, found.max_threads, found.damaged_sources) == ("sampled", 3, "skip")
    assert found.quality is not None
    assert (found.quality.min_vmaf, found.quality.max_threads) == (91, 3)
    assert VerifySettings.of(Transcoding(verify_quality=False)).quality is None


def test_vmaf_is_measured_by_an_ffmpeg_that_has_it(prober: Prober) -> None:
    """The encoding ffmpeg may have none: then by the bundled one."""
    without = dataclasses.replace(the_ffmpeg(), path="/usr/bin/other", filters=frozenset({"scale"}))
    assert Tools(without, prober, Leash()).vmaf_ffmpeg == the_ffmpeg().path
    having = dataclasses.replace(without, filters=frozenset({"libvmaf"}))
    assert Tools(having, prober, Leash()).vmaf_ffmpeg == "/usr/bin/other"


def test_a_copy_that_vanished_is_tried_again(prober: Prober, tmp_path: Path) -> None:
    with pytest.raises(Retryable):
        proven(prober, clip(), tmp_path / "nothing.mp4")


def test_the_source_may_have_any_name(prober: Prober, tmp_path: Path) -> None:
    source = tmp_path / "-i [error] %03d\n[h264 @ 0x1] [error] x.mp4"
    shutil.copyfile(clip(), source)
    judge_source(prober.probe(str(source)), STRUCTURE, tools(prober))
    assert proven(prober, source, copy_of(clip(), tmp_path / "copy.mp4")).frames == 50


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_text_that_is_shown_for_longer_is_another(
    prober: Prober, tmp_path: Path, kind: str
) -> None:
    def subtitled(video: Path, until: str, target: Path, *words: str) -> Path:
        text = tmp_path / "words.srt"
        text.write_text(f"1\n00:00:00,200 --> 00:00:{until}\nmotion\n", encoding="utf-8")
        codec = ("-c:s", "srt" if kind == "mkv" else "mov_text")
        both = ("-copyts", "-i", video, "-i", text, "-map", "0", "-map", "1")
        ffmpeg(*both, "-c", "copy", *codec, *words, target)
        return target

    source = subtitled(clip(container=kind), "00,900", tmp_path / f"rec.{kind}")
    made = copy_of(clip(container=kind), tmp_path / f"made.{kind}")
    same = subtitled(made, "00,900", tmp_path / f"same.{kind}")
    proven(prober, source, same)
    longer = subtitled(made, "01,400", tmp_path / f"longer.{kind}")
    with pytest.raises(Refused, match=r"a text is over 0\.500 s from") as why:
        proven(prober, source, longer)
    assert why.value.reason == "end_differs"
