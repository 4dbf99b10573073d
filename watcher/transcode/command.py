"""The whole ffmpeg command of one encode.

Pure: values in, an argv out. What it promises: all streams and metadata, every timestamp, colour,
rotation and the container that the source really is stay as they were; the source is the only
file that may be opened, by the demuxer that it was probed with; a source that does not decode
cleanly ends the encode (`-xerror`, without which exit 0 proves nothing).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from watcher.errors import Refused
from watcher.transcode.encoders import Decode, Rung, Settings, video_words
from watcher.transcode.media import TAG, MediaInfo, is_chapter_track

SOFTWARE_DECODE_THREADS: Final = 2

DEMUXERS: Final[Mapping[str, str]] = MappingProxyType(
    {"mp4": "mov", "mov": "mov", "matroska": "matroska", "mpegts": "mpegts"}
)
"""The demuxer of each container: it is named, so no playlist can pass for a recording."""

_MUXERS = {"mp4": "mp4", "mov": "mov", "matroska": "matroska", "mpegts": "mpegts"}


_HARDWARE_DECODER = {
    "qsv": ("-hwaccel", "qsv", "-hwaccel_device", "qs", "-hwaccel_output_format", "qsv"),
    "vaapi": ("-hwaccel", "vaapi", "-hwaccel_device", "va", "-hwaccel_output_format", "vaapi"),
    "cuda": ("-hwaccel", "cuda", "-hwaccel_output_format", "cuda"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One encode: from *source* to *output*, both as paths."""

    info: MediaInfo
    source: str
    output: str
    settings: Settings


def argv(ffmpeg: str, rung: Rung, job: Job) -> list[str]:
    """Give the whole command of *job* by *rung*."""
    video = job.info.video
    if video is None:
        raise Refused("no_video", "has no video stream")
    errors = [] if job.settings.tolerate_damage else ["-xerror"]
    return [
        *[ffmpeg, "-hide_banner", "-nostdin", "-y", "-loglevel", "repeat+level+warning"],
        *[*errors, "-nostats", "-stats_period", "0.5", "-progress", "pipe:1"],
        *input_words(rung, job.settings, job.info.container, job.source),
        *_mapped(job.info),
        *["-c:a", "copy", "-c:s", "copy", "-c:d", "copy", "-c:t", "copy"],
        *_last_packets(job.info),
        "-copyinkf",  # GStreamer marks no sound as key frames, and what comes before one is dropped
        *["-copyts", "-fps_mode", "passthrough", "-enc_time_base", "demux"],
        *video_words(rung, job.settings, video, _bit_rate(job.info)),
        *_muxer(rung, job.info),
        f"file:{job.output}",
    ]


def _last_packets(info: MediaInfo) -> list[str]:
    """Say again how long a sound's last packet lasts, where the demuxer says it otherwise.

    PCM has no packets in an index: there a sample is one.
    """
    words: list[str] = []
    streams = [stream for stream in info.streams if stream.kind == "audio"]
    for number, (stream, end) in enumerate(zip(streams, info.sounds or (), strict=False)):
        facts = stream.packets
        if end is None or facts is None or not facts.timestamps or stream.codec.startswith("pcm_"):
            continue
        read_s = ((facts.end_pts or 0) - facts.timestamps[-1]) * stream.time_base
        if abs(read_s - end.last_s) > stream.time_base:
            last = f"round({end.last_s.numerator}/{end.last_s.denominator}/TB)"
            words += [
                f"-bsf:a:{number}",
                f"setts=duration=if(eq(NEXT_DTS\\,NOPTS)\\,{last}\\,DURATION)",
            ]
    return words


def input_words(rung: Rung, settings: Settings, container: str, source: str) -> list[str]:
    """Give the device, the decoder, and the one file that may be opened."""
    threads = settings.max_threads
    if rung.hardware:
        threads = min(SOFTWARE_DECODE_THREADS, threads or SOFTWARE_DECODE_THREADS)
    decoder = _HARDWARE_DECODER[rung.hardware] if rung.hardware else ()
    chosen = (
        list(decoder)
        if rung.decode is Decode.HARDWARE
        else (["-threads", str(threads)] if threads else [])
    )
    return [
        *_device(rung),
        *chosen,
        *["-noautorotate", "-reinit_filter", "0"],  # frames that change are told, not scaled
        *["-protocol_whitelist", "file", "-f", DEMUXERS[container]],
        *["-i", f"file:{source}"],
    ]


def _device(rung: Rung) -> list[str]:
    driver = f",driver={rung.driver}" if rung.driver else ""
    vaapi = ["-init_hw_device", f"vaapi=va:{rung.device}{driver}"]
    if rung.hardware == "qsv":
        return [*vaapi, "-init_hw_device", "qsv=qs@va", "-filter_hw_device", "qs"]
    if rung.hardware == "vaapi":
        return [*vaapi, "-filter_hw_device", "va"]
    return []


def _mapped(info: MediaInfo) -> list[str]:
    """Everything; but a chapter track is written anew from the chapters, not copied."""
    chapters = [s.index for s in info.streams if is_chapter_track(s)]
    left_out = [word for index in chapters for word in ("-map", f"-0:{index}")]
    words = ["-map", "0", *left_out, "-map_metadata", "0", "-map_chapters", "0"]
    return [*words, "-disposition:v:0", _disposition(info)]


def _disposition(info: MediaInfo) -> str:
    """Say the video's again: where none is said, ffmpeg makes a stream of each kind the default."""
    video = next((s for s in info.streams if s.kind == "video"), None)
    return "+".join(video.disposition) if video and video.disposition else "0"


def _muxer(rung: Rung, info: MediaInfo) -> list[str]:
    words = ["-max_muxing_queue_size", "2048", "-metadata", f"{TAG}={rung.label}"]
    if info.isobmff:
        flags = "+use_metadata_tags" + ("+faststart" if info.moov_first else "")
        words += ["-movflags", flags, *_brands(), *_creation(info), *_names(info)]
        if rung.codec == "hevc":
            words += ["-tag:v:0", "hvc1"]
    return [*words, "-f", _MUXERS[info.container]]


def _brands() -> list[str]:
    """The source's file-type brands are the muxer's business, not metadata to be carried over."""
    names = ("major_brand", "minor_version", "compatible_brands")
    return [word for name in names for word in ("-metadata", f"{name}=")]


def _creation(info: MediaInfo) -> list[str]:
    """Say when the file was made, where only its tracks do: the muxer asks the file alone."""
    said = (stream.metadata.get("creation_time") for stream in info.streams)
    first = None if "creation_time" in info.metadata else next(filter(None, said), None)
    return ["-metadata", f"creation_time={first}"] if first else []


def _names(info: MediaInfo) -> list[str]:
    """Say what each track is called: it is read as a name, and written from a title."""
    words: list[str] = []
    for kind, letter in (("video", "v"), ("audio", "a"), ("subtitle", "s")):
        for number, stream in enumerate(s for s in info.streams if s.kind == kind):
            name = stream.metadata.get("name")
            if name and "title" not in stream.metadata:
                words += [f"-metadata:s:{letter}:{number}", f"title={name}"]
    return words


def _bit_rate(info: MediaInfo) -> int | None:
    return int(info.size_bytes * 8 / info.duration_s) if info.duration_s else None
