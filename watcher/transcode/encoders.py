"""Which encoders there are, and what is said to each.

Pure. Every way of encoding is a `Rung`; an encoder that needs several tries is a ladder of them.
What stands around an encoder's words in the whole command is `command.py`'s business.

No hardware rung has run on hardware yet. Their words are held to ffmpeg's own help by tests, and
their order follows what is known of the drivers; `untried` marks encoders of which no more than
that is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from watcher.errors import Refused
from watcher.transcode.media import VideoInfo
from watcher.transcode.user_data import carrying_words

_DEFAULT_KEYFRAME_DISTANCE = 250
_SHARE_OF_SOURCE_BITRATE = 0.5
_HARDWARE_DECODES: Final = frozenset({"yuv420p", "yuvj420p"})
_HARDWARE_PROFILES: Final = frozenset({"Constrained Baseline", "Main", "High"})
_TEN_BIT: Final = "yuv420p10le"
_NOT_HELD: Final = frozenset({("av1", "mov")})  # by ffmpeg's muxer


class Decode(StrEnum):
    """Where the source is decoded."""

    HARDWARE = "hardware"
    SOFTWARE = "software"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about an encode."""

    quality: int = 23
    preset: str = "medium"
    max_threads: int | None = None
    min_space_savings: float = 10.0
    stall_timeout_s: float = 120.0
    tolerate_damage: bool = False
    keep_user_data: bool = True


@dataclass(frozen=True, slots=True)
class Scale:
    """An encoder's quality scale, from the configuration's x265-like figure. Lower is better."""

    factor: float
    offset: float
    best: int
    worst: int

    def of(self, quality: int) -> int:
        """Give *quality* on this scale."""
        return min(self.worst, max(self.best, round(quality * self.factor + self.offset)))


@dataclass(frozen=True, slots=True)
class Rung:
    """One way of encoding: an encoder, and the words it is used with."""

    encoder: str
    name: str
    codec: str
    words: Callable[["Rung", Settings, VideoInfo, int | None], list[str]]
    scale: Scale
    hardware: str | None = None
    decode: Decode = Decode.SOFTWARE
    preset: str | None = None
    untried: bool = False
    device: str = "/dev/dri/renderD128"
    driver: str | None = "iHD"

    @property
    def label(self) -> str:
        """Name it for logs, the ledger and the marker."""
        decode = "" if self.decode is Decode.HARDWARE or not self.hardware else "/software-decode"
        return f"{self.encoder}/{self.name}{decode}" if self.name else f"{self.encoder}{decode}"

    def decoding(self, decode: Decode) -> "Rung":
        """Give the same rung with the source decoded by *decode*."""
        return self if decode is self.decode else replace(self, decode=decode)


CRF_X265: Final = Scale(1, 0, 0, 51)
ICQ: Final = Scale(1, 0, 1, 51)
CQP: Final = Scale(1, 2, 10, 51)
NVENC_CQ: Final = Scale(1, 1, 1, 51)
CRF_SVT: Final = Scale(1.25, 1, 1, 63)


def ladder(codec: str, qsv_mode: str = "fast", preset: str = "medium") -> tuple[Rung, ...]:
    """Give the rungs of *codec* (`auto` included), in the order in which they are tried."""
    if codec == "auto":
        tried = [r for name in AUTO for r in ladder(name, qsv_mode, preset)]
        return tuple(dict.fromkeys([*tried, *_faster(preset)]))
    rungs = ENCODERS[codec]
    if codec == "hevc_qsv" and qsv_mode == "efficient":
        return tuple(sorted(rungs, key=lambda rung: rung.name != "efficient"))
    return rungs


def hardware_decodes(video: VideoInfo) -> bool:
    """Say whether *video* is of the kind that Quick Sync's H.264 decoder takes."""
    return (
        video.codec == "h264"
        and video.pix_fmt in _HARDWARE_DECODES
        and video.profile in _HARDWARE_PROFILES
        and not video.interlaced
    )


def fitting(rung: Rung, video: VideoInfo, container: str) -> Rung:
    """Give *rung* as *video* needs it; raise `Refused` where it can't keep its pixel format.

    Or where *container*, which a copy keeps, does not hold what it makes.
    """
    if (rung.codec, container) in _NOT_HELD:
        raise Refused("codec_not_carried", f"is {container}, which does not hold {rung.codec}")
    if not hardware_decodes(video):
        rung = rung.decoding(Decode.SOFTWARE)
    if _pixels(rung, video) is None:
        raise Refused(
            "pixel_format_not_carried",
            f"is {video.pix_fmt}, which {rung.encoder} can't encode without changing it",
        )
    return rung


def video_words(
    rung: Rung, settings: Settings, video: VideoInfo, bit_rate: int | None
) -> list[str]:
    """Give the encoder and everything that is said to it."""
    filters = _filters(rung, video)
    return [
        *(["-vf", filters] if filters else []),
        *["-c:v:0", rung.encoder],
        *rung.words(rung, settings, video, bit_rate),
        *(carrying_words(rung.encoder, video) if settings.keep_user_data else []),
        *(_colour(video) if rung.decode is Decode.SOFTWARE else []),
    ]


def _gop(video: VideoInfo) -> str:
    distance = video.keyframe_distance or (
        video.packets.frames if video.packets and video.packets.frames else None
    )
    return str(max(1, min(distance or _DEFAULT_KEYFRAME_DISTANCE, 3600)))


def _qsv_fast(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
    return [
        *["-low_power", "1", "-preset", _qsv_preset(settings.preset)],
        *["-q:v:0", str(rung.scale.of(settings.quality))],
        # ffmpeg's default factors would make I 18 and B 30 of 23
        *["-i_qfactor", "1", "-i_qoffset", "-2", "-b_qfactor", "1", "-b_qoffset", "2"],
        *_qsv_common(video),
    ]


def _qsv_efficient(
    rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None
) -> list[str]:
    return [
        *["-low_power", "0", "-preset", _qsv_preset(settings.preset)],
        *["-global_quality", str(rung.scale.of(settings.quality))],
        *_qsv_common(video),
    ]


def _qsv_capped(rung: Rung, settings: Settings, video: VideoInfo, rate: int | None) -> list[str]:
    target = int((rate or _assumed_rate(video)) * _SHARE_OF_SOURCE_BITRATE)
    return [
        *["-low_power", "1", "-preset", _qsv_preset(settings.preset)],
        *["-global_quality", str(rung.scale.of(settings.quality))],
        *["-b:v:0", str(target), "-maxrate:v:0", str(int(target * 1.5))],
        *["-bufsize:v:0", str(target * 3)],
        *_qsv_common(video),
    ]


def _qsv_common(video: VideoInfo) -> list[str]:
    return [
        *["-bf", "0", "-g", _gop(video), "-idr_interval", "0"],
        *["-adaptive_i", "0", "-adaptive_b", "0", "-async_depth", "4"],
    ]


def _av1_qsv(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
    return [
        *["-preset", _qsv_preset(settings.preset)],
        *["-global_quality", str(rung.scale.of(settings.quality))],
        *["-bf", "0", "-g", _gop(video), "-async_depth", "4"],
    ]


def _vaapi(power: str) -> Callable[[Rung, Settings, VideoInfo, int | None], list[str]]:
    def words(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
        quality = str(rung.scale.of(settings.quality))
        return [
            *["-low_power", power, "-rc_mode", "CQP", "-qp", quality],
            *["-bf", "0", "-g", _gop(video), "-idr_interval", "0"],
        ]

    return words


def _nvenc(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
    return [
        *["-preset", _NVENC_PRESETS[settings.preset]],
        *["-rc", "vbr", "-cq", str(rung.scale.of(settings.quality)), "-b:v:0", "0"],
        *["-spatial-aq", "1", "-bf", "0", "-g", _gop(video)],
    ]


def _x265(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
    pools = [f"pools={settings.max_threads}"] if settings.max_threads else []
    gop = _gop(video)
    parameters = [f"keyint={gop}", "min-keyint=1", "open-gop=0", "log-level=error", *pools]
    return [
        *["-preset", rung.preset or settings.preset],
        *["-crf", str(rung.scale.of(settings.quality))],
        *["-x265-params", ":".join(parameters)],
    ]


def _svtav1(rung: Rung, settings: Settings, video: VideoInfo, _rate: int | None) -> list[str]:
    limit = ["-svtav1-params", f"lp={settings.max_threads}"] if settings.max_threads else []
    return [
        *["-preset", str(_SVT_PRESETS[rung.preset or settings.preset])],
        *["-crf", str(rung.scale.of(settings.quality)), "-g", _gop(video), *limit],
    ]


def _both_decodes(*rungs: Rung) -> tuple[Rung, ...]:
    """Each rung with the source decoded in hardware, then in software."""
    return tuple(rung.decoding(decode) for rung in rungs for decode in Decode)


_QSV_FAST = Rung("hevc_qsv", "fast", "hevc", _qsv_fast, CQP, "qsv", Decode.HARDWARE)
_QSV_EFFICIENT = Rung("hevc_qsv", "efficient", "hevc", _qsv_efficient, ICQ, "qsv", Decode.HARDWARE)
_QSV_CAPPED = Rung("hevc_qsv", "capped", "hevc", _qsv_capped, ICQ, "qsv", Decode.HARDWARE)
_VAAPI_LOW = Rung("hevc_vaapi", "low-power", "hevc", _vaapi("1"), CQP, "vaapi", Decode.HARDWARE)
_VAAPI_FULL = Rung("hevc_vaapi", "full", "hevc", _vaapi("0"), CQP, "vaapi", Decode.HARDWARE)
_NVENC = Rung("hevc_nvenc", "", "hevc", _nvenc, NVENC_CQ, "cuda", Decode.HARDWARE, untried=True)
_AV1_QSV = Rung("av1_qsv", "", "av1", _av1_qsv, ICQ, "qsv", Decode.HARDWARE, untried=True)
_X265 = Rung("libx265", "", "hevc", _x265, CRF_X265)
_SVT = Rung("libsvtav1", "", "av1", _svtav1, CRF_SVT)

ENCODERS: Final[Mapping[str, tuple[Rung, ...]]] = MappingProxyType(
    {
        # the last of Quick Sync's own needs no VPL runtime
        "hevc_qsv": _both_decodes(_QSV_FAST, _QSV_EFFICIENT, _QSV_CAPPED, _VAAPI_LOW),
        "hevc_vaapi": _both_decodes(_VAAPI_LOW, _VAAPI_FULL),
        "libx265": (_X265,),
        "libsvtav1": (_SVT,),
        "hevc_nvenc": _both_decodes(_NVENC),
        "av1_qsv": _both_decodes(_AV1_QSV),
    }
)
"""Every encoder, and its ladder."""

AUTO: Final = ("hevc_qsv", "hevc_vaapi", "libx265")
"""What `codec: auto` tries, in this order; then libx265 with faster presets."""

PRESETS: Final = (
    *["placebo", "veryslow", "slower", "slow", "medium"],
    *["fast", "faster", "veryfast", "superfast", "ultrafast"],
)
"""What `preset` may say: x265's names; each encoder maps them to its own."""

_QSV_PRESETS = ("veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast")
_NVENC_PRESETS = dict(
    zip(PRESETS, ("p7", "p7", "p7", "p6", "p4", "p3", "p2", "p1", "p1", "p1"), strict=True)
)
_SVT_PRESETS = dict(zip(PRESETS, (2, 3, 4, 6, 8, 9, 10, 10, 11, 12), strict=True))


def _faster(preset: str) -> tuple[Rung, ...]:
    """libx265 with the presets that are faster than *preset*, for `auto` alone."""
    known = PRESETS.index(preset)
    quicker = [p for p in ("veryfast", "superfast", "ultrafast") if PRESETS.index(p) > known]
    return tuple(replace(_X265, name=p, preset=p) for p in quicker)


def _qsv_preset(preset: str) -> str:
    if preset in _QSV_PRESETS:
        return preset
    return "veryslow" if preset == "placebo" else "veryfast"


def _pixels(rung: Rung, video: VideoInfo) -> str | None:
    """Name the pixel format that the encoder is given, or None where it would change pixels."""
    source = video.pix_fmt or ""
    if rung.hardware:
        eight_bit = "nv12" if source in _HARDWARE_DECODES else None
        return "p010le" if source == _TEN_BIT else eight_bit
    if rung.encoder == "libsvtav1":
        return source if source in {*_HARDWARE_DECODES, _TEN_BIT} else None
    planar = source.startswith(("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p"))
    return source if planar or source.startswith(("yuvj444p", "gray")) else None


def _filters(rung: Rung, video: VideoInfo) -> str:
    """Convert only where the encoder reads no other layout of the same pixels."""
    if rung.hardware == "vaapi" and rung.decode is Decode.HARDWARE:
        return "format=nv12|vaapi,hwupload"
    if not rung.hardware or rung.decode is Decode.HARDWARE:
        return ""
    same_range = "scale=in_range=full:out_range=full," if video.color_range == "pc" else ""
    upload = ",hwupload" if rung.hardware == "vaapi" else ""
    return f"{same_range}format={_pixels(rung, video)}{upload}"


def _colour(video: VideoInfo) -> list[str]:
    """Say again what the source says, and nothing that it does not say."""
    said = {
        "-color_range": video.color_range,
        "-color_primaries": video.color_primaries,
        "-color_trc": video.color_transfer,
        "-colorspace": video.color_matrix,
    }
    return [word for name, value in said.items() if value for word in (f"{name}:v:0", value)]


def _assumed_rate(video: VideoInfo) -> int:
    return int(video.width * video.height * (video.fps or 25) * 0.1)
