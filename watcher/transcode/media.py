"""What a recording is: container, streams, timestamps; and whether it is a recording for us.

Values only. They are made by `probe.Prober`, in a process of their own, and judged here by
`suitability`, which is pure. Unset is not zero: what the file does not say is None.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from watcher.errors import Refused
from watcher.transcode.findings import SoundEnd
from watcher.transcode.languages import is_kept

TAG = "watcher"
"""The metadata key that every copy of ours carries."""

MP4_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "alac", "opus", "flac", "dts"})
"""Audio that the mp4 muxer takes as it is; G.711 and PCM it does not."""

MOV_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "amr_nb", "amr_wb", "adpcm_ima_qt"})
"""Audio that the mov muxer takes as it is, beside every `pcm_*`."""

CONTAINERS = frozenset({"mp4", "mov", "matroska"})
"""What is converted, into the same again. MPEG-TS waits until a round trip of it is proven."""

MP4_SUBTITLES = frozenset({"mov_text"})

FRAME_PACKING = frozenset({"type 21", "type 45"})
"""The messages that say that a frame holds two pictures."""


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What a stream's packets say, counted one by one; nothing in it is a header's claim.

    *timestamps* are the presented ones, in order of presentation, in the stream's time base
    (kept for video only; `()` for others). *end_pts* is when the last one of them ends.
    *hidden_timestamps* are those of sound that is there and not played, such as priming. *ends*:
    when each text of a subtitle is over.
    *digest* is over all packets' data, of streams that are copied (None for video). *least_step* is
    the shortest from one decode time of these to the next. *runs*: before which byte of PCM,
    and when, samples come that do not follow those before (`()`: other sound, or too often).
    """

    packets: int
    bytes: int
    first_pts: int | None
    end_pts: int | None
    frames: int = 0
    hidden: int = 0
    untimed: int = 0
    corrupt: int = 0
    keyframes: int = 0
    keyframe_distance: int | None = None
    longest_run: int | None = None  # the same, the last key frame's run to the end included
    first_is_key: bool = True
    timestamps: tuple[int, ...] = ()
    hidden_timestamps: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    digest: str | None = None
    least_step: int | None = None
    runs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Any stream: what it is, and what was counted of it."""

    index: int
    kind: str
    codec: str
    codec_tag: str
    time_base: Fraction
    start: int | None
    duration_s: float | None
    disposition: tuple[str, ...] = ()
    sample_rate: int | None = None
    channels: int | None = None
    extradata: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    packets: PacketFacts | None = None


@dataclass(frozen=True, slots=True)
class UserData:
    """One kind of what stands between the pictures; *digest* is over frames and content."""

    messages: int
    digest: str


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The one video stream that is converted.

    *user_data*: what stands in its packets beside pictures, by kind (None: not looked for).
    *parameter_changes*: in what its parameter sets contradict one another on the way.
    *maybe_interlaced*: they allow for it, so that only each frame can tell.
    *frame_color*: range, primaries, transfer and matrix as the first frame has them, whatever the
    container says of it (`()`: none decoded).
    """

    index: int
    codec: str
    profile: str | None
    level: int | None
    width: int
    height: int
    pix_fmt: str | None
    bit_depth: int | None
    time_base: Fraction
    fps: float | None
    start: int | None
    duration_s: float | None
    color_range: str | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_matrix: str | None = None
    frame_color: tuple[str | None, ...] = ()
    sar: Fraction | None = None
    display_matrix: tuple[int, ...] | None = None
    rotation: int = 0
    interlaced: bool = False
    has_b_frames: bool = False
    dolby_vision: bool = False
    spatial: bool = False
    user_data: Mapping[str, UserData] | None = None
    parameter_changes: tuple[str, ...] = ()
    maybe_interlaced: bool = False
    other_layers: int = 0
    frames_claimed: int | None = None
    packets: PacketFacts | None = None

    @property
    def frames(self) -> int | None:
        """How many frames are presented, counted; None where packets were not read."""
        return self.packets.frames if self.packets else None

    @property
    def timestamps(self) -> tuple[int, ...] | None:
        """When each frame is presented, in `time_base`; None where packets were not read."""
        return self.packets.timestamps if self.packets else None

    @property
    def keyframe_distance(self) -> int | None:
        """The most frames from one key frame to the next; None where unknown."""
        return self.packets.keyframe_distance if self.packets else None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One file, as its own bytes tell it, whatever its name says.

    *container* is mp4, mov, matroska or mpegts. *duration_s* is the header's; what was counted
    stands in each stream's `packets` (None after a quick probe). *sounds*: when each of them is
    over, as the walk of the file's index has found (None: not walked, or it has no such index).
    """

    path: str
    container: str
    size_bytes: int
    mtime_ns: int
    duration_s: float | None
    start_s: float | None
    streams: tuple[StreamInfo, ...]
    video: VideoInfo | None
    moov_first: bool | None = None
    fragmented: bool = False
    chapters: tuple[tuple[float, float, str], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    complaints: tuple[str, ...] = ()
    sounds: tuple[SoundEnd | None, ...] | None = None

    @property
    def made_by_watcher(self) -> bool:
        """True where a copy of ours says so of itself."""
        return TAG in self.metadata

    @property
    def isobmff(self) -> bool:
        """True for MP4 and MOV."""
        return self.container in ("mp4", "mov")


def suitability(info: MediaInfo, source_codecs: Collection[str]) -> None:
    """Raise `Refused` where *info* is not a recording that is converted; say by name why."""
    if info.made_by_watcher:
        raise Refused("made_by_watcher", "is a copy that Watcher itself has made")
    pictures = [s for s in info.streams if s.kind == "video"]
    if info.video is None or not pictures:
        raise Refused("no_video", "has no video stream")
    if len(pictures) > 1:
        raise Refused("several_video", f"has {len(pictures)} video streams", streams=len(pictures))
    _suitable_video(info.video, source_codecs)
    if info.container not in CONTAINERS:
        raise Refused("container_not_carried", f"is {info.container}, which is not converted yet")
    _as_shown(info.video)
    _suitable_tracks(info)


def _suitable_video(video: VideoInfo, source_codecs: Collection[str]) -> None:
    if video.codec == "hevc" and "hevc" not in source_codecs:
        raise Refused("already_hevc", "is HEVC already")
    if video.codec not in source_codecs:
        listed = ", ".join(sorted(source_codecs))
        raise Refused("codec_not_listed", f"is {video.codec}; source_codecs lists {listed}")
    if video.dolby_vision:
        raise Refused("dolby_vision", "carries Dolby Vision, which no copy of ours would keep")
    if video.spatial:
        raise Refused("spatial", "is a 360 degree or stereoscopic picture; a copy would not say so")
    if video.interlaced:
        raise Refused("interlaced", "is interlaced, which HEVC in hardware does not keep")
    if video.width <= 0 or video.height <= 0 or video.pix_fmt is None:
        raise Refused("damaged_source", "its header does not say what its frames look like")
    if video.packets is not None:
        _frames_are_there(video, video.packets)


def _as_shown(video: VideoInfo) -> None:
    """What the stream says of its pictures, and a copy of the pictures would not say."""
    if video.other_layers:
        raise Refused(
            "layers_not_carried", f"has {video.other_layers} pictures of another view or layer"
        )
    if FRAME_PACKING & (video.user_data or {}).keys():
        raise Refused("spatial", "holds the pictures of both eyes in one; a copy would not say so")
    said = sorted(kind for kind in video.user_data or () if kind.startswith("type "))
    if said:
        raise Refused("sei_not_carried", f"says of its pictures what is lost: SEI of {said[0]}")
    if video.parameter_changes:
        raise Refused(
            "format_changes",
            f"its parameter sets change what is shown: {video.parameter_changes[0]}",
        )


def _frames_are_there(video: VideoInfo, counted: PacketFacts) -> None:
    if counted.packets == 0:
        raise Refused("damaged_source", "has no frame at all")
    # Where parts of an edit list touch, some packets come again, not to be shown a second time.
    if video.frames_claimed not in (None, counted.packets, counted.frames):
        raise Refused(
            "damaged_source",
            f"claims {video.frames_claimed} frames and has {counted.packets}",
            frames_claimed=video.frames_claimed,
            frames=counted.packets,
        )


def _suitable_tracks(info: MediaInfo) -> None:
    """What the container that the source really is can't be given again is refused by name."""
    for stream in info.streams:
        if info.isobmff and stream.kind in {"video", "audio", "subtitle"}:
            _as_told(info, stream)
        about = f"track {stream.index} ({stream.kind}, {stream.codec or stream.codec_tag})"
        if stream.kind == "audio":
            if not _carried_audio(info.container, stream.codec):
                raise Refused("audio_not_carried", f"{about} can't be carried over")
        elif stream.kind == "subtitle":
            if info.isobmff and stream.codec not in MP4_SUBTITLES:
                raise Refused("track_not_carried", f"{about} can't be carried over")
        elif stream.kind == "attachment" and info.container == "matroska":
            continue
        elif stream.kind != "video" and not (info.chapters and is_chapter_track(stream)):
            raise Refused("track_not_carried", f"{about} can't be carried over")


def _as_told(info: MediaInfo, stream: StreamInfo) -> None:
    """What MP4 and MOV know of a track, and their muxers would write otherwise."""
    about = f"track {stream.index} ({stream.kind})"
    language = stream.metadata.get("language", "und")
    if not is_kept(info.container, language):
        raise Refused(
            "metadata_not_carried", f"{about}: its language {language!r} has no place in a copy"
        )
    packets = stream.packets
    if packets is None:
        return
    if len(packets.runs) > 1:
        raise Refused(
            "audio_not_carried",
            f"{about}: its samples pause, or are off their clock, after byte {packets.runs[1][0]};"
            " a copy would not keep that",
        )
    endless = packets.timestamps and packets.end_pts == packets.timestamps[-1]
    if stream.kind == "subtitle" and info.fragmented and endless:
        raise Refused("track_not_carried", f"{about}: its last text has no end, and would be lost")


def _carried_audio(container: str, codec: str) -> bool:
    if container == "mov":
        return codec in MOV_AUDIO or codec.startswith("pcm_")
    return container == "matroska" or codec in MP4_AUDIO


def is_chapter_track(stream: StreamInfo) -> bool:
    """Tell a chapter track: it is written anew from the chapters, and not copied."""
    return stream.kind == "data" and stream.codec_tag == "text"
