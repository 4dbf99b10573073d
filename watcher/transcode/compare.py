"""Is the copy the same recording? The source's facts against the copy's. Pure.

Everything but the video's coding must be the same: which streams there are, every copied packet
and its time, how many frames are presented and when, what they look like, chapters and metadata.
Nothing is weighed here: each difference has a name, and one of them is enough to refuse.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from operator import sub
from typing import Final

from watcher.transcode.colors import color_range, plain_format, said_twice
from watcher.transcode.findings import SoundEnd
from watcher.transcode.languages import UNSAID
from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, VideoInfo
from watcher.transcode.times import ALWAYS_S, TimeError, time_error

MEAN_ERROR_S: Final = 0.001
"""Timestamps may be off by so much in the mean: what a coarser clock rounds."""

_CHAPTER_S: Final = 0.002
_BEGUN: Final = timedelta(minutes=1)  # within which a recorder begins the tracks of one file
_FAR: Final = 250  # frames from one key frame to the next that are usual, and borne by all players
_REORDERED: Final = 16  # frames that any codec may hold back

_OWN_KEYS: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"}
    | {"watcher", "duration", "bps", "number_of_frames", "number_of_bytes"}
)
"""Metadata that describes the writing of a file, not the recording."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the copy is another recording than its source."""

    name: str
    detail: str


def differences(source: MediaInfo, copy: MediaInfo, codec: str) -> Iterator[Difference]:
    """Give every difference between *source* and *copy*, whose video should be *codec*."""
    if source.container != copy.container:
        detail = f"the copy is {copy.container}, the source {source.container}"
        yield Difference("container_differs", detail)
    yield from _streams(source, copy)
    if source.video is None or copy.video is None:
        yield Difference("streams_differ", "there is no video to compare")
    else:
        if copy.video.codec != codec:
            yield Difference("codec_differs", f"the copy's video is {copy.video.codec}")
        yield from _picture(source.video, copy.video)
        yield from _frames(source.video, copy.video)
    if source.moov_first and not copy.moov_first:
        yield Difference("index_not_first", "the source has its index first, the copy has not")
    yield from _chapters(source, copy)
    yield from _metadata("file", source.metadata, copy.metadata)


def lost_user_data(source: MediaInfo, copy: MediaInfo) -> Iterator[Difference]:
    """Give each kind of user data that the copy has not, or not in the same frames."""
    ours = (source.video.user_data or {}) if source.video else {}
    theirs = (copy.video.user_data or {}) if copy.video else {}
    for kind, one in ours.items():
        other = theirs.get(kind)
        if other is None or other.digest != one.digest:
            there = f"{other.messages} that are not the same" if other else "none"
            detail = f"of {one.messages} messages of user data ({kind}) the copy has {there}"
            yield Difference("user_data_differs", detail)


def sound_ends(
    source: Sequence[SoundEnd | None] | None, copy: Sequence[SoundEnd | None] | None
) -> Iterator[Difference]:
    """Hold when each sound is over: players end it there, though there may be more packets."""
    if source is None or copy is None:
        yield Difference("unverifiable", "its index does not say when its sound is over")
        return
    ours, theirs = ([end for end in ends if end is not None] for ends in (source, copy))
    if len(ours) != len(theirs):
        yield Difference("streams_differ", f"of {len(ours)} sounds the copy has {len(theirs)}")
        return
    for one, other in zip(ours, theirs, strict=True):
        if not one.is_at(other):
            off_ms = float(other.until_s - one.until_s) * 1000
            yield Difference("end_differs", f"its sound is over {off_ms:+.2f} ms from where it was")


def same_frames(
    source: Sequence[int], source_base: Fraction, copy: Sequence[int], copy_base: Fraction
) -> tuple[list[Difference], TimeError]:
    """Compare presented frames: as many, each at its time, within a millisecond in the mean."""
    if len(source) != len(copy):
        detail = f"the source presents {len(source)} frames, the copy {len(copy)}"
        return [Difference("frames_differ", detail)], TimeError()
    error = time_error(source, source_base, copy, copy_base)
    found = []
    if error.worst is not None:
        detail = f"frame {error.worst} is moved by half a frame or more (worst {error.max_s:.4f} s)"
        found.append(Difference("timestamps_differ", detail))
    elif error.mean_s > MEAN_ERROR_S:
        detail = f"frames are moved by {error.mean_s * 1000:.2f} ms in the mean"
        found.append(Difference("timestamps_differ", detail))
    return found, error


def copied_streams(info: MediaInfo) -> list[StreamInfo]:
    """Give the streams that are copied: all but video, and the text track that chapters live in.

    And but a sound that was announced and never came: MP4 and MOV keep no track without a sample.
    """
    copied = (s for s in info.streams if s.kind != "video" and not _holds_chapters(info, s))
    return [s for s in copied if not (info.isobmff and _is_silent(s))]


# ---- streams -----------------------------------------------------------------------------------


def _holds_chapters(info: MediaInfo, stream: StreamInfo) -> bool:
    return info.isobmff and stream.kind == "data" and stream.codec_tag == "text"


def _is_silent(stream: StreamInfo) -> bool:
    return stream.kind == "audio" and stream.packets is not None and not stream.packets.packets


def _streams(source: MediaInfo, copy: MediaInfo) -> Iterator[Difference]:
    ours, theirs = copied_streams(source), copied_streams(copy)
    kinds = [[s.kind for s in info.streams if s.kind == "video"] for info in (source, copy)]
    if kinds[0] != kinds[1] or [s.kind for s in ours] != [s.kind for s in theirs]:
        told = [" ".join(s.kind for s in info.streams) for info in (source, copy)]
        yield Difference("streams_differ", f"source: {told[0]}; copy: {told[1]}")
        return
    for one, other in zip(ours, theirs, strict=True):
        yield from _copied(one, other)
    both = zip([*ours, *_videos(source)], [*theirs, *_videos(copy)], strict=True)
    for one, other in both:
        about = f"stream {one.index} ({one.kind})"
        if not _same_part(source, one, other):
            detail = f"{about}: disposition is {other.disposition}, was {one.disposition}"
            yield Difference("streams_differ", detail)
        yield from _metadata(about, _told(source, one, other), other.metadata)


def _same_part(info: MediaInfo, one: StreamInfo, other: StreamInfo) -> bool:
    """Say whether two streams play the same part in their files.

    Where none of a kind is enabled, the muxer of MP4 and MOV enables the first, as players do.
    """
    if one.disposition == other.disposition:
        return True
    kin = [s for s in info.streams if s.kind == one.kind]
    unsaid = info.isobmff and not any("default" in s.disposition for s in kin)
    enabled = unsaid and one is kin[0] and one.kind in {"video", "audio"}
    return enabled and {*other.disposition} == {*one.disposition, "default"}


def _told(info: MediaInfo, one: StreamInfo, other: StreamInfo) -> Mapping[str, str]:
    """Give the metadata of a stream that has to be its copy's.

    The muxer of MP4 and MOV writes one time of creation for all tracks.
    """
    times = [s.metadata.get("creation_time", "") for s in (one, other)]
    if not info.isobmff or not _is_near(*times):
        return one.metadata
    return {key: value for key, value in one.metadata.items() if key != "creation_time"}


def _is_near(one: str, other: str) -> bool:
    try:
        return abs(datetime.fromisoformat(one) - datetime.fromisoformat(other)) <= _BEGUN
    except (ValueError, TypeError):  # no date, or only one of them says its zone
        return False


def _videos(info: MediaInfo) -> list[StreamInfo]:
    return [stream for stream in info.streams if stream.kind == "video"]


def _copied(source: StreamInfo, copy: StreamInfo) -> Iterator[Difference]:
    about = f"stream {source.index} ({source.kind})"
    for what in ("codec", "sample_rate", "channels"):
        ours, theirs = getattr(source, what), getattr(copy, what)
        if ours != theirs:
            yield Difference("streams_differ", f"{about}: {what} is {theirs}, was {ours}")
    if source.extradata != copy.extradata:
        detail = f"{about}: what its decoder is told is not what it was"
        yield Difference("packets_differ", detail)
    if source.kind == "attachment" and not source.extradata:
        yield Difference("packets_differ", f"{about}: is not the source's")
    ours, theirs = source.packets, copy.packets
    if ours is None or theirs is None:
        yield Difference("unverifiable", f"{about}: its packets were not read")
    elif _is_same_pcm(source, copy):
        yield from _run_times(about, source, copy)
    elif (ours.packets, ours.digest) != (theirs.packets, theirs.digest):
        detail = f"{about}: {theirs.packets} packets of {theirs.bytes} bytes are not the source's"
        yield Difference("packets_differ", f"{detail} {ours.packets} of {ours.bytes}")
    else:
        yield from _packet_times(about, ours, source.time_base, theirs, copy.time_base)


def _is_same_pcm(source: StreamInfo, copy: StreamInfo) -> bool:
    """Say whether two tracks hold the same samples of one size, cut into packets differently.

    MP4 and MOV do not know packets of such: each reader cuts a chunk of them as it likes.
    """
    ours, theirs = source.packets, copy.packets
    if ours is None or theirs is None or not source.codec.startswith("pcm_"):
        return False
    same = (ours.bytes, ours.digest) == (theirs.bytes, theirs.digest)
    plain = not (ours.hidden or theirs.hidden or ours.untimed or theirs.untimed)
    return same and plain and ours.packets != theirs.packets


def _run_times(about: str, source: StreamInfo, copy: StreamInfo) -> Iterator[Difference]:
    """Hold each run of sound without a gap against the copy's: where it begins, and when."""
    ours, theirs = source.packets, copy.packets
    if ours is None or theirs is None or not ours.runs:
        yield Difference("unverifiable", f"{about}: its packets carry no times that follow a clock")
        return
    if [before for before, _ in ours.runs] != [before for before, _ in theirs.runs]:
        yield Difference("packets_differ", f"{about}: pauses differently")
        return
    first, second = ([time for _, time in facts.runs] for facts in (ours, theirs))
    yield from _moved(about, first, source.time_base, second, copy.time_base)


def _packet_times(
    about: str, ours: PacketFacts, base: Fraction, theirs: PacketFacts, copy_base: Fraction
) -> Iterator[Difference]:
    first, second = _sounding(ours), _sounding(theirs)
    if ours.packets and not first:
        yield Difference("unverifiable", f"{about}: its packets carry no times")
    elif len(first) != len(second):
        yield Difference("packets_differ", f"{about}: packets are hidden, or shown, by the copy")
    else:
        yield from _moved(about, first, base, second, copy_base)
        yield from _shown_as_long(about, ours, base, theirs, copy_base)


def _shown_as_long(
    about: str, ours: PacketFacts, base: Fraction, theirs: PacketFacts, copy_base: Fraction
) -> Iterator[Difference]:
    """Hold when each text is over."""
    if len(ours.ends) != len(theirs.ends):
        yield Difference("packets_differ", f"{about}: texts are hidden, or shown, by the copy")
    elif ours.ends:
        off_s = time_error(ours.ends, base, theirs.ends, copy_base).max_s
        if off_s > float(max(base, copy_base, ALWAYS_S)):
            yield Difference(
                "end_differs", f"{about}: a text is over {off_s:.3f} s from when it was"
            )


def _moved(
    about: str, ours: Sequence[int], base: Fraction, theirs: Sequence[int], copy_base: Fraction
) -> Iterator[Difference]:
    error = time_error(ours, base, theirs, copy_base)
    tick_s = float(max(base, copy_base, ALWAYS_S))
    if error.max_s > tick_s or error.mean_s > MEAN_ERROR_S:
        detail = f"{about}: moved by up to {error.max_s * 1000:.2f} ms against the video"
        yield Difference("offset_differs", detail)


def _sounding(facts: PacketFacts) -> list[int]:
    """Give when each packet is played; before zero none is, whether or not it is marked as hidden.

    An index hides priming packets by name, fragments leave that to the player.
    """
    hidden = [time for time in facts.hidden_timestamps if time < 0]
    return [*hidden, *facts.timestamps]


# ---- the video ---------------------------------------------------------------------------------


def _picture(source: VideoInfo, copy: VideoInfo) -> Iterator[Difference]:
    pairs: list[tuple[str, object, object]] = [
        ("size", f"{source.width}x{source.height}", f"{copy.width}x{copy.height}"),
        ("pixel format", plain_format(source), plain_format(copy)),
        ("bit depth", source.bit_depth, copy.bit_depth),
        ("aspect", source.sar or Fraction(1), copy.sar or Fraction(1)),
        ("rotation", source.rotation % 360, copy.rotation % 360),
        ("display matrix", source.display_matrix, copy.display_matrix),
        ("colour range", color_range(source), color_range(copy)),
        ("colour primaries", source.color_primaries, copy.color_primaries),
        ("colour transfer", source.color_transfer, copy.color_transfer),
        ("colour matrix", source.color_matrix, copy.color_matrix),
        ("interlacing", source.interlaced, copy.interlaced),
    ]
    pairs += said_twice(source, copy)
    for what, ours, theirs in pairs:
        if ours != theirs:
            yield Difference("picture_differs", f"{what} is {theirs}, was {ours}")


def _frames(source: VideoInfo, copy: VideoInfo) -> Iterator[Difference]:
    ours, theirs = source.packets, copy.packets
    if ours is None or theirs is None or ours.untimed or not ours.timestamps:
        yield Difference("unverifiable", "the source does not say when each frame is presented")
        return
    found, _ = same_frames(ours.timestamps, source.time_base, theirs.timestamps, copy.time_base)
    yield from found
    if not found:
        yield from _end(ours, source.time_base, theirs, copy.time_base)
    if ours.longest_run and (theirs.longest_run or 0) > 2 * max(ours.longest_run, _FAR):
        detail = (
            f"{theirs.longest_run} frames without a key frame, in the source {ours.longest_run}"
        )
        yield Difference("keyframes_differ", f"it can't be sought in: {detail}")
    if not theirs.first_is_key:
        yield Difference("copy_damaged", "the copy's first frame is no key frame")


def _end(
    ours: PacketFacts, base: Fraction, theirs: PacketFacts, copy_base: Fraction
) -> Iterator[Difference]:
    """A last frame is to be shown as long as it was: events end in minutes of a still picture.

    A packet's duration is its distance in order of decoding: where frames come at uneven times,
    that of a copy with B-frames belongs to one of the frames just before.
    """
    steps = list(map(sub, ours.timestamps[1:], ours.timestamps))
    if not steps:
        return  # a single frame: only the container says how long it is shown
    frame_s = sorted(steps)[len(steps) // 2] * base
    ends = [
        (facts.end_pts or 0) * clock
        if (facts.end_pts or 0) > facts.timestamps[-1]
        else facts.timestamps[-1] * clock + frame_s  # it does not say: as long as the others
        for facts, clock in ((ours, base), (theirs, copy_base))
    ]
    off = abs(ends[0] - ends[1])
    if off > max(max(steps[-_REORDERED:]) * base, frame_s, ALWAYS_S):
        detail = f"its last frame ends {float(off):.3f} s from where the source's does"
        yield Difference("end_differs", detail)


# ---- words -------------------------------------------------------------------------------------


def _chapters(source: MediaInfo, copy: MediaInfo) -> Iterator[Difference]:
    def near(a: tuple[float, float, str], b: tuple[float, float, str]) -> bool:
        times = abs(a[0] - b[0]) <= _CHAPTER_S and abs(a[1] - b[1]) <= _CHAPTER_S
        return times and a[2] == b[2]

    same = len(source.chapters) == len(copy.chapters)
    if not same or not all(map(near, source.chapters, copy.chapters)):
        detail = f"the source has {len(source.chapters)} chapters, the copy {len(copy.chapters)}"
        yield Difference("chapters_differ", detail)


def _metadata(
    about: str, source: Mapping[str, str], copy: Mapping[str, str]
) -> Iterator[Difference]:
    for key, value in source.items():
        own = key in _OWN_KEYS or key.startswith("_statistics") or key.split("-")[0] in _OWN_KEYS
        is_nothing = not value or (key == "language" and value in UNSAID)
        unsaid = key not in copy and is_nothing
        if not own and not unsaid and copy.get(key) != value:
            yield Difference("metadata_differs", f"{about}: {key} is not kept")
