"""The demo's night as values: its configuration, what the log has said, what became of each file.

The configuration is written from values alone; the log is read line by line; what became of a
recording is looked up on the disk, where the proof is.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from watcher.clock import utc
from watcher.demo_box import LIVE, LIVE_SEGMENT_S, Recording, frame_times
from watcher.replace.marker import original_name
from watcher.report.reasons import meaning
from watcher.report.tables import Result

MIN_AGE_DAYS: Final = 7
_MINUTE_S = 60
_WINDOW_MINUTES = 180
_ENDS = frozenset({"transcode_finished", "transcode_rejected", "transcode_failed"})


def open_now(now_s: float) -> str:
    """Give a `run_schedule`, in UTC, that is open now and for three hours."""
    start = utc(now_s - _MINUTE_S)
    end = utc(now_s + _WINDOW_MINUTES * _MINUTE_S)
    return f"{start:%H:%M}-{end:%H:%M}"


def configuration(
    top: str, cameras: Iterable[str], now_s: float, *, allow_non_exchange: bool
) -> str:
    """Write the demo's configuration: the defaults, but for what a demo can't wait for."""

    def quoted(*parts: str) -> str:
        return json.dumps(os.path.join(top, *parts), ensure_ascii=False)

    return "\n".join(
        [
            "# The configuration that `watcher demo` ran with. Every other key has its default.",
            "recordings:",
            *(f"  {camera}: {quoted(camera)}" for camera in cameras),
            f"  {LIVE}: {{path: {quoted(LIVE)}, segment_seconds: {LIVE_SEGMENT_S}}}",
            "transcoding:",
            f'  run_schedule: "{open_now(now_s)}"   # open when the demo began',
            "  timezone: UTC",
            f"  min_age_days: {MIN_AGE_DAYS}",
            "  codec: auto                   # the first that works here",
            "  preset: veryfast              # a demo is watched by somebody",
            "  # No limits (the defaults are 15 and 5), a low floor: this may be a busy desktop",
            "  # or a small CI machine, and a demo that waits politely shows nothing. What keeps",
            "  # the live recorder whole here is priority alone.",
            "  max_cpu_percent: 100",
            "  max_io_wait: 100",
            "  min_free_space_gb: 0.2",
            "  critical_free_space_gb: 0.1",
            f"  allow_non_exchange: {str(allow_non_exchange).lower()}",
            f"state_dir: {quoted('state')}",
            "logging: {format: json}",
            "",
        ]
    )


@dataclass(slots=True)
class Night:
    """What the service's log has said so far, line by line."""

    verdicts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    current: str | None = None
    held: str | None = None
    encoder: str | None = None
    pauses: int = 0

    def note(self, line: str) -> Mapping[str, Any] | None:
        """Take one line of the log; give it back parsed, None where it is no event."""
        try:
            event = json.loads(line)
        except ValueError:
            return None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            return None
        name, path = event["event"], event.get("path")
        if name == "transcode_started" and isinstance(path, str):
            self.current = path
            self.verdicts.pop(path, None)
        elif name in _ENDS and isinstance(path, str):
            self.current = None
            self.verdicts[path] = event
        elif name == "gate_held":
            self.held = str(event.get("reason"))
        elif name == "gate_released":
            self.held = None
        elif name == "transcode_paused":
            self.pauses += 1
        elif name == "encoder_chosen":
            self.encoder = str(event.get("encoder"))
        return event

    def settled(self, paths: Iterable[str]) -> bool:
        """Say whether each of *paths* has its verdict."""
        return self.current is None and all(path in self.verdicts for path in paths)


def of_age(recordings: Iterable[Recording]) -> list[str]:
    """Give the paths of those that are old enough for the night."""
    return [each.path for each in recordings if each.plan.age_days >= MIN_AGE_DAYS]


def results(recordings: Sequence[Recording], night: Night, top: str) -> list[Result]:
    """Say what became of each recording, by what stands on the disk now."""
    return [_result(each, night, top) for each in sorted(recordings, key=lambda r: r.path)]


def _result(recording: Recording, night: Night, top: str) -> Result:
    name = os.path.relpath(recording.path, top)
    event = night.verdicts.get(recording.path, {})
    directory, base = os.path.split(recording.path)
    original = os.path.join(directory, original_name(base))
    if os.path.exists(original):
        frames, same = len(frame_times(recording.path)), frame_times(original)
        alike = "at the same times" if frame_times(recording.path) == same else "NOT as before"
        after = os.path.getsize(recording.path)
        vmaf = event.get("vmaf")
        verdict = f"HEVC, {frames} frames {alike}"
        return Result(name, recording.size_bytes, after, verdict, vmaf)
    if recording.plan.age_days < MIN_AGE_DAYS:
        verdict = f"untouched: {recording.plan.age_days:g} days old"
    elif event:
        verdict = f"untouched: {meaning(str(event.get('reason'))).sentence}"
    else:
        verdict = "its turn has not come"
    return Result(name, recording.size_bytes, None, verdict)
