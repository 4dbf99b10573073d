"""What recordings there are, who records them, and what stands beside them: kept true by events.

The part of the service that only looks: index, observer, recorders' health, originals. It lives
through the day at the cost of a tick every 30 s; the shift, which works, is another part.
"""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from watcher.census import count, newest
from watcher.clock import Clock, SystemClock
from watcher.config import Config
from watcher.errors import Aborted
from watcher.events import Emit, emit
from watcher.foreman import LONGEST_STAND_S
from watcher.gate.asking import ASKER, Asker, NoAnswer, patient
from watcher.gate.disk import DiskRules
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.ledger.ledger import Fingerprint, Ledger, Subject, fingerprint
from watcher.replace.marker import recording_of
from watcher.replace.originals import Originals
from watcher.replace.swap import Policy
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.observers import Observers
from watcher.segments.segment import S_PER_DAY, Segment, Settled
from watcher.segments.worker import Worker
from watcher.settings import Transcoding
from watcher.tending import KeepRules, Tender

SETTLE_AGAIN_S = 30.0
_PUT_OFF_TIMES = 20
"""What may not be read now is asked for less often: each time every name is looked at."""

_MIDST_S = 5.0
"""Whoever asked so lately is in the midst of a file, all of whose reading would be in vain."""

_CONFIRMED_WITHIN_S = 1.0
"""Nothing of ours runs while the shift asks."""

_REST_SHARE, _LONGEST_REST_S = 3.0, 0.5
"""Of four moments one is read: where the disk is slow because others use it, that is little."""


class Watch:
    """Index, observer, recorders and originals of one configuration, put together."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        *,
        wake: Callable[[], None],
        recorders_healthy: Callable[[], bool] | None = None,
        may_read: Callable[[], bool] = lambda: True,
        settle_again_s: float = SETTLE_AGAIN_S,
        asker: Asker = ASKER,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self._settle_again_s = settle_again_s
        self._may_read = may_read
        self._put_off, self._rested_s = False, -math.inf  # the upkeep thread's, as the next
        self._unsettled: dict[str, set[str]] = {}  # by directory; the upkeep thread's alone
        self._clock, self._emit = clock or SystemClock(), emit
        self._ledger = ledger
        self._asker = asker
        self._wake = wake
        self.fingerprint: Fingerprint = fingerprint(config.transcoding)
        self.index = SegmentIndex(
            config.transcoding.min_age_days * S_PER_DAY, verdict_of=self._verdict_of
        )
        self.recorders = RecorderWatch(
            _recorder_settings(config),
            max_pause_s=config.transcoding.max_pause_minutes * 60.0,
            host_healthy=recorders_healthy,
            clock=self._clock,
            emit=emit,
        )
        self.tender = Tender(
            Originals(
                ledger,
                keep_original_s=config.transcoding.keep_original_s,
                clock=self._clock,
                emit=emit,
            ),
            remember=self._remember_restored,
            rules=keep_rules(config.transcoding),
            clock=self._clock,
            emit=emit,
        )
        self._upkeep = Worker("watcher-upkeep", self._clock, self._upkeep_failed)
        self.observer = Observers(
            config.cameras,
            self.index,
            sidecar_of=recording_of,
            hooks=Hooks(
                recover=self._listed,
                sidecar_changed=self._sidecar_changed,
                moved=self._moved,
                opened=self.recorders.opened,
                closed=self._closed,
                gone=self._gone,
            ),
            clock=self._clock,
            emit=emit,
        )

    def start(self) -> None:
        """Watch and walk; returns when the index is whole.

        By then every half-done swap is ended for which a look at each file was enough. Where whole
        files have to be compared, or somebody is at work, the upkeep thread goes on: what stands
        there is no candidate (SWAP invariant 9), and no original of it is known yet.
        """
        self._upkeep.start()
        for state in self.recorders.states():
            # How long recordings live was seen before this start, too.
            ages_s = self._ledger.deletion_ages_s(state.camera)
            self.recorders.remembered(state.camera, reversed(ages_s))
        self.observer.start()
        for camera, times in newest(count(self.index, self._clock.wall_s())):
            self.recorders.began(camera, times)
        self._upkeep.soon(self._forget_the_gone)

    def stop(self) -> None:
        """End every thread; last of all those that a share which hangs may keep."""
        self._upkeep.stop()
        self.recorders.close()
        self.observer.stop()

    def tick(self) -> None:
        """Notice what no event tells of; every 30 s."""
        self.observer.tick()
        self.tender.originals.tick()
        self.recorders.tick()
        refreshed = self._ledger.refresh()
        if refreshed.everything:
            self.index.rejudge()
        for path in refreshed.paths:
            self.look_at_verdict(path)

    def look_at_verdict(self, path: str) -> None:
        """Bring the index up to what the ledger says of *path* now."""
        entry = self.index.get(path)
        if entry is None:
            return
        segment = entry.segment
        verdict = self._verdict_of(path, segment.size_bytes, segment.mtime_ns)
        if verdict is None:
            self.index.unsettle(path)
        else:
            self.index.settle(path, verdict.reason, verdict.until_s)

    def confirm(self, segment: Segment) -> bool:
        """Say whether it is as the index has it, or correct that; `NoAnswer` where its disk hangs.

        Asked, not done here: a lock is taken for it that whoever lists a share may keep.
        """
        return self._asker.ask(
            (self, segment),
            lambda: self.observer.confirm(segment),
            _CONFIRMED_WITHIN_S,
            path=segment.path,
        )

    def judge_by(self, decides: Fingerprint) -> None:
        """Take another fingerprint: an encoder was chosen, or the configuration has changed."""
        self.fingerprint = decides
        self.index.rejudge()

    def limit_by(self, settings: Transcoding) -> None:
        """Take changed limits, though a job may run."""
        self.tender.rules = keep_rules(settings)
        self.recorders.max_pause_s = settings.max_pause_minutes * 60.0

    def follow(self, settings: Transcoding) -> None:
        """Take changed settings that need no new walk."""
        self.index.min_age_s = settings.min_age_days * S_PER_DAY
        self.limit_by(settings)
        self.judge_by(fingerprint(settings))

    # --- what the index asks and the observer tells ---------------------------------------------

    def _verdict_of(self, path: str, size_bytes: int, mtime_ns: int) -> Settled | None:
        verdict = self._ledger.verdict(path, size_bytes, mtime_ns, self.fingerprint)
        if verdict is None or not verdict.stands(self._clock.wall_s()):
            return None
        return Settled(verdict.reason, verdict.retry_at_s)

    def _listed(self, _camera: str, directory: str, sidecars: list[str]) -> None:
        left = self.tender.settle_directory(directory, sidecars, _read_nothing)
        if left:
            self._upkeep.soon(lambda: self._settle(directory, left))

    def _sidecar_changed(self, _camera: str, directory: str, name: str) -> None:
        # Later, in a thread of its own: a deletion holds the directory's lock while it reads.
        self._upkeep.soon(lambda: self._settle(directory, [name]))

    def _moved(self, _camera: str, old: str, new: str) -> None:
        self.tender.originals.moved(old, new)
        names = sorted({recording for recording, _ in self.index.names(new)[1]})
        if names:
            self._upkeep.soon(lambda: self._settle(new, names))

    def _settle(self, directory: str, names: Sequence[str], *, again: bool = False) -> None:
        """Settle, and come back for what has to wait: a job ends without a word if it is killed."""
        self._put_off = False
        left = self.tender.settle(directory, names, self._politely, again=again)
        if left and directory not in self._unsettled:
            later_s = self._settle_again_s * (_PUT_OFF_TIMES if self._put_off else 1)
            self._upkeep.soon(lambda: self._settle_again(directory), later_s)
        if left:
            self._unsettled.setdefault(directory, set()).update(left)

    def _settle_again(self, directory: str) -> None:
        self._settle(directory, sorted(self._unsettled.pop(directory, ())), again=True)

    def _politely(self) -> None:
        """Read a whole file in the window, while nobody needs the machine, and not in one go.

        It stands still no longer than a deletion does, for the directory's lock is held meanwhile;
        then it is broken off, and begins anew another time.
        """
        now_s = self._clock.monotonic_s()
        until_s = now_s + LONGEST_STAND_S if now_s - self._rested_s < _MIDST_S else now_s
        while not self._may_go_on():
            if self._clock.monotonic_s() >= until_s:
                self._put_off = True
                raise Aborted("later", "whole files are read while nobody needs the machine")
            self._upkeep.rest(_LONGEST_REST_S)
        read_s = now_s - self._rested_s
        self._upkeep.rest(min(_REST_SHARE * read_s, _LONGEST_REST_S))
        self._rested_s = self._clock.monotonic_s()

    def _may_go_on(self) -> bool:
        if self._upkeep.stopping:
            raise Aborted("shutdown", "told to stop: shutdown")
        return self.recorders.trouble() is None and self._may_read()

    def _closed(self, segment: Segment) -> None:
        self.recorders.closed(segment.camera, segment.path, segment.mtime_ns)
        if self.index.min_age_s < S_PER_DAY:
            self._wake()

    def _gone(self, camera: str, path: str, size_bytes: int, mtime_ns: int, ours: bool) -> None:
        self.recorders.gone(camera, path, size_bytes, mtime_ns, ours=ours)
        age_s = self._clock.wall_s() - mtime_ns / 1e9
        directory, name = os.path.split(path)
        if ours:
            self._sidecar_changed(camera, directory, name)
        else:
            self._ledger.observe_deletion(camera, age_s, size_bytes)
            self._ledger.gone(path, size_bytes, mtime_ns)

    def _forget_the_gone(self) -> None:
        """Forget the verdicts on what was deleted while nobody looked."""
        is_gone = patient(self.observer.is_gone, asker=self._asker)

        def is_there(path: str) -> bool:
            with suppress(NoAnswer):
                return self.index.get(path) is not None or not is_gone(path)
            return True

        self._ledger.prune(is_there)

    def _remember_restored(self, path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        self._ledger.remember_restored(Subject(path, size_bytes, mtime_ns, ""), reason)

    def _upkeep_failed(self, job: str, error: Exception) -> None:
        self._emit("unexpected", where=f"upkeep, {job}", detail=f"{type(error).__name__}: {error}")


def _read_nothing() -> None:
    raise Aborted("later", "nothing is read before the walk has ended")


def _recorder_settings(config: Config) -> dict[str, RecorderSettings]:
    return {
        camera.name: RecorderSettings(
            camera.segment_seconds, camera.health_command, camera.retention_days
        )
        for camera in config.cameras
    }


def keep_rules(settings: Transcoding) -> KeepRules:
    """Translate what the configuration says about originals and the disk."""
    return KeepRules(
        policy=Policy(allow_non_exchange=settings.allow_non_exchange),
        disk=DiskRules.of_gb(
            settings.min_free_space_gb, settings.critical_free_space_gb, settings.max_held_gb
        ),
        release_early=settings.release_originals_early,
    )
