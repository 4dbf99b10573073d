"""Whom the shift works with, handed to it in one piece; a test hands in its own."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from watcher.foreman import Foreman
from watcher.gate.recorders import RecorderWatch
from watcher.job import OnStep, Outcome, Road
from watcher.ledger.ledger import Ledger
from watcher.lookout import Lookout
from watcher.night import Night
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Segment
from watcher.tending import Tender
from watcher.transcode.leash import Leash
from watcher.workshop import Workshop

BUSY_RETRY_S: Final = 2.0
"""So soon a job lock is asked for again that is a command's."""


def travel(segment: Segment, workshop: Workshop, leash: Leash, on_step: OnStep) -> Outcome:
    """Go one recording's road."""
    return Road(segment, workshop, leash, on_step=on_step).travel()


@dataclass(frozen=True, slots=True)
class Crew:
    """Whom the shift works with. *job_lock* gives a context that yields whether it is ours.

    *confirm* looks whether a segment is still as the index has it, and corrects the index; raises
    `NoAnswer` where its disk hangs.
    """

    index: SegmentIndex
    tender: Tender
    lookout: Lookout
    recorders: RecorderWatch
    ledger: Ledger
    foreman: Foreman
    errands: Foreman
    """For deletions, beside a job that stands still or that the kernel keeps."""
    open_workshop: Callable[[Leash], Workshop]
    job_lock: Callable[[str], AbstractContextManager[bool]]
    enabled: Callable[[], bool]
    on_night: Callable[[Night], None] = lambda _: None
    confirm: Callable[[Segment], bool] = lambda _: True
    travel: Callable[[Segment, Workshop, Leash, OnStep], Outcome] = travel
