"""Every packet of a file, counted. A part of the probe worker."""

import hashlib
import re
from array import array
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from watcher.transcode.probe_inside import Inside

ALIVE_EVERY = 5_000
MOST_RUNS = 10_000  # of PCM without a gap
_BITS = re.compile(r"(\d+)")  # in a codec's name: pcm_s24le
_G711_BITS = 8


class Counted:
    """One stream's packets, counted; *pace* is how many ticks so many bytes of PCM last."""

    def __init__(
        self, *, is_video: bool, is_text: bool = False, pace: tuple[int, int] | None = None
    ) -> None:
        self.is_video, self.is_text = is_video, is_text
        self.ends = array("q")
        self.packets = self.bytes = self.hidden = self.untimed = self.corrupt = self.keyframes = 0
        self.longest_gap = self.last_key = -1
        self.first_is_key = True
        self.last_pts: int | None = None
        self.end_pts: int | None = None
        self.times = array("q")
        self.hidden_times = array("q")
        self.least_step: int | None = None
        self.last_dts: int | None = None
        self.pace = pace
        self.runs: list[tuple[int, int]] = []
        self.digest = hashlib.blake2b(digest_size=16)

    def add(self, packet: Any) -> None:  # noqa: ANN401
        """Count one packet."""
        if packet.is_keyframe:
            if self.last_key >= 0:
                self.longest_gap = max(self.longest_gap, self.packets - self.last_key)
            self.last_key = self.packets
            self.keyframes += 1
        elif self.packets == 0:
            self.first_is_key = False
        if not self.is_video:
            self._note_times(packet)
        self.packets += 1
        self.bytes += packet.size
        self.corrupt += packet.is_corrupt
        if packet.is_discard:
            self.hidden += 1
            if packet.pts is not None and not self.is_video:
                self.hidden_times.append(packet.pts)
        elif packet.pts is None:
            self.untimed += 1
        else:
            self.times.append(packet.pts)
            if self.last_pts is None or packet.pts >= self.last_pts:
                self.last_pts = packet.pts
                self.end_pts = packet.pts + (packet.duration or 0)
        if not self.is_video:
            self.digest.update(packet)

    def _note_times(self, packet: Any) -> None:  # noqa: ANN401
        """Note how far packets lie apart, and where samples of one size come not at their time."""
        if self.is_text and packet.pts is not None:
            self.ends.append(packet.pts + (packet.duration or 0))
        if packet.dts is not None:
            if self.last_dts is not None:
                step = packet.dts - self.last_dts
                self.least_step = step if self.least_step is None else min(self.least_step, step)
            self.last_dts = packet.dts
        if self.pace is not None and packet.pts is not None and len(self.runs) <= MOST_RUNS:
            before, since = self.runs[-1] if self.runs else (0, packet.pts)
            ticks, in_bytes = self.pace
            late = (packet.pts - since) * in_bytes - (self.bytes - before) * ticks
            if not self.runs or abs(late) > in_bytes:
                self.runs.append((self.bytes, packet.pts))

    def facts(self) -> dict[str, Any]:
        """Give the sums as they travel."""
        times = sorted(self.times)
        return {
            "packets": self.packets,
            "bytes": self.bytes,
            "first_pts": times[0] if times else None,
            "end_pts": self.end_pts,
            "frames": self.packets - self.hidden,
            "hidden": self.hidden,
            "untimed": self.untimed,
            "corrupt": self.corrupt,
            "keyframes": self.keyframes,
            "keyframe_distance": self.longest_gap if self.longest_gap > 0 else None,
            "longest_run": max(self.longest_gap, self.packets - max(self.last_key, 0)),
            "first_is_key": self.first_is_key,
            "timestamps": times,
            "hidden_timestamps": sorted(self.hidden_times),
            "ends": sorted(self.ends),
            "least_step": self.least_step,
            "runs": self.runs if len(self.runs) <= MOST_RUNS else [],
            "digest": None if self.is_video else self.digest.hexdigest(),
        }


def count(
    container: Any,  # noqa: ANN401
    alive: Callable[[int], None],
    inside: Inside | None = None,
) -> dict[int, dict[str, Any]]:
    """Count every packet of each stream, by its index; tell *alive* now and then how many.

    *inside* looks into the packets of the first video.
    """
    first = next((s.index for s in container.streams if s.type == "video"), None)
    counted = {
        s.index: Counted(is_video=s.type == "video", is_text=s.type == "subtitle", pace=_pace(s))
        for s in container.streams
    }
    for number, packet in enumerate(container.demux()):
        if number % ALIVE_EVERY == ALIVE_EVERY - 1:
            alive(number)
        if packet.dts is None and packet.pts is None and packet.size == 0:
            continue  # PyAV's sign that a stream is over
        counted[packet.stream_index].add(packet)
        if inside is not None and packet.stream_index == first:
            inside.add(packet)
    return {index: one.facts() for index, one in counted.items()}


def _pace(stream: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Give how many ticks of *stream* so many bytes last, where its samples have one size."""
    codec = stream.codec_context
    name = codec.codec.canonical_name if codec is not None and codec.codec else ""
    if not name.startswith("pcm_") or not (codec.sample_rate and codec.channels):
        return None
    bits = _BITS.search(name)
    bits_per_s = codec.sample_rate * codec.channels * (int(bits[1]) if bits else _G711_BITS)
    bytes_per_tick = Fraction(bits_per_s, 8) * stream.time_base
    return bytes_per_tick.denominator, bytes_per_tick.numerator
