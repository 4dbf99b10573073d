"""What recordings there are, who records them, and what stands beside them: kept true by events.

The part of the service that only looks: index, observer, recorders' health, originals. It lives
through the day at the cost of a tick every 30 s; the shift, which works, is another part.
"""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial

from watcher.census import count, newest
from watcher.clock import Clock, SystemClock
from watcher.config import Config
from watcher.errors import Aborted
from watcher.events import Emit, emit
from watcher.gate.asking import ASKER, Asker, NoAnswer
from watcher.gate.disk import DiskRules
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.ledger.ledger import Fingerprint, Ledger, Subject, fingerprint
from watcher.replace.marker import recording_of
from watcher.replace.originals import Originals
from watcher.replace.swap import Policy
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.observers import HANGS, SHARES_WITHIN_S, Observers
from watcher.segments.segment import S_PER_DAY, Segment, Settled
from watcher.segments.worker import each_by_itself
from watcher.settings import Transcoding
from watcher.settling import SETTLE_AGAIN_S, Settler
from watcher.tending import KeepRules, Tender

_CONFIRMED_WITHIN_S = 1.0
"""Nothing of ours runs while the shift asks."""

_SILENT_S = 30.0
"""A server that was asleep takes a while: before that the log is told of no share."""


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
        shares_within_s: float = SHARES_WITHIN_S,
        asker: Asker = ASKER,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self._may_read = may_read
        self._begun: set[str | None] = set()
        self._silent: set[str] = set()  # shares that were told to hang
        self.losses: Counter[str] = Counter()  # what no observer can count: its share hangs
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
        self.observer = Observers(
            config.cameras,
            self.index,
            sidecar_of=recording_of,
            hooks=self._hooks(),
            clock=self._clock,
            emit=emit,
            shares_within_s=shares_within_s,
        )
        self._settlers = {
            share: Settler(
                self.tender, self._may_go_on, again_s=settle_again_s, clock=self._clock, emit=emit
            )
            for share in self.observer.parts
        }

    def settler_of(self, path: str) -> Settler:
        """Give the one that *path* is settled by."""
        return self._settlers[self.observer.share_of(path)]

    def start(self) -> None:
        """Watch and walk; returns when the index is whole.

        By then every half-done swap is ended for which a look at each file was enough. Where whole
        files have to be compared, or somebody is at work, the upkeep thread goes on: what stands
        there is no candidate (SWAP invariant 9), and no original of it is known yet.
        """
        for settler in self._settlers.values():
            settler.start()
        for state in self.recorders.states():
            # How long recordings live was seen before this start, too.
            ages_s = self._ledger.deletion_ages_s(state.camera)
            self.recorders.remembered(state.camera, reversed(ages_s))
        self.observer.start()
        self._take_walked()

    def stop(self) -> None:
        """End every thread; what a share that hangs keeps, keeps no other from ending."""
        for settler in self._settlers.values():
            settler.end()
        self.recorders.close()
        each_by_itself([self.observer.stop, *(one.join for one in self._settlers.values())])

    def tick(self) -> None:
        """Notice what no event tells of; every 30 s."""
        self.observer.tick()
        self._take_walked()
        self.tender.originals.tick()
        self.recorders.tick()
        self._tell_silent()
        refreshed = self._ledger.refresh()
        if refreshed.everything:
            self.index.rejudge()
        for path in refreshed.paths:
            self.look_at_verdict(path)

    def unheard(self) -> dict[str, str]:
        """Say why nothing is heard of which camera."""
        unheard = dict(self.observer.statistics().unheard)
        for share in self.observer.shares():
            if self._silence_of(share) is not None:
                unheard.setdefault(self.observer.cameras[share][0], HANGS)
        return unheard

    def _tell_silent(self) -> None:
        """Say once of a share that it hangs: whoever polls it is kept, and tells nobody."""
        for share in self.observer.shares():
            silence = self._silence_of(share)
            if silence is None:
                self._silent.discard(share)
            elif silence.hangs(_SILENT_S) and share not in self._silent:
                self._silent.add(share)
                self.losses["silent"] += 1
                self._emit(
                    "events_lost",
                    camera=self.observer.cameras[share][0],
                    root=share,
                    cause="silent",
                    detail=HANGS,
                    remedy="look at its server, the network and the kernel's log",
                    count=self.losses["silent"],
                )

    def _silence_of(self, share: str) -> NoAnswer | None:
        try:
            self._asker.ask(
                (os.stat, share), partial(os.stat, share), _CONFIRMED_WITHIN_S, path=share
            )
        except NoAnswer as silence:
            return silence
        except OSError:
            return None
        return None

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

    # --- what the index asks and the observers tell, each in threads of its own ------------------

    def _hooks(self) -> Hooks:
        return Hooks(
            recover=self._listed,
            sidecar_changed=self._sidecar_changed,
            moved=self._moved,
            opened=self.recorders.opened,
            closed=self._closed,
            gone=self._gone,
        )

    def _verdict_of(self, path: str, size_bytes: int, mtime_ns: int) -> Settled | None:
        verdict = self._ledger.verdict(path, size_bytes, mtime_ns, self.fingerprint)
        if verdict is None or not verdict.stands(self._clock.wall_s()):
            return None
        return Settled(verdict.reason, verdict.retry_at_s)

    def _listed(self, _camera: str, directory: str, sidecars: list[str]) -> None:
        left = self.tender.settle_directory(directory, sidecars, _read_nothing)
        if left:
            self.settler_of(directory).settle(directory, left)

    def _sidecar_changed(self, _camera: str, directory: str, name: str) -> None:
        # Later, in a thread of its own: a deletion holds the directory's lock while it reads.
        self.settler_of(directory).settle(directory, [name])

    def _moved(self, camera: str, old: str, new: str) -> None:
        for path in self._ledger.moved(camera, old, new):
            self.look_at_verdict(path)
        self.tender.originals.moved(old, new)
        names = sorted({recording for recording, _ in self.index.names(new)[1]})
        if names:
            self.settler_of(new).settle(new, names)

    def _may_go_on(self) -> bool:
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

    def _take_walked(self) -> None:
        """Take what the first walks have found that are over by now; a share's may end late."""
        walked = self.observer.walked() - self._begun
        if not walked:
            return
        self._begun |= walked
        cameras = {camera for share in walked for camera in self.observer.cameras[share]}
        for camera, times in newest(count(self.index, self._clock.wall_s())):
            if camera in cameras:
                self.recorders.began(camera, times)
        for share in walked:
            self._settlers[share].soon(partial(self._forget_the_gone, share))

    def _forget_the_gone(self, share: str | None) -> None:
        """Forget the verdicts on what was deleted while nobody looked."""

        def is_there(path: str) -> bool:
            if self.observer.share_of(path) != share or self.index.get(path) is not None:
                return True
            return not self.observer.is_gone(path)

        self._ledger.prune(is_there)

    def _remember_restored(self, path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        self._ledger.remember_restored(Subject(path, size_bytes, mtime_ns, ""), reason)


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
