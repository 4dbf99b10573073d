"""Originals deleted under the gate's eye: in turn, before a job, and while a job stands still.

Which goes next is said by `releases`; what it takes to be deleted is proven by `tending`. Here is
when: as long as the gate lets it, under the job lock, and at any time where a disk is so full that
its recorder can't write any more.
"""

import math
from typing import Final

from watcher.clock import Clock
from watcher.crew import BUSY_RETRY_S, Crew
from watcher.errors import Aborted, Halt, Retryable
from watcher.faults import HALT_RETRY_S
from watcher.foreman import LOOK_EVERY_S
from watcher.gate.readings import Decision, Hold
from watcher.releases import Release, Releases
from watcher.running import Running
from watcher.segments.segment import Segment

RELIEVE_EVERY_S: Final = 30.0
"""How often a job's looks ask whether a disk wants originals gone."""


class Deletions:
    """Lets originals go. One thread uses it, the shift's."""

    def __init__(self, crew: Crew, releases: Releases, running: Running, clock: Clock) -> None:
        self._crew = crew
        self._releases = releases
        self._running = running
        self._clock = clock
        self._relieved_s = -math.inf

    def let_go(self, release: Release) -> float:
        """Delete an original; what frees a full disk must not be stopped by its being full.

        Gives after how many seconds to look again. Raises `Halt`.
        """
        try:
            if isinstance(self._look(release, child=False), Hold):
                return LOOK_EVERY_S
            return self._delete(release)
        except Halt as halt:
            if not self._releases.failed(release, halt):
                raise
            return 0

    def make_room(self, segment: Segment) -> float | None:
        """Let originals go where *segment*'s disk wants that first; None: it may begin."""
        tender = self._crew.tender
        try:
            room = tender.room(segment.directory, segment.size_bytes)
        except Retryable as gone:
            self._crew.index.settle(segment.path, gone.reason, self._clock.wall_s() + HALT_RETRY_S)
            return 0
        release = tender.next_release(segment.directory) if room.release_bytes else None
        if release is not None:
            return self.let_go(Release(release, "disk_pressure"))
        return None if room.may_start else LOOK_EVERY_S  # the next pick says what is missing

    def look_at_job(self, directory: str) -> Decision:
        """Ask of a job; one that may go on stands for what its recorder's disk needs gone."""
        decision = self._crew.lookout.look(child=True, directory=directory)
        now_s = self._clock.monotonic_s()
        due = now_s - self._relieved_s >= RELIEVE_EVERY_S and self._running.may_stand()
        if not due or isinstance(decision, Hold) or self._crew.errands.is_stuck:
            return decision
        release, self._relieved_s = self._releases.pressed(), now_s
        if release is None:
            return decision
        self._relieve(release)
        return self._crew.lookout.look(child=True, directory=directory)

    def _relieve(self, release: Release) -> None:
        """Delete an original while the job stands: hours of work keep no disk below its floor."""
        waiting, tender = release.waiting, self._crew.tender
        try:
            self._running.aside(
                lambda leash: tender.delete(waiting, release.reason, leash.check, leash.meanwhile),
                lambda: self._look(release, child=True),
                {"path": waiting.path},
            )
            self._relieved_s = -math.inf  # there may be another
        except (Aborted, Retryable):
            pass  # held up, or the job has to end: another time
        except Halt as halt:
            if not self._releases.failed(release, halt):  # told by the shift's own next deletion
                tender.originals.postpone(waiting.path, HALT_RETRY_S)

    def _delete(self, release: Release) -> float:
        waiting, tender = release.waiting, self._crew.tender
        with self._crew.job_lock(waiting.path) as ours:
            if not ours:
                return BUSY_RETRY_S
            self._running.delete(
                lambda leash: tender.delete(waiting, release.reason, leash.check, leash.meanwhile),
                lambda: self._look(release, child=True),
                {"path": waiting.path},
            )
        return 0

    def _look(self, release: Release, *, child: bool) -> Decision:
        """Ask the gate; not where a disk is so full that its recorder can't write any more."""
        if self._releases.cannot_wait(release.directory):
            return self._crew.lookout.urge()
        return self._crew.lookout.look(child=child, directory=None, switch=False)
