"""Every packet of a file, counted. A part of the probe worker."""

import hashlib
from array import array
from collections.abc import Callable
from typing import Any

from watcher.transcode.probe_inside import Inside

ALIVE_EVERY = 5_000


class Counted:
    """One stream's packets, counted."""

    def __init__(self, *, is_video: bool) -> None:
        self.is_video = is_video
        self.packets = self.bytes = self.hidden = self.untimed = self.corrupt = self.keyframes = 0
        self.longest_gap = self.last_key = -1
        self.first_is_key = True
        self.last_pts: int | None = None
        self.end_pts: int | None = None
        self.times = array("q")
        self.hidden_times = array("q")
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
    counted = {s.index: Counted(is_video=s.type == "video") for s in container.streams}
    for number, packet in enumerate(container.demux()):
        if number % ALIVE_EVERY == ALIVE_EVERY - 1:
            alive(number)
        if packet.dts is None and packet.pts is None and packet.size == 0:
            continue  # PyAV's sign that a stream is over
        counted[packet.stream_index].add(packet)
        if inside is not None and packet.stream_index == first:
            inside.add(packet)
    return {index: one.facts() for index, one in counted.items()}
