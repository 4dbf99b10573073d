"""Every rung's words are ffmpeg's own, and keep what the source is."""

from dataclasses import replace

import pytest
from support.ffmpeg_help import problems
from support.media_values import FACTS, info, track, video

from watcher.errors import Refused
from watcher.transcode.command import Job, argv
from watcher.transcode.encoders import (
    CQP,
    CRF_SVT,
    ENCODERS,
    PRESETS,
    Decode,
    Rung,
    Settings,
    fitting,
    ladder,
)
from watcher.transcode.media import MediaInfo

RUNGS = [rung for rungs in ENCODERS.values() for rung in rungs]


def command(rung: Rung, media: MediaInfo | None = None, **settings: object) -> list[str]:
    job = Job(media or info(), "/r/seg.mp4", "/r/.seg.mp4.transcoding", Settings(**settings))  # type: ignore[arg-type]
    return argv("/usr/bin/ffmpeg", rung, job)


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.label)
@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts"])
def test_every_word_of_every_rung_is_in_ffmpegs_own_help(rung: Rung, container: str) -> None:
    for preset in PRESETS:
        for quality in (0, 23, 51):
            words = command(
                rung, info(container=container), preset=preset, quality=quality, max_threads=3
            )
            assert problems(words) == []


def test_the_checker_finds_what_ffmpeg_would_not_understand() -> None:
    words = command(ENCODERS["hevc_qsv"][0])
    at = words.index("-low_power")
    assert problems([*words[:at], "-look_ahead", "1", *words[at:]]) == [
        "-look_ahead: no such option"
    ]
    assert problems([*words[:at], "-preset", "ultrafast", *words[at:]])
    assert problems([*words[:at], "-async_depth", "0", *words[at:]])


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.label)
def test_what_keeps_the_recording_as_it_is_stands_in_every_command(rung: Rung) -> None:
    words = command(rung)
    joined = " ".join(words)
    for part in (
        "-map 0 ",
        "-map_metadata 0",
        "-disposition:v:0 0",  # said for one, ffmpeg makes up none of the others
        "-c:a copy -c:s copy -c:d copy",
        "-copyts -fps_mode passthrough -enc_time_base demux",
        "-noautorotate",
        "-reinit_filter 0",
        "-protocol_whitelist file -f mov -i file:/r/seg.mp4",
        "-xerror",
        "-nostdin",
        "-progress pipe:1",
        f"-c:v:0 {rung.encoder}",
    ):
        assert part in joined
    assert words[-3:] == ["-f", "mp4", "file:/r/.seg.mp4.transcoding"]
    assert "-err_detect" not in words  # with explode and without -xerror, ffmpeg 9 never ended
    assert "-y" in words


def test_the_first_rung_of_quick_sync_is_the_one_that_was_looked_up() -> None:
    joined = " ".join(command(ENCODERS["hevc_qsv"][0]))
    assert (
        "-init_hw_device vaapi=va:/dev/dri/renderD128,driver=iHD -init_hw_device qsv=qs@va "
        "-filter_hw_device qs -hwaccel qsv -hwaccel_device qs -hwaccel_output_format qsv "
        "-noautorotate"
    ) in joined
    assert (
        "-c:v:0 hevc_qsv -low_power 1 -preset medium -q:v:0 25 -i_qfactor 1 -i_qoffset -2 "
        "-b_qfactor 1 -b_qoffset 2 -bf 0 -g 25 -idr_interval 0 -adaptive_i 0 -adaptive_b 0 "
        "-async_depth 4"
    ) in joined
    assert "-color" not in joined  # hardware frames carry their colour with them


def test_software_decoding_hands_the_encoder_what_it_reads() -> None:
    rung = ENCODERS["hevc_qsv"][0].decoding(Decode.SOFTWARE)
    words = command(rung)
    assert "-hwaccel" not in words
    assert after(words, "-vf") == "format=nv12"
    assert after(words, "-threads") == "2"
    full = command(rung, info(video=video(color_range="pc")))
    assert after(full, "-vf") == "scale=in_range=full:out_range=full,format=nv12"
    assert after(full, "-color_range:v:0") == "pc"
    ten = command(rung, info(video=video(pix_fmt="yuv420p10le", bit_depth=10)))
    assert after(ten, "-vf") == "format=p010le"


def test_no_rung_uses_b_frames_in_hardware() -> None:
    for rung in RUNGS:
        if rung.hardware:
            assert after(command(rung), "-bf") == "0"


def test_hvc1_stands_only_where_it_means_something() -> None:
    x265, svt = ENCODERS["libx265"][0], ENCODERS["libsvtav1"][0]
    assert after(command(x265), "-tag:v:0") == "hvc1"
    assert "-tag:v:0" not in command(svt)
    assert "-tag:v:0" not in command(x265, info(container="matroska"))
    assert "-movflags" not in command(x265, info(container="matroska"))


def test_the_index_goes_to_the_front_only_where_it_was() -> None:
    x265 = ENCODERS["libx265"][0]
    assert after(command(x265), "-movflags") == "+use_metadata_tags"
    first = command(x265, info(moov_first=True))
    assert after(first, "-movflags") == "+use_metadata_tags+faststart"


def test_key_frames_stand_as_far_apart_as_the_sources() -> None:
    x265, fast = ENCODERS["libx265"][0], ENCODERS["hevc_qsv"][0]
    sparse = info(video=video(packets=replace(FACTS, keyframe_distance=120)))
    assert "keyint=120:min-keyint=1:open-gop=0" in after(command(x265, sparse), "-x265-params")
    assert after(command(fast, sparse), "-g") == "120"
    single = info(video=video(packets=replace(FACTS, keyframe_distance=None)))
    assert after(command(fast, single), "-g") == "50"
    unknown = info(video=video(packets=None))
    assert after(command(fast, unknown), "-g") == "250"


def test_colour_is_said_again_and_nothing_is_made_up() -> None:
    x265 = ENCODERS["libx265"][0]
    words = command(x265)
    assert after(words, "-color_primaries:v:0") == "bt709"
    nothing = video(color_range=None, color_primaries=None, color_transfer=None, color_matrix=None)
    assert not [w for w in command(x265, info(video=nothing)) if w.startswith("-color")]


def test_a_chapter_track_is_written_anew_not_copied() -> None:
    streams = (*info().streams, track(2, "data", "bin_data", "text"))
    joined = " ".join(command(ENCODERS["libx265"][0], info(streams=streams)))
    assert "-map 0 -map -0:2 " in joined


def test_what_is_copied_is_copied_from_its_first_packet_key_frame_or_not() -> None:
    words = command(ENCODERS["libx265"][0])
    assert words.index("-i") < words.index("-copyinkf")


def test_when_a_file_was_made_is_said_where_its_tracks_alone_say_it() -> None:
    x265, made = ENCODERS["libx265"][0], {"creation_time": "2026-11-27T06:02:00.000000Z"}
    streams = tuple(replace(stream, metadata=made) for stream in info().streams)
    said = "creation_time=2026-11-27T06:02:00.000000Z"
    assert said in command(x265, info(streams=streams))
    assert said not in command(x265, info(streams=streams, metadata=made))
    assert said not in command(x265, info(streams=streams, container="matroska"))


def test_what_a_track_is_called_is_written_from_a_title() -> None:
    x265, (picture, sound) = ENCODERS["libx265"][0], info().streams
    called = [replace(sound, index=at, metadata={"name": f"mic {at}"}) for at in (1, 2)]
    titled = replace(picture, metadata={"name": "yard", "title": "gate"})
    media = info(streams=(titled, sound, *called))
    words = command(x265, media)
    assert after(words, "-metadata:s:a:1") == "title=mic 1"
    assert after(words, "-metadata:s:a:2") == "title=mic 2"
    assert not {"-metadata:s:v:0", "-metadata:s:a:0"} & {*words}
    assert "-metadata:s:a:1" not in command(x265, replace(media, container="matroska"))


def test_names_that_look_like_options_or_patterns_stay_names() -> None:
    job = Job(info(), "/r/-i %03d:\n\udcff.mp4", "/r/.x", Settings())
    words = argv("ffmpeg", ENCODERS["libx265"][0], job)
    assert after(words, "-i") == "file:/r/-i %03d:\n\udcff.mp4"


def test_threads_are_limited_where_software_works() -> None:
    x265, svt = ENCODERS["libx265"][0], ENCODERS["libsvtav1"][0]
    assert "pools=2" in after(command(x265, max_threads=2), "-x265-params")
    assert after(command(x265, max_threads=2), "-threads") == "2"
    assert after(command(svt, max_threads=2), "-svtav1-params") == "lp=2"
    assert "-threads" not in command(x265)
    in_software = ENCODERS["hevc_qsv"][0].decoding(Decode.SOFTWARE)
    assert after(command(in_software, max_threads=1), "-threads") == "1"
    assert after(command(in_software, max_threads=8), "-threads") == "2"


def test_a_damaged_source_may_be_told_to_be_borne() -> None:
    assert "-xerror" not in command(ENCODERS["libx265"][0], tolerate_damage=True)


def test_the_ladder_of_quick_sync_begins_where_the_configuration_says() -> None:
    labels = [rung.label for rung in ladder("hevc_qsv", "fast")]
    assert labels[:3] == ["hevc_qsv/fast", "hevc_qsv/fast/software-decode", "hevc_qsv/efficient"]
    assert labels[-1] == "hevc_vaapi/low-power/software-decode"
    assert ladder("hevc_qsv", "efficient")[0].label == "hevc_qsv/efficient"
    assert set(ladder("hevc_qsv", "efficient")) == set(ladder("hevc_qsv", "fast"))


def test_auto_ends_with_faster_and_faster_software() -> None:
    labels = [rung.label for rung in ladder("auto", preset="medium")]
    assert labels[-4:] == ["libx265", "libx265/veryfast", "libx265/superfast", "libx265/ultrafast"]
    assert len(set(labels)) == len(labels)
    assert [r.label for r in ladder("auto", preset="ultrafast")][-1] == "libx265"


def test_the_untried_are_marked() -> None:
    assert {rung.encoder for rung in RUNGS if rung.untried} == {"hevc_nvenc", "av1_qsv"}


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.label)
def test_better_quality_never_gets_a_worse_figure(rung: Rung) -> None:
    figures = [rung.scale.of(quality) for quality in range(52)]
    assert figures == sorted(figures)


def test_quality_is_mapped_by_one_table() -> None:
    assert (CQP.of(0), CQP.of(23), CQP.of(51)) == (10, 25, 51)
    assert CRF_SVT.of(23) == 30


@pytest.mark.parametrize(
    ("changes", "decode"),
    [
        ({}, Decode.HARDWARE),
        ({"profile": "Constrained Baseline"}, Decode.HARDWARE),
        ({"profile": "Baseline"}, Decode.SOFTWARE),
        ({"profile": "High 10", "pix_fmt": "yuv420p10le"}, Decode.SOFTWARE),
        ({"codec": "mpeg4"}, Decode.SOFTWARE),
    ],
)
def test_hardware_decodes_only_what_it_is_known_to(changes: dict[str, str], decode: Decode) -> None:
    assert fitting(ENCODERS["hevc_qsv"][0], video(**changes), "mp4").decode is decode


@pytest.mark.parametrize(
    ("encoder", "pix_fmt", "taken"),
    [
        ("hevc_qsv", "yuv422p", False),
        ("hevc_qsv", "yuv420p10le", True),
        ("libx265", "yuv444p", True),
        ("libx265", "yuvj422p", True),
        ("libx265", "pal8", False),
        ("libsvtav1", "yuv422p", False),
        ("libsvtav1", "yuv420p10le", True),
    ],
)
def test_no_encoder_is_given_pixels_that_it_would_change(
    encoder: str, pix_fmt: str, taken: bool
) -> None:
    rung = ENCODERS[encoder][0]
    if taken:
        fitting(rung, video(pix_fmt=pix_fmt, profile="High 4:4:4"), "mp4")
    else:
        with pytest.raises(Refused) as refused:
            fitting(rung, video(pix_fmt=pix_fmt, profile="High 4:4:4"), "mp4")
        assert refused.value.reason == "pixel_format_not_carried"


@pytest.mark.parametrize("encoder", ["libsvtav1", "av1_qsv"])
def test_a_container_that_does_not_hold_av1_is_no_fault_of_the_encoders(encoder: str) -> None:
    """Three files that fail by the encoder's fault would end the night for all others."""
    rung = ENCODERS[encoder][0]
    with pytest.raises(Refused, match="does not hold av1") as refused:
        fitting(rung, video(), "mov")
    assert refused.value.reason == "codec_not_carried"
    assert fitting(rung, video(), "matroska").codec == fitting(rung, video(), "mp4").codec == "av1"
    assert fitting(ENCODERS["libx265"][0], video(), "mov").codec == "hevc"


def test_a_file_without_video_has_no_command() -> None:
    with pytest.raises(Refused, match="no video"):
        command(ENCODERS["libx265"][0], info(video=None))
