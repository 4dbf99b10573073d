"""What is converted, and by which name everything else is refused."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from support.media_values import PICTURE, SOUND, info, track, video

from watcher.errors import Refused
from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, suitability


def refused(read: MediaInfo, codecs: Sequence[str] = ("h264",)) -> Refused | None:
    """Why *read* is refused; None: it is suitable."""
    try:
        suitability(read, codecs)
    except Refused as why:
        return why
    return None


def test_an_ordinary_recording_is_suitable() -> None:
    assert refused(info()) is None


def test_a_recording_without_sound_is_suitable() -> None:
    assert refused(info(streams=(PICTURE,))) is None


def spoken(language: str) -> StreamInfo:
    return replace(SOUND, metadata=MappingProxyType({"language": language}))


def pcm(*runs: tuple[int, int]) -> StreamInfo:
    return track(1, "audio", "pcm_alaw", packets=PacketFacts(2, 2048, 0, 9120, runs=runs))


def text(end: int) -> StreamInfo:
    packets = PacketFacts(2, 9, 0, end, timestamps=(0, 20))
    return track(1, "subtitle", "mov_text", packets=packets)


TAKEN: list[dict[str, Any]] = [
    {"container": "mov", "streams": (PICTURE, spoken("ger"))},
    {"container": "mov", "streams": (PICTURE, spoken("und"))},
    {"streams": (PICTURE, spoken("bos"))},
    {"streams": (PICTURE, spoken("\x7f\x7f\x7f"))},  # all bits are set
    {"container": "matroska", "streams": (PICTURE, spoken("```"))},
    {"container": "mov", "streams": (PICTURE, pcm((0, 4000)))},
    {"container": "matroska", "streams": (PICTURE, pcm((0, 0), (1024, 5024)))},
    {"fragmented": True, "streams": (PICTURE, text(end=21))},
    {"streams": (PICTURE, text(end=20))},
]


@pytest.mark.parametrize("changes", TAKEN)
def test_what_a_container_can_say_again_is_suitable(changes: dict[str, Any]) -> None:
    assert refused(info(**changes)) is None


REFUSED = [
    ("already_hevc", {"video": video(codec="hevc")}),
    ("codec_not_listed", {"video": video(codec="mpeg4")}),
    ("made_by_watcher", {"metadata": MappingProxyType({"watcher": "libx265"})}),
    ("interlaced", {"video": video(interlaced=True)}),
    ("dolby_vision", {"video": video(dolby_vision=True)}),
    ("spatial", {"video": video(spatial=True)}),
    ("no_video", {"video": None}),
    ("no_video", {"streams": (SOUND,)}),
    ("several_video", {"streams": (PICTURE, track(1, "video", "mjpeg"))}),
    ("audio_not_carried", {"streams": (PICTURE, track(1, "audio", "pcm_alaw"))}),
    ("audio_not_carried", {"streams": (PICTURE, track(1, "audio", "pcm_s16le"))}),
    (
        "audio_not_carried",
        {"container": "mov", "streams": (PICTURE, track(1, "audio", "opus"))},
    ),
    ("track_not_carried", {"streams": (PICTURE, track(1, "data", "", "tmcd"))}),
    ("track_not_carried", {"streams": (PICTURE, track(1, "data", "", "mebx"))}),
    ("track_not_carried", {"streams": (PICTURE, track(1, "data", "", "text"))}),
    ("track_not_carried", {"streams": (PICTURE, track(1, "subtitle", "eia_608"))}),
    ("metadata_not_carried", {"container": "mov", "streams": (PICTURE, spoken("bos"))}),
    ("metadata_not_carried", {"streams": (PICTURE, spoken("```"))}),
    ("metadata_not_carried", {"streams": (PICTURE, spoken("hr "))}),
    ("audio_not_carried", {"container": "mov", "streams": (PICTURE, pcm((0, 0), (1024, 5024)))}),
    ("track_not_carried", {"fragmented": True, "streams": (PICTURE, text(end=20))}),
    ("damaged_source", {"video": video(pix_fmt=None)}),
    ("damaged_source", {"video": video(width=0)}),
    ("damaged_source", {"video": video(frames_claimed=51)}),
    ("damaged_source", {"video": video(packets=PacketFacts(0, 0, None, None))}),
    ("container_not_carried", {"container": "mpegts"}),
]


@pytest.mark.parametrize(("reason", "changes"), REFUSED)
def test_what_can_not_be_carried_over_is_refused_by_name(
    reason: str, changes: dict[str, Any]
) -> None:
    why = refused(info(**changes))
    assert why is not None
    assert why.reason == reason
    assert why.message


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_other_containers_carry_other_audio(container: str) -> None:
    streams = (PICTURE, track(1, "audio", "pcm_alaw"))
    assert refused(info(container=container, streams=streams)) is None


def test_subtitles_and_attachments_stay_in_matroska() -> None:
    streams = (PICTURE, track(1, "subtitle", "subrip"), track(2, "attachment", "ttf"))
    assert refused(info(container="matroska", streams=streams)) is None


def test_a_chapter_track_is_no_obstacle() -> None:
    streams = (PICTURE, track(1, "data", "", "text"))
    assert refused(info(streams=streams, chapters=((0.0, 1.0, "Door"),))) is None


def test_what_is_listed_is_taken() -> None:
    assert refused(info(video=video(codec="mpeg4")), ["h264", "mpeg4"]) is None
    assert refused(info(video=video(codec="hevc")), ["h264", "hevc"]) is None
