"""Source against copy, as values: what is the same, what is not, and by how much times are off."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.transcode.colors import color_range
from watcher.transcode.compare import differences, same_frames
from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, VideoInfo
from watcher.transcode.probe_streams import MATRICES, color_name
from watcher.transcode.times import time_error

BASE = Fraction(1, 12800)
TIMES = tuple(range(0, 512 * 20, 512))


def packets(times: tuple[int, ...] = TIMES, digest: str | None = None) -> PacketFacts:
    return PacketFacts(len(times), 100 * len(times), times[0] if times else None, None,
                       frames=len(times), timestamps=times, digest=digest)  # fmt: skip


VIDEO = VideoInfo(
    index=0, codec="h264", profile="High", level=30, width=160, height=120, pix_fmt="yuv420p",
    bit_depth=8, time_base=BASE, fps=25.0, start=0, duration_s=0.8, packets=packets(),
)  # fmt: skip
PICTURE = StreamInfo(0, "video", "h264", "avc1", BASE, 0, 0.8, packets=packets())
SOUND = StreamInfo(1, "audio", "aac", "mp4a", Fraction(1, 8000), 0, 0.8, sample_rate=8000,
                   channels=1, packets=packets(tuple(range(0, 6400, 1024)), "d1"))  # fmt: skip
SOURCE = MediaInfo("/s.mp4", "mp4", 1000, 1, 0.8, 0.0, (PICTURE, SOUND), VIDEO, moov_first=False,
                   chapters=((0.0, 0.4, "door"),), metadata={"title": "yard"})  # fmt: skip
COPY = replace(
    SOURCE,
    streams=(replace(PICTURE, codec="hevc", codec_tag="hvc1"), SOUND),
    video=replace(VIDEO, codec="hevc"),
    metadata={"title": "yard", "encoder": "Lavf", "watcher": "1"},
)


def names(copy: MediaInfo, source: MediaInfo = SOURCE) -> set[str]:
    return {difference.name for difference in differences(source, copy, "hevc")}


def seen(**changes: object) -> MediaInfo:
    assert COPY.video is not None
    return replace(COPY, video=replace(COPY.video, **changes))  # type: ignore[arg-type]  # any field


def heard(**changes: object) -> MediaInfo:
    return replace(COPY, streams=(COPY.streams[0], replace(SOUND, **changes)))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (25, 25, True),
        (25, 500, True),
        (25, 501, False),
        (1000, 2000, True),
        (1000, 2001, False),
        (None, 9000, True),
        (25, None, True),
    ],
)
def test_a_copy_can_be_sought_in_like_its_source(
    ours: int | None, theirs: int | None, *, same: bool
) -> None:
    """Players show nothing up to the next key frame, and web servers cut where these are."""
    source = replace(SOURCE, video=replace(VIDEO, packets=replace(packets(), longest_run=ours)))
    found = names(seen(packets=replace(packets(), longest_run=theirs)), source)
    assert found == (set() if same else {"keyframes_differ"})


PLAIN = ("tv", "bt709", "bt709", "bt709")


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        (PLAIN, PLAIN, True),
        (PLAIN, ("tv", None, None, None), True),  # left to the container
        ((None, *PLAIN[1:]), PLAIN, True),
        (PLAIN, (), True),
        ((), PLAIN, True),
        (PLAIN, ("pc", *PLAIN[1:]), False),
        (("pc", *PLAIN[1:]), (None, *PLAIN[1:]), False),
        (PLAIN, ("tv", "bt2020", "bt709", "bt709"), False),
        (PLAIN, ("tv", "bt709", "smpte2084", "bt709"), False),
        (PLAIN, ("tv", "bt709", "bt709", "bt470bg"), False),
        ((*PLAIN[:3], "bt470bg"), (*PLAIN[:3], "smpte170m"), True),  # two names of one
    ],
)
def test_what_the_stream_says_of_its_colours_contradicts_no_container(
    ours: tuple[str | None, ...], theirs: tuple[str | None, ...], *, same: bool
) -> None:
    source = replace(SOURCE, video=replace(VIDEO, frame_color=ours))
    assert names(seen(frame_color=theirs), source) == (set() if same else {"picture_differs"})


def test_nor_does_the_container_contradict_a_stream_of_full_range() -> None:
    full = replace(SOURCE, video=replace(VIDEO, pix_fmt="yuvj420p", color_range="pc"))
    assert names(seen(pix_fmt="yuvj420p", color_range=None), full) == set()
    assert names(seen(pix_fmt="yuvj420p", color_range="tv"), full) == {"picture_differs"}


def test_a_good_copy_has_no_difference() -> None:
    assert names(COPY) == set()


def test_what_says_the_same_in_other_words_is_the_same() -> None:
    """Unsaid range is limited, unsaid aspect is square, yuvj is yuv in full range."""
    assert names(seen(color_range="tv", sar=Fraction(1))) == set()
    assert color_range(replace(VIDEO, pix_fmt=None, color_range=None)) == "tv"
    full = replace(SOURCE, video=replace(VIDEO, pix_fmt="yuvj420p", color_range="pc"))
    assert names(seen(pix_fmt="yuv420p", color_range="pc"), full) == set()
    for turned, as_well in ((360, 0), (-90, 270)):
        source = replace(SOURCE, video=replace(VIDEO, rotation=turned))
        assert names(seen(rotation=as_well), source) == set()
    assert names(replace(COPY, chapters=((0.001, 0.399, "door"),))) == set()


def test_what_describes_the_writing_of_a_file_need_not_be_kept() -> None:
    written = {"encoder": "a camera's", "bps-eng": "1", "_statistics_tags": "x", "title": "yard"}
    assert names(COPY, replace(SOURCE, metadata=written)) == set()
    assert names(COPY, replace(SOURCE, metadata={**written, "gps": "1"})) == {"metadata_differs"}


def told(source: StreamInfo, copy: StreamInfo, container: str = "mp4") -> set[str]:
    """Compare two files of that one sound."""
    files = [
        replace(file, container=container, streams=(file.streams[0], sound))
        for file, sound in ((SOURCE, source), (COPY, copy))
    ]
    return names(files[1], files[0])


def test_an_undetermined_language_need_not_be_said() -> None:
    said, unsaid = (replace(SOUND, metadata=words) for words in ({"language": "und"}, {}))
    assert told(said, unsaid) == set()
    german = replace(SOUND, metadata={"language": "deu"})
    all_bits = replace(SOUND, metadata={"language": "\x7f\x7f\x7f"})  # of a field never filled in
    assert told(all_bits, unsaid) == set()
    assert told(german, unsaid) == told(german, said) == told(said, german) == {"metadata_differs"}


def test_a_name_without_a_letter_need_not_be_said() -> None:
    assert told(replace(SOUND, metadata={"name": ""}), SOUND) == set()
    assert told(replace(SOUND, metadata={"name": "mic"}), SOUND) == {"metadata_differs"}
    noted = replace(SOUND, metadata={"name": "mic"})
    assert told(replace(SOUND, metadata={"name": ""}), noted) == {"metadata_differs"}


def test_tracks_that_were_begun_within_a_minute_may_have_one_time_of_creation() -> None:
    first, second, later = (
        replace(SOUND, metadata={"creation_time": f"2026-11-27T06:0{at}.000000Z"})
        for at in ("1:59", "2:00", "4:00")
    )
    assert told(second, first) == told(first, second) == set()
    assert told(later, first) == told(first, SOUND) == {"metadata_differs"}
    assert told(second, first, "matroska") == {"metadata_differs"}
    odd = replace(SOUND, metadata={"creation_time": "yesterday"})
    assert told(odd, odd) == set()
    assert told(odd, first) == {"metadata_differs"}


def test_the_first_of_tracks_none_of_which_is_enabled_may_be() -> None:
    enabled = replace(SOUND, disposition=("default",))
    assert told(SOUND, enabled) == set()
    assert told(SOUND, enabled, "matroska") == {"streams_differ"}
    assert told(enabled, SOUND) == {"streams_differ"}
    assert told(SOUND, replace(SOUND, disposition=("default", "dub"))) == {"streams_differ"}
    text, shown = (replace(one, kind="subtitle") for one in (SOUND, enabled))
    assert told(text, shown) == {"streams_differ"}
    two = replace(SOURCE, streams=(PICTURE, SOUND, replace(SOUND, index=2)))
    second = replace(COPY, streams=(*COPY.streams[:2], replace(enabled, index=2)))
    assert names(second, two) == {"streams_differ"}


def test_a_sound_that_was_announced_and_never_came_is_no_loss_in_mp4() -> None:
    announced = replace(SOUND, packets=packets((), "d0"))
    source = replace(SOURCE, streams=(PICTURE, announced))
    assert names(replace(COPY, streams=COPY.streams[:1]), source) == set()
    assert names(replace(COPY, streams=COPY.streams[:1])) == {"streams_differ"}
    assert names(COPY, source) == {"streams_differ"}


def test_sound_on_a_coarse_clock_is_held_to_a_millisecond_in_the_mean() -> None:
    """A tick of ten milliseconds bears five: every packet by that much is another matter."""
    times = tuple(range(0, 70, 10))
    coarse = replace(SOUND, time_base=Fraction(1, 100), packets=packets(times, "d1"))
    source = replace(SOURCE, streams=(PICTURE, coarse))
    late = packets(tuple(10 * t + 5 for t in times), "d1")
    copy = heard(time_base=Fraction(1, 1000), packets=late)
    (difference,) = differences(source, copy, "hevc")
    assert difference.name == "offset_differs"
    assert "moved by up to 5.00 ms" in difference.detail


def test_frames_that_are_moved_are_told_in_milliseconds() -> None:
    (difference,) = differences(SOURCE, seen(packets=packets(tuple(t + 32 for t in TIMES))), "hevc")
    assert difference.detail == "frames are moved by 2.50 ms in the mean"


@pytest.mark.parametrize(
    "unread", [replace(packets(), untimed=1), packets(()), None], ids=["untimed", "none", "unread"]
)
def test_a_source_that_does_not_say_when_its_frames_are_shown_proves_nothing(
    unread: PacketFacts | None,
) -> None:
    source = replace(SOURCE, video=replace(VIDEO, packets=unread))
    assert names(COPY, source) == {"unverifiable"}


def test_what_the_source_has_and_the_copy_has_not_differs_as_well() -> None:
    anamorphic = replace(SOURCE, video=replace(VIDEO, sar=Fraction(4, 3)))
    assert names(COPY, anamorphic) == {"picture_differs"}
    unread = replace(SOURCE, streams=(PICTURE, replace(SOUND, packets=None)))
    assert names(COPY, unread) == {"unverifiable"}
    chapters = ((0.0, 0.4, "door"), (0.4, 0.8, "gate"))
    assert names(COPY, replace(SOURCE, chapters=chapters)) == {"chapters_differ"}
    assert names(replace(COPY, chapters=chapters), replace(SOURCE, chapters=chapters)) == set()


def test_one_frame_is_compared_as_many_are() -> None:
    """How long it is shown only its container says."""
    single = replace(SOURCE, video=replace(VIDEO, packets=packets((0,))))
    assert names(seen(packets=packets((0,))), single) == set()
    assert names(seen(packets=packets((600,))), single) == {"timestamps_differ"}


def test_two_files_without_video_are_no_copy_of_one_another() -> None:
    assert "streams_differ" in names(replace(COPY, video=None), replace(SOURCE, video=None))
    assert "streams_differ" in names(COPY, replace(SOURCE, video=None))


@pytest.mark.parametrize(("container", "tag"), [("mp4", "tmcd"), ("mp4", "gpmd"), ("mkv", "text")])
def test_no_other_track_is_taken_for_chapters(container: str, tag: str) -> None:
    track = StreamInfo(2, "data", "bin_data", tag, BASE, 0, 0.8, packets=packets((0,), "x"))
    source = replace(SOURCE, container=container, streams=(*SOURCE.streams, track))
    assert names(replace(COPY, container=container), source) == {"streams_differ"}


@pytest.mark.parametrize(
    ("copy", "name"),
    [
        (replace(COPY, container="mov"), "container_differs"),
        (replace(COPY, video=None), "streams_differ"),
        (replace(COPY, streams=COPY.streams[:1]), "streams_differ"),
        (replace(COPY, streams=(*COPY.streams, SOUND)), "streams_differ"),
        (replace(COPY, streams=(*COPY.streams, PICTURE)), "streams_differ"),
        (heard(codec="mp3"), "streams_differ"),
        (heard(sample_rate=16000), "streams_differ"),
        (heard(channels=2), "streams_differ"),
        (heard(disposition=("dub",)), "streams_differ"),
        (heard(packets=None), "unverifiable"),
        (heard(packets=packets(tuple(range(0, 6400, 1024)), "d2")), "packets_differ"),
        (heard(packets=packets(tuple(range(0, 5400, 1024)), "d1")), "packets_differ"),
        (heard(packets=packets(tuple(range(20, 6420, 1024)), "d1")), "offset_differs"),
        (seen(codec="h264"), "codec_differs"),
        (seen(width=162), "picture_differs"),
        (seen(height=118), "picture_differs"),
        (seen(pix_fmt="yuv422p"), "picture_differs"),
        (seen(pix_fmt=None), "picture_differs"),
        (seen(bit_depth=10), "picture_differs"),
        (seen(sar=Fraction(4, 3)), "picture_differs"),
        (seen(rotation=90), "picture_differs"),
        (seen(display_matrix=(0,) * 9), "picture_differs"),
        (seen(color_range="pc"), "picture_differs"),
        (seen(color_primaries="bt709"), "picture_differs"),
        (seen(color_transfer="bt709"), "picture_differs"),
        (seen(color_matrix="bt709"), "picture_differs"),
        (seen(interlaced=True), "picture_differs"),
        (seen(packets=packets(TIMES[:-1])), "frames_differ"),
        (seen(packets=packets(tuple(t + 300 for t in TIMES))), "timestamps_differ"),
        (seen(packets=packets(tuple(t + 30 for t in TIMES))), "timestamps_differ"),
        (seen(packets=replace(packets(), end_pts=TIMES[-1] + 1200)), "end_differs"),
        (seen(packets=replace(packets(), first_is_key=False)), "copy_damaged"),
        (seen(packets=None), "unverifiable"),
        (heard(packets=packets((0, 1024, 2068, 3072, 4096, 5120, 6144), "d1")), "offset_differs"),
        (replace(COPY, chapters=()), "chapters_differ"),
        (replace(COPY, chapters=((0.0, 0.4, "gate"),)), "chapters_differ"),
        (replace(COPY, chapters=((0.0, 0.5, "door"),)), "chapters_differ"),
        (replace(COPY, chapters=((0.1, 0.4, "door"),)), "chapters_differ"),
        (replace(COPY, metadata={"encoder": "Lavf"}), "metadata_differs"),
        (heard(metadata={}), "metadata_differs"),
    ],
)
def test_each_difference_has_its_name(copy: MediaInfo, name: str) -> None:
    worded = replace(SOUND, metadata={"language": "deu"})
    source = SOURCE
    if name == "metadata_differs":
        source = replace(SOURCE, streams=(PICTURE, worded))
    assert name in names(copy, source)


def test_priming_is_the_same_whether_or_not_it_is_marked_as_hidden() -> None:
    """An index hides the packet before zero by name, fragments leave that to the player."""
    primed = packets(tuple(range(-1024, 5376, 1024)), "d1")
    marked = replace(primed, timestamps=primed.timestamps[1:], hidden_timestamps=(-1024,))
    source = replace(SOURCE, streams=(PICTURE, replace(SOUND, packets=primed)))
    assert names(heard(packets=marked), source) == set()
    moved = replace(marked, hidden_timestamps=(-1064,))
    assert names(heard(packets=moved), source) == {"offset_differs"}
    muted = replace(primed, timestamps=primed.timestamps[:-1], hidden_timestamps=(5120,))
    assert names(heard(packets=muted), source) == {"packets_differ"}


def test_an_attachment_is_its_contents() -> None:
    note = StreamInfo(2, "attachment", "", "", BASE, None, None, extradata="d", packets=packets(()))
    source = replace(SOURCE, streams=(*SOURCE.streams, note))
    assert names(replace(COPY, streams=(*COPY.streams, note)), source) == set()
    empty = replace(note, extradata=None)
    source_of_none = replace(SOURCE, streams=(*SOURCE.streams, empty))
    copy_of_none = replace(COPY, streams=(*COPY.streams, empty))
    assert names(copy_of_none, source_of_none) == {"packets_differ"}, "nothing was read of either"
    other = replace(note, extradata="e")
    assert names(replace(COPY, streams=(*COPY.streams, other)), source) == {"packets_differ"}


def test_a_last_frame_is_shown_as_long_as_it_was() -> None:
    """Where it does not say for how long, it is as long as the others."""
    last = TIMES[-1]
    video = replace(VIDEO, packets=replace(packets(), end_pts=last + 12800 * 60))
    assert names(COPY, replace(SOURCE, video=video)) == {"end_differs"}
    assert names(seen(packets=replace(packets(), end_pts=last + 512 + 512))) == set()
    assert names(seen(packets=replace(packets(), end_pts=last + 512 + 513))) == {"end_differs"}
    assert names(seen(packets=replace(packets(), end_pts=last))) == set()


def test_in_a_short_file_too_a_last_duration_may_be_that_of_a_frame_just_before() -> None:
    """Of fewer frames than are looked back at, all are: some had been dropped between two."""
    times = (0, 512, 1024, 3072, 3584)
    ours, theirs = (replace(packets(times), end_pts=4096 + late) for late in (0, 1024))
    copy = seen(packets=theirs)
    assert names(copy, replace(SOURCE, video=replace(VIDEO, packets=ours))) == set()
    copy = seen(packets=replace(theirs, end_pts=4096 + 2049))
    assert names(copy, replace(SOURCE, video=replace(VIDEO, packets=ours))) == {"end_differs"}


def test_an_index_that_came_first_stays_first() -> None:
    assert names(COPY, replace(SOURCE, moov_first=True)) == {"index_not_first"}
    assert names(replace(COPY, moov_first=True), replace(SOURCE, moov_first=True)) == set()
    assert names(replace(COPY, moov_first=True)) == set()


def test_chapter_text_is_compared_as_chapters() -> None:
    """The muxer writes a new text track; what it holds are the chapters."""
    text = StreamInfo(2, "data", "bin_data", "text", BASE, 0, 0.8, packets=packets((0,), "x"))
    source = replace(SOURCE, streams=(*SOURCE.streams, text))
    assert names(COPY, source) == set()


# ---- times --------------------------------------------------------------------------------------


def test_the_same_times_on_another_clock_are_the_same() -> None:
    other = tuple(t * 9000 // 128 for t in TIMES)
    error = time_error(TIMES, BASE, other, Fraction(1, 900_000))
    assert (error.max_s, error.worst) == (0.0, None)


def test_the_same_ticks_on_another_clock_are_other_times() -> None:
    assert time_error(TIMES, BASE, TIMES, BASE / 2).worst == 2  # half an interval late, and more
    assert names(seen(time_base=BASE / 2)) == {"timestamps_differ"}


def test_rounding_to_milliseconds_is_borne() -> None:
    """Matroska's clock ticks in milliseconds; 60 fps does not."""
    times = tuple(range(0, 1500 * 60, 1500))
    rounded = tuple(round(t / 90) for t in times)
    found, error = same_frames(times, Fraction(1, 90_000), rounded, Fraction(1, 1000))
    assert found == []
    assert 0 < error.max_s <= 0.0005


def test_one_frame_by_more_than_half_an_interval_is_found_and_named() -> None:
    late = (*TIMES[:7], TIMES[7] + 257, *TIMES[8:])
    assert time_error(TIMES, BASE, late, BASE).worst == 7
    nearly = (*TIMES[:7], TIMES[7] + 256, *TIMES[8:])
    assert time_error(TIMES, BASE, nearly, BASE).worst is None


def test_half_an_interval_is_that_of_the_place() -> None:
    """Where frames stand closer, less is borne."""
    times = (0, 1000, 2000, 2100, 2200, 3200)
    base = Fraction(1, 10_000)
    assert time_error(times, base, (0, 1400, 2000, 2100, 2200, 3200), base).worst is None
    assert time_error(times, base, (0, 1000, 2000, 2160, 2200, 3200), base).worst == 3
    assert time_error((0, 1000, 1100), base, (0, 1000, 1160), base).worst == 2
    assert time_error((0, 100, 1100), base, (60, 100, 1100), base).worst == 0


def test_no_frames_and_one_frame_are_judged_too() -> None:
    assert time_error((), BASE, (), BASE).worst is None
    assert time_error((5,), BASE, (5,), BASE).worst is None
    assert time_error((0,), BASE, (12800,), BASE).worst == 0


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.integers(-50_000, 50_000))
def test_a_shift_is_measured_exactly(steps: list[int], shift: int) -> None:
    times = [sum(steps[:number]) for number in range(len(steps))]
    error = time_error(times, BASE, [t + shift for t in times], BASE)
    assert error.max_s == pytest.approx(abs(shift) / 12800)
    assert error.mean_s == pytest.approx(abs(shift) / 12800)


def test_different_numbers_have_no_error_to_compare() -> None:
    with pytest.raises(ValueError, match="length"):
        time_error((1, 2), BASE, (1,), BASE)


def test_what_a_copied_stream_s_decoder_is_told_must_be_the_same() -> None:
    source = replace(SOURCE, streams=(PICTURE, replace(SOUND, extradata="e1")))
    assert names(heard(extradata="e1"), source) == set()
    for other in ("e2", None):
        assert names(heard(extradata=other), source) == {"packets_differ"}
    assert names(heard(extradata="e1")) == {"packets_differ"}


def test_a_colour_that_has_no_name_is_not_an_unspecified_one() -> None:
    assert color_name(MATRICES, 2) is None
    assert color_name(MATRICES, 14) == "ictcp"
    assert color_name(MATRICES, 99) == "99"
    source = replace(SOURCE, video=replace(VIDEO, color_matrix=color_name(MATRICES, 99)))
    assert names(COPY, source) == {"picture_differs"}


def pcm(*runs: tuple[int, int], count: int = 47, digest: str = "d1") -> StreamInfo:
    facts = replace(packets(tuple(range(0, 1024 * count, 1024)), digest), runs=runs, bytes=96000)
    return replace(SOUND, codec="pcm_s16le", time_base=Fraction(1, 48000), packets=facts)


def test_the_same_samples_of_one_size_may_be_cut_into_other_packets() -> None:
    """Every reader cuts a chunk of PCM as it likes; what is heard, and when, is the same."""
    whole = ((0, 0), (48000, 30000))
    source = replace(SOURCE, streams=(PICTURE, pcm(*whole)))

    def against(copy: StreamInfo) -> set[str]:
        return names(replace(COPY, streams=(COPY.streams[0], copy)), source)

    assert against(pcm(*whole, count=48)) == set()
    assert against(pcm(*whole, count=48, digest="d2")) == {"packets_differ"}
    assert against(pcm((0, 0), count=48)) == {"packets_differ"}
    assert against(pcm((0, 0), (48000, 30100), count=48)) == {"offset_differs"}
    assert against(pcm((0, 100), (48000, 30100), count=48)) == {"offset_differs"}
    assert names(heard(packets=packets(TIMES[:9], "d1"))) == {"packets_differ"}
    oddities: list[dict[str, Any]] = [{"hidden": 1}, {"untimed": 1}, {"bytes": 96001}]
    for oddity in oddities:
        plain, odd = (pcm(*whole, count=count) for count in (47, 48))
        assert odd.packets is not None
        odd = replace(odd, packets=replace(odd.packets, **oddity))
        assert against(odd) == {"packets_differ"}
        other_way = replace(SOURCE, streams=(PICTURE, odd))
        copy = replace(COPY, streams=(COPY.streams[0], plain))
        assert names(copy, other_way) == {"packets_differ"}
    silent = replace(SOURCE, streams=(PICTURE, pcm()))
    copy = replace(COPY, streams=(COPY.streams[0], pcm(count=48)))
    assert names(copy, silent) == {"unverifiable"}
