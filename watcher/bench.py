"""What a command that works on recordings needs, opened for the one command: no service, no events.

The same rooms as the service's, put together for a person who waits: the ledger is shared, the job
lock too, and the recorders' health is the service's where one runs, else a look at how old each
camera's newest recording is.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property

from watcher.clock import Clock, SystemClock
from watcher.config import Config, resolve_state_dir
from watcher.control import NoService, StateDirectory
from watcher.events import Emit, emit
from watcher.gate.asking import NoAnswer, patient
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.load import LoadMeter
from watcher.gate.readings import Decision, Limits
from watcher.gate.recorder import LATE, Health
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.gate.window import Window
from watcher.ledger.ledger import Ledger, Subject
from watcher.replace.marker import original_name, recording_of
from watcher.replace.originals import Originals
from watcher.replace.swap import Policy
from watcher.report.logs import configure_from
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Settled, matcher
from watcher.segments.survey import survey
from watcher.service import LEDGER
from watcher.tending import Tender
from watcher.transcode.trial import Chooser
from watcher.watch import keep_rules
from watcher.workshop import Workshop, open_workshop

_look = patient(os.stat, 10.0)
"""A disk that stood still takes seconds to come up to speed."""

_LOG_S = 2.0  # a person waits: what Loki has not taken by then is kept on disk


@dataclass
class Bench:
    """Everything for work by hand; made by `open_bench`."""

    config: Config
    state: StateDirectory
    ledger: Ledger
    window: Window
    tender: Tender
    keeper: GateKeeper
    recorders: RecorderWatch
    clock: Clock
    emit: Emit
    stack: ExitStack = field(repr=False)
    unsettled: list[str] = field(default_factory=list)
    """Recordings that the last walk could not look at: somebody is at work there, or it failed."""
    beside: list[str] = field(default_factory=list)
    """Recordings beside which the last walk saw something that has an original's name."""
    silent: list[str] = field(default_factory=list)
    """Cameras' directories that the last walk left out, because their disk or share hangs."""
    look_at: Callable[[str], object] = _look
    """Looks at a directory; may raise `NoAnswer`."""

    @property
    def policy(self) -> Policy:
        """What the owner allows the swap."""
        return self.tender.rules.policy

    @cached_property
    def workshop(self) -> Workshop:
        """The encoder that works here, tried when it is first needed; raises `Halt`."""
        return self.stack.enter_context(
            open_workshop(
                self.config.transcoding,
                self.ledger,
                Chooser(clock=self.clock),
                clock=self.clock,
                emit=self.emit,
            )
        )

    def look(self, directory: str | None, *, child: bool = True) -> Decision:
        """Look at the gate, window and switch left out; *child*: work is under way."""
        return self.keeper.look(child=child, directory=directory, by_hand=True)[0]

    def health_known(self) -> bool:
        """Say whether every health command has answered by now: none has at the first look."""
        asked = [one.name for one in self.config.cameras if one.health_command is not None]
        return all(self.recorders.health(name) is not Health.UNKNOWN for name in asked)

    def walk(self, *, any_age: bool, heed_verdicts: bool) -> SegmentIndex:
        """Walk the cameras once, as the service does at its start; half-done swaps are ended."""
        settings = self.config.transcoding
        decides = self.workshop.fingerprint if heed_verdicts and not any_age else None

        def verdict_of(path: str, size_bytes: int, mtime_ns: int) -> Settled | None:
            if decides is None:
                return None
            found = self.ledger.verdict(path, size_bytes, mtime_ns, decides)
            if found is None or not found.stands(self.clock.wall_s()):
                return None
            return Settled(found.reason, found.retry_at_s)

        age_s = 0.0 if any_age else settings.min_age_days * S_PER_DAY
        index = SegmentIndex(age_s, verdict_of=verdict_of)
        self.unsettled.clear()
        self.beside.clear()
        self.silent[:] = [one.path for one in self.config.cameras if self._hangs(one.path)]
        survey(
            [one for one in self.config.cameras if one.path not in self.silent],
            index,
            sidecar_of=recording_of,
            hooks=Hooks(recover=self._settle),
            clock=self.clock,
            emit=_nobody,
        )
        return index

    def _hangs(self, path: str) -> bool:
        try:
            self.look_at(path)
        except NoAnswer:
            return True
        except OSError:
            return False
        return False

    def _settle(self, _camera: str, directory: str, sidecars: list[str]) -> None:
        left = self.tender.settle_directory(directory, sidecars)
        self.unsettled += [os.path.join(directory, name) for name in left]
        names = sorted({recording_of(one) or "" for one in sidecars})
        self.beside += [os.path.join(directory, n) for n in names if original_name(n) in sidecars]

    def remember(self, path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        """Keep the swap's own verdict: its owner wants this file as it is."""
        self.ledger.remember_restored(Subject(path, size_bytes, mtime_ns, ""), reason)

    def tell_service(self) -> None:
        """Have a running service look at the ledger now, not at its next tick."""
        if self.state.service_lives():
            with suppress(NoService):
                self.state.ask("retry", within_s=5.0, paths=[])


@contextmanager
def open_bench(config: Config, *, clock: Clock | None = None, emit: Emit = emit) -> Iterator[Bench]:
    """Put it together, and take it apart again; raises `Halt`."""
    clock, settings = clock or SystemClock(), config.transcoding
    state = StateDirectory(resolve_state_dir(config), clock)
    state.prepare()
    with ExitStack() as stack:
        log = configure_from(config, str(state.path), by_hand=True, clock=clock)
        stack.callback(log.close, _LOG_S)
        ledger = stack.enter_context(Ledger(str(state.path / LEDGER), clock=clock, emit=emit))

        def remember(path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
            ledger.remember_restored(Subject(path, size_bytes, mtime_ns, ""), reason)

        tender = Tender(
            Originals(ledger, keep_original_s=settings.keep_original_s, clock=clock, emit=emit),
            remember=remember,
            rules=keep_rules(settings),
            clock=clock,
            emit=emit,
        )
        window = Window.parse(settings.run_schedule, settings.timezone)
        recorders = _recorders(config, state, clock)
        stack.callback(recorders.close)
        gauge = Gauge(
            meter=LoadMeter(temperature=settings.max_temperature_c is not None, clock=clock),
            recorders=recorders,
            window=window,
            clock=clock,
        )
        keeper = GateKeeper(gauge, Limits.of(settings), clock=clock)
        yield Bench(config, state, ledger, window, tender, keeper, recorders, clock, emit, stack)


_WALK_S = 120.0


def _recorders(config: Config, state: StateDirectory, clock: Clock) -> RecorderWatch:
    """Health commands run here too; what only events tell is the service's to say."""
    commands = {
        one.name: RecorderSettings(health_command=one.health_command) for one in config.cameras
    }

    def healthy() -> bool:
        if state.service_lives():
            told = state.status().get("recorders", {})
            return not any(one.get("health") == "unhealthy" for one in told.values())
        return not late_cameras(config, clock.wall_s())

    return RecorderWatch(
        commands,
        max_pause_s=config.transcoding.max_pause_minutes * 60.0,
        host_healthy=_remembered(healthy, clock),
        host_limit_s=_WALK_S,  # a walk of every camera, where no service tells
        clock=clock,
        emit=_nobody,
    )


def late_cameras(config: Config, now_s: float) -> list[str]:
    """Name the cameras whose newest recording is older than their segment_seconds allow.

    One walk of the newest directories; only where no service runs, whose events would tell. A
    camera that has been silent for longer than max_pause_minutes is absent, and counts no more;
    one with a health command is as well as that says.
    """
    late = []
    for camera in config.cameras:
        if not isinstance(camera.segment_seconds, int) or camera.health_command is not None:
            continue
        newest_s = _newest_s(camera.path, camera.patterns)
        silent_s = now_s - newest_s if newest_s is not None else None
        absent_s = config.transcoding.max_pause_minutes * 60.0 + camera.segment_seconds * LATE
        if silent_s is not None and camera.segment_seconds * LATE < silent_s < absent_s:
            late.append(camera.name)
    return late


def _newest_s(top: str, patterns: tuple[str, ...]) -> float | None:
    matches = matcher(patterns)
    newest: float | None = None
    for directory, _, names in os.walk(top):
        for name in filter(matches, names):
            with suppress(OSError):
                written_s = os.lstat(os.path.join(directory, name)).st_mtime
                newest = max(newest or written_s, written_s)
    return newest


def _remembered(ask: Callable[[], bool], clock: Clock, for_s: float = 10.0) -> Callable[[], bool]:
    """Ask at most every *for_s*: the gate looks twice a second."""
    known = [(float("-inf"), True)]

    def answer() -> bool:
        if clock.monotonic_s() - known[0][0] >= for_s:
            known[0] = (clock.monotonic_s(), ask())
        return known[0][1]

    return answer


def _nobody(_event: str, /, **_fields: object) -> None:
    """The service tells of cameras and their health; a command does not say it twice."""
