"""How far the running job is, and how long it will still take. Pure.

Reckoned from the job's own progress as soon as it has any; before, from what the ledger measured of
others. Times are seconds of the job's own work: while it stands still it gets no slower, and takes
no longer. Four decisions hang on it: whether a file may still finish at a window's end, at a
shutdown, what `stats` says, and whether a file that was aborted fits into another night.
"""

from dataclasses import dataclass, replace
from typing import Final

from watcher.job import Stage, Step
from watcher.segments.segment import Segment

VERIFY_SHARE: Final = 0.5
"""Of an encode's time: what proving takes, where this job has not shown it yet."""


_TELLS_FROM: Final = 0.05
"""A smaller share of an encode may be its slow beginning, and tells nothing of the rest."""


@dataclass(frozen=True, slots=True)
class Current:
    """The job that runs; times are of its own clock, which stands while the job does."""

    segment: Segment
    stage_since_s: float
    step: Step | None = None
    encode_s: float | None = None
    """How long the encode took, once it is over."""
    begun_s: float = 0.0


def begun(segment: Segment, worked_s: float = 0.0) -> Current:
    """Give a job that begins now."""
    return Current(segment, worked_s, begun_s=worked_s)


def stepped(current: Current, step: Step, worked_s: float) -> Current:
    """Give *current* after *step*."""
    before = current.step
    if before is not None and before.stage is step.stage:
        return replace(current, step=step)
    encode_s = current.encode_s
    if before is not None and before.stage is Stage.ENCODE:
        encode_s = worked_s - current.stage_since_s
    return replace(current, step=step, stage_since_s=worked_s, encode_s=encode_s)


def left_s(current: Current, worked_s: float, expected_work_s: float | None) -> float | None:
    """Say how long the job still takes, held no more; None where nothing tells yet."""
    step, in_stage_s = current.step, worked_s - current.stage_since_s
    if step is None or step.stage is Stage.PROBE:
        return expected_work_s
    if step.stage is not Stage.ENCODE:
        return max(0.0, (current.encode_s or 0.0) * VERIFY_SHARE - in_stage_s)
    if not step.fraction:
        return expected_work_s
    total_s = in_stage_s / step.fraction
    return total_s - in_stage_s + total_s * VERIFY_SHARE


def needed_s(current: Current, worked_s: float) -> float:
    """Say how long the whole of a job takes that was aborted at *worked_s*.

    Where it has shown too little: as long again as it was worked on. Where nothing seems to be left
    of its proof, and yet that did not end: as long again as the proof took, so that one that goes
    on for ever is tried ever more rarely.
    """
    so_far_s = worked_s - current.begun_s
    step = current.step
    tells = step is not None and (
        step.stage not in {Stage.PROBE, Stage.ENCODE} or (step.fraction or 0.0) >= _TELLS_FROM
    )
    left = left_s(current, worked_s, None) if tells else None
    if left is None:
        return 2 * so_far_s
    return so_far_s + (left or worked_s - current.stage_since_s)
