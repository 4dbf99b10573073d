"""Will the nights be long enough? The row of `watcher check` that says so before the first night.

Pure: how much video a day brings (from what stands in the cameras' directories) against what this
machine encodes in a window (from the second that was encoded for real). An estimate, and called
one: verification comes on top, and the service's own forecast replaces it after the first files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.report.tables import Row
from watcher.survey import Survey
from watcher.transcode.media import MediaInfo

TRIAL_PIXELS_PER_S = 1280 * 720 * 25
"""What one second of the trial's sample holds."""

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_SHORTEST_SPAN_S = 6 * _HOUR_S  # less says nothing about a day
_ORDINARY_FPS = 25.0


@dataclass(frozen=True, slots=True)
class Flow:
    """What one camera brings: seconds of video a day, and what they look like."""

    camera: str
    media_s_per_day: float
    width: int
    height: int
    fps: float

    @property
    def pixels_per_day(self) -> float:
        """How much there is to encode of one day."""
        return self.media_s_per_day * self.width * self.height * self.fps

    def __str__(self) -> str:
        """Tell it: "cam1 24 h of 2560x1440 at 60 fps"."""
        hours = self.media_s_per_day / _HOUR_S
        return f"{self.camera} {hours:.1f} h of {self.width}x{self.height} at {self.fps:g} fps"


def flow_of(camera: str, seen: Survey, sample: MediaInfo) -> Flow | None:
    """Judge a camera by how its recordings lie in time; None where that says nothing yet."""
    video, length_s = sample.video, sample.duration_s
    if video is None or not length_s or seen.oldest_s is None or seen.newest_s is None:
        return None
    span_s = seen.newest_s - seen.oldest_s
    if span_s < _SHORTEST_SPAN_S or seen.recordings <= 1:
        return None
    a_day = (seen.recordings - 1) / span_s * _DAY_S * length_s
    fps = video.fps or _ORDINARY_FPS
    return Flow(camera, min(a_day, _DAY_S), video.width, video.height, fps)


def pace_row(flows: Sequence[Flow], speed: float, hours_a_day: float) -> Row:
    """Hold what *flows* bring against *hours_a_day* at *speed* (times real time, in the trial)."""
    needed_h = sum(f.pixels_per_day for f in flows) / (TRIAL_PIXELS_PER_S * speed) / _HOUR_S
    finding = (
        f"a day brings {', '.join(map(str, flows))}; to encode that takes about {needed_h:.1f} h"
        f" here (an estimate), and the window has {hours_a_day:.1f} h a day"
    )
    if needed_h <= hours_a_day:
        return Row("ok", "pace", finding)
    share = 100.0 * hours_a_day / needed_h
    mend = (
        f"about {share:.0f} % of each day gets done, the oldest first: widen `run_schedule`, take"
        " a faster `codec`, `preset` or `qsv_mode`, or let the rest stay as it is"
    )
    return Row("warn", "pace", finding, mend)
