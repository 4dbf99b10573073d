"""What decoders say about a recording: whose fault, and how many frames it concerns. Pure.

A line is put down to the container, the picture, the sound, or to what wrote the copy. Container
damage is never taken. Bitstream damage is counted in frames, and rather too many than too few: a
line that no summary of a damaged frame stands for counts as a frame of its own, and each frame
with all that may be made of it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

TOLERATED_SHARE: Final = 0.005
"""Of frames that may be damaged where `damaged_sources: convert` says so."""

_WHO = re.compile(r"^((?:\[[^\]]*\] )*)\[(?:info|warning|error|fatal|panic)\] ?(.*)$")
_WRITERS: Final = (
    "[out#",
    "[vost#",
    "[aost#",
    "[sost#",
    "[dost#",
    "[libx265",
    "[libsvtav1",
    "[vf#",
)
_ENCODERS: Final = ("hevc_qsv", "hevc_vaapi", "hevc_nvenc", "av1_qsv", "AVHWDeviceContext", "null")
_MUXERS: Final = (
    "[mp4 @",
    "[mov @",
    "[matroska @",
    "[mpegts @",
    "[ipod @",
)  # muxers: one name each
_OWN_LOGS: Final = ("x265 [", "Svt[", "SvtAv1", "libva info", "libva:")
_SUMMARIES: Final = ("corrupt decoded frame", "Error submitting packet to decoder")
_DETAILS: Final = (
    "error while decoding MB",
    "corrupted macroblock",
    "cbp too large",
    "mb_skip_run",
    "Invalid NAL unit size",
    "missing picture in access unit",
    "Invalid level prefix",
    "negative number of zero coeffs",
    "out of range intra chroma pred mode",
    "top block unavailable",
    "left block unavailable",
    "bytestream",
    "concealing",
    "Error splitting the input into NAL units",
    "no frame!",
    "Error processing packet in decoder",
    "Input buffer exhausted",
    "Task finished with error code",
    "Terminating thread with return code",
    "Conversion failed",
)


@dataclass(frozen=True, slots=True)
class Damage:
    """What the lines of one pass come to."""

    container: tuple[str, ...] = ()
    picture: tuple[str, ...] = ()
    sound: tuple[str, ...] = ()
    frames: int = 0  # of the picture, damaged
    packets: int = 0  # of the sound, damaged
    countable: bool = True

    @property
    def of_source(self) -> tuple[str, ...]:
        """Every line, the container's first."""
        return self.container + self.picture + self.sound


def judge_lines(
    lines: Sequence[str], sound_codecs: Collection[str] = (), *, complete: bool = True
) -> Damage:
    """Put each of *lines* down to what it concerns; *complete*: none were left out."""
    container, picture, sound = [], [], []
    for line in lines:
        who, text = _parts(line)
        if _of_the_copy(line, who):
            continue
        if "aist#" in who or any(who.startswith(f"[{codec} @") for codec in sound_codecs):
            sound.append(line)
        elif "vist#" in who or who.startswith(("[h264 @", "[hevc @", "[av1 @", "[libdav1d @")):
            picture.append(line)
        elif not text.startswith(_DETAILS):
            container.append(line)
    return Damage(
        container=tuple(container),
        picture=tuple(picture),
        sound=tuple(sound),
        frames=_counted(picture),
        packets=_counted(sound),
        countable=complete,
    )


def spread(damage: Damage, frames: int, longest_run: int | None) -> Damage:
    """Count with each damaged frame those that are made of it: up to the next key frame.

    No line says which frame it is about, so the longest run of all stands for each.
    """
    return replace(damage, frames=min(frames, damage.frames * (longest_run or frames)))


def tolerable(damage: Damage, frames: int, packets: int) -> bool:
    """Say whether `damaged_sources: convert` takes this much."""
    return (
        damage.countable
        and not damage.container
        and damage.frames <= TOLERATED_SHARE * frames
        and damage.packets <= TOLERATED_SHARE * max(packets, 1)
    )


def _parts(line: str) -> tuple[str, str]:
    found = _WHO.match(line)
    return (found[1], found[2]) if found else ("", line)


def _of_the_copy(line: str, who: str) -> bool:
    """Say whether the encoder or the muxer speaks: what it wrote is proven by itself."""
    own = who.startswith(_WRITERS + _MUXERS) or line.startswith(_OWN_LOGS)
    return own or any(who.startswith(f"[{name}") for name in _ENCODERS)


def _counted(lines: Sequence[str]) -> int:
    """Count damaged frames: summaries, and what is neither a summary nor a detail of one."""
    texts = [_parts(line)[1] for line in lines]
    summaries = sum(text.startswith(_SUMMARIES) for text in texts)
    details = sum(any(known in text for known in _DETAILS) for text in texts)
    return max(summaries, min(details, 1)) + len(texts) - summaries - details
