"""What the index says is held against what was read: a track or a time that got lost is found."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip
from support.damage import bent
from support.isobmff import Movie, box, full
from support.matroska import BLOCK, HEAD, ebml
from support.media_values import PICTURE, video
from support.media_values import info as ordinary
from support.proving import STRUCTURE

from watcher.errors import Refused
from watcher.transcode.boxes import walk
from watcher.transcode.findings import Walked
from watcher.transcode.media import MediaInfo, PacketFacts
from watcher.transcode.probe import Prober
from watcher.transcode.source import _counted, judge_source


def refusal(info: MediaInfo) -> Refused:
    with pytest.raises(Refused) as refused:
        judge_source(info, STRUCTURE)
    return refused.value


@pytest.fixture(scope="module")
def info() -> MediaInfo:
    with Prober() as prober:
        return prober.probe(os.fspath(clip(seconds=1)))


def test_what_was_read_as_the_index_says_is_taken(info: MediaInfo) -> None:
    assert judge_source(info, STRUCTURE).problems == ()


def test_a_track_that_is_not_read_would_be_lost(info: MediaInfo) -> None:
    found = refusal(replace(info, streams=info.streams[:1]))
    assert (found.reason, "2 tracks" in str(found)) == ("unverifiable", True)


def test_frames_that_are_read_at_other_times_than_the_index_says_are_refused(
    info: MediaInfo,
) -> None:
    assert info.video is not None
    assert info.video.packets is not None
    times = info.video.packets.timestamps
    for moved in ((*times[:-1], times[-1] + 1), (*times[:9], times[9] - 1, *times[10:])):
        packets = replace(info.video.packets, timestamps=moved)
        found = refusal(replace(info, video=replace(info.video, packets=packets)))
        assert (found.reason, "other times" in str(found)) == ("unverifiable", True)
    later = tuple(time + 90 for time in times)
    packets = replace(info.video.packets, timestamps=later)
    shifted = replace(info, video=replace(info.video, packets=packets))
    assert judge_source(shifted, STRUCTURE).problems == ()  # as far from one another as it says


PACKETS = PacketFacts(3, 300, 0, 120, frames=3, timestamps=(0, 40, 80))
SEEN = replace(
    ordinary(), streams=(replace(PICTURE, packets=PACKETS),), video=video(packets=PACKETS)
)
INDEX = Walked("iso", (), video_frames=3, video_times=(500, 540, 580), tracks=1)


@pytest.mark.parametrize(
    ("facts", "index", "reason", "words"),
    [
        ({"timestamps": ()}, {}, "unverifiable", "no time"),
        ({"untimed": 1}, {}, "unverifiable", "no time"),
        ({"hidden": 1}, {"video_frames": 4}, "hidden_frames", "not shown"),
        ({"first_is_key": False}, {}, "damaged_source", "no key frame"),
        ({"corrupt": 1}, {}, "damaged_source", "marked as damaged"),
        ({}, {"video_frames": 4}, "damaged_source", "names 4 frames"),
        ({}, {"tracks": 2}, "unverifiable", "2 tracks"),
        ({"timestamps": (0, 41, 80)}, {}, "unverifiable", "other times"),
        ({}, {"video_times": (500, 540)}, "unverifiable", "other times"),
        ({"timestamps": (0, 40, 40)}, {"video_times": ()}, "unverifiable", "at the same time"),
    ],
)
def test_what_the_probe_counted_is_held_against_itself_and_the_index(
    facts: dict[str, Any], index: dict[str, Any], reason: str, words: str
) -> None:
    _counted(SEEN, INDEX)
    packets = replace(PACKETS, **facts)
    source = replace(
        SEEN, streams=(replace(PICTURE, packets=packets),), video=video(packets=packets)
    )
    with pytest.raises(Refused, match=words) as refused:
        _counted(source, replace(INDEX, **index))
    assert refused.value.reason == reason


def test_sound_that_is_there_and_not_read_is_not_taken_for_one_that_never_came() -> None:
    """A copy without it would be the same recording, as far as it is read."""
    silent = replace(PICTURE, kind="audio", packets=PacketFacts(0, 0, 0, 0))
    source = replace(SEEN, streams=(*SEEN.streams, silent))
    _counted(source, replace(INDEX, tracks=2, silent=1))
    with pytest.raises(Refused, match="none of its sound is read") as refused:
        _counted(source, replace(INDEX, tracks=2, silent=0))
    assert refused.value.reason == "unverifiable"


def test_a_sound_of_which_nothing_is_played_is_told_before_the_encode() -> None:
    """One packet of AAC is its priming alone: its copy has no time to be compared by."""
    for hidden, is_told in (((0,), True), ((-1024,), False)):
        packets = PacketFacts(1, 99, None, None, hidden=1, hidden_timestamps=hidden)
        sound = replace(PICTURE, index=1, kind="audio", packets=packets)
        source = replace(SEEN, streams=(*SEEN.streams, sound))
        if is_told:
            with pytest.raises(Refused, match="none of its packets is to be played") as refused:
                _counted(source, replace(INDEX, tracks=2))
            assert refused.value.reason == "unverifiable"
        else:
            _counted(source, replace(INDEX, tracks=2))


def test_the_walk_counts_sounds_without_a_sample() -> None:
    def silent(movie: Movie) -> int | None:
        data = movie.file()
        return walk(lambda offset, length: data[offset : offset + length], len(data)).silent

    assert silent(Movie(handler=b"soun", entry=b"mp4a")) == 0
    assert silent(Movie(handler=b"soun", entry=b"mp4a", sizes=())) == 1
    assert silent(Movie(sizes=())) == 0


def test_what_no_index_tells_is_not_held_against_it() -> None:
    """Containers that count nothing; and frames that are hidden as the index says."""
    _counted(SEEN, Walked("mpegts", ()))
    hidden = replace(PACKETS, hidden=1)
    _counted(
        replace(SEEN, streams=(replace(PICTURE, packets=hidden),), video=video(packets=hidden)),
        INDEX,
    )
    with pytest.raises(Refused, match="were not read"):
        _counted(replace(SEEN, video=None), INDEX)


def test_sound_whose_times_overlap_is_refused_before_an_hour_is_spent(tmp_path: Path) -> None:
    """No muxer takes such packets as they are: the encode would end in failure, each night anew."""
    flags = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
    source = clip(seconds=2, gop=10, output=flags)
    data = source.read_bytes()
    begins = [found.end() + 4 for found in re.finditer(b"tfdt", data)]
    second = begins[3]  # two fragments, each of which has a picture's and a sound's time

    def back(data: bytearray) -> None:
        time = int.from_bytes(data[second : second + 8], "big")
        data[second : second + 8] = (time - 1024).to_bytes(8, "big")

    with Prober() as prober:
        judge_source(prober.probe(os.fspath(source)), STRUCTURE)
        found = refusal(prober.probe(os.fspath(bent(source, tmp_path / "rec.mp4", back))))
    assert (found.reason, "track 1 (audio)" in str(found)) == ("unverifiable", True)
    assert "at one time" in str(found)


@pytest.mark.parametrize(
    ("step", "told"), [(0, "two of its packets are to be heard at one time"), (-7, "by 7 ticks")]
)
def test_sound_at_one_time_is_not_said_to_go_back_by_nothing(
    info: MediaInfo, step: int, told: str
) -> None:
    picture, sound = info.streams
    assert sound.packets is not None
    packets = replace(sound.packets, least_step=step)
    found = refusal(replace(info, streams=(picture, replace(sound, packets=packets))))
    assert (found.reason, told in str(found), "by 0" in str(found)) == ("unverifiable", True, False)


def test_a_matroska_track_of_a_kind_that_is_not_read_would_be_lost(tmp_path: Path) -> None:
    def press(data: bytearray) -> None:
        kind = data.index(b"\x83\x81\x02")
        data[kind + 2] = 0x12  # buttons

    source = clip(seconds=1, container="mkv", output=("-write_crc32", "0"))
    with Prober() as prober:
        found = refusal(prober.probe(os.fspath(bent(source, tmp_path / "rec.mkv", press))))
    assert found.reason == "unverifiable"


def test_the_frames_of_a_matroska_video_are_counted_lacing_included() -> None:
    video = ebml("1654AE6B", ebml("AE", ebml("D7", b"\1") + ebml("83", b"\1")))
    laced = ebml("A3", b"\x81\0\0\x84\x02" + bytes(45))  # three frames of one size
    two = ebml("A3", b"\x81\0\0\x84\x01" + bytes(44))
    plain = ebml("A3", b"\x81\0\0\x80\x06" + bytes(45))  # its first byte is no count
    cluster = ebml("1F43B675", ebml("E7", b"\0") + BLOCK + laced + two + plain)
    data = HEAD + ebml("18538067", video + cluster)
    found = walk(lambda offset, length: data[offset : offset + length], len(data))
    assert (found.problems, found.video_frames, found.tracks) == ((), 7, 1)


def test_two_matroska_tracks_of_one_number_are_refused() -> None:
    tracks = ebml("1654AE6B", ebml("AE", ebml("D7", b"\1")) * 2)
    data = HEAD + ebml("18538067", tracks + ebml("1F43B675", ebml("E7", b"\0") + BLOCK))
    found = walk(lambda offset, length: data[offset : offset + length], len(data))
    assert found.names == {"bad_box"}


def test_a_reason_is_not_said_twice(tmp_path: Path) -> None:
    """Whoever shows a refusal says its reason before its message."""
    movie = Movie(behind=[box(b"uuid", bytes(16)), full(b"emsg", b"urn:motion\0"), bytes(3)])
    path = tmp_path / "rec.mp4"
    path.write_bytes(movie.file())
    found = refusal(MediaInfo(os.fspath(path), "mp4", 1, 1, None, None, (), None))
    assert (found.reason, str(found).count("damaged_source")) == ("damaged_source", 0)
    path.write_bytes(replace(movie, behind=movie.behind[:2]).file())
    found = refusal(MediaInfo(os.fspath(path), "mp4", 1, 1, None, None, (), None))
    assert found.reason == "metadata_not_carried"
    assert "metadata_not_carried" not in str(found)
    assert "would be lost; a box of a maker's own" in str(found)
