"""Work on recordings by hand, in this process: transcode, transcode-all, cleanup.

Age and window do not apply where a person says "now"; verification, the disk's floor and the
recorders' health always do, and so does everybody else's need of the machine. One job at a time,
with the service: whoever has the lock works, the other waits or says so.
"""

import os
import stat
import threading
from argparse import Namespace
from contextlib import suppress
from functools import partial

from watcher.bench import Bench, open_bench
from watcher.commands import DONE, FAILED, say
from watcher.config import Camera, Config, load_config
from watcher.errors import Aborted, Refused, Retryable, WatcherError
from watcher.foreman import LONGEST_STAND_S, LOOK_EVERY_S, Foreman
from watcher.gate.disk import Room
from watcher.gate.readings import Decision, Go, Hold
from watcher.job import Outcome, Result, Road, Stage, Step
from watcher.replace.directory import LOCK_PATIENCE_S
from watcher.replace.leftovers import remove_leftover
from watcher.replace.marker import original_name, recording_of
from watcher.replace.originals import Waiting
from watcher.replace.steps import told
from watcher.replace.swap import Deletion, LinuxDirectory
from watcher.replace.swap import Outcome as Deleted
from watcher.report import forms
from watcher.report.progress import JobProgress
from watcher.report.reasons import meaning
from watcher.segments.segment import Segment
from watcher.transcode.leash import Leash

REFUSED = 3
HANGS = "does not answer: its disk or network share hangs; what is there is left out"
AT_WORK = "could not be looked at: somebody is at work there; try again later"

FAULTS = frozenset(
    {
        "damaged_source",
        "encrypted",
        "external_data",
        "not_a_recording",
        "not_restorable",
        "original_damaged",
        "original_gone",
        "unreadable",
        "unverifiable",
    }
)
"""Refusals that name something wrong with the file: exit code 1. All others are no fault: 3."""


def transcode(arguments: Namespace) -> int:
    """`transcode FILE…`: now, with a progress bar."""
    config = load_config(arguments.config)
    codes = []
    with open_bench(config) as bench:
        for given in arguments.files:
            try:
                segment = named(given, config)
                codes.append(
                    _work(bench, segment, force=arguments.force, wait=not arguments.no_wait)
                )
            except WatcherError as error:
                say(f"{forms.name(given)}: {error.message}\n")
                codes.append(REFUSED if isinstance(error, Refused) else FAILED)
    return worst(codes)


def transcode_all(arguments: Namespace) -> int:
    """`transcode-all`: every candidate of age, oldest first."""
    config = load_config(arguments.config)
    codes = []
    with open_bench(config) as bench:
        state = bench.window.state(bench.clock.wall_s())
        if not (state.is_open or arguments.force or arguments.dry_run):
            opens = forms.time(state.opens_s) if state.opens_s else "never"
            say(f"outside the schedule window (it opens {opens}); --force: now all the same\n")
            return REFUSED
        index = bench.walk(any_age=arguments.any_age, heed_verdicts=not arguments.retry)
        for segment in index.due(bench.clock.wall_s()):
            if arguments.dry_run:
                codes.append(_plan(bench, segment, force=arguments.retry))
                continue
            if not arguments.force and not bench.window.state(bench.clock.wall_s()).is_open:
                say("the schedule window has closed; what is left waits for the next\n")
                break
            code = _work(bench, segment, force=arguments.retry, wait=True)
            codes.append(code if code == FAILED else DONE)
        codes += left_out(bench)
        if not codes:
            say("no recording is of age and waits\n")
    return DONE if arguments.dry_run else worst(codes)


def cleanup(arguments: Namespace) -> int:
    """`cleanup [FILE…]`: originals whose safety period is over; or the files that are named.

    Each original is proven once more; what is named goes only where nothing else would remove it.
    """
    with open_bench(load_config(arguments.config)) as bench:
        if arguments.files:
            return worst([_clean(bench, one, force=arguments.force) for one in arguments.files])
        bench.walk(any_age=True, heed_verdicts=True)
        originals = bench.tender.originals
        due = originals.due()
        codes = [delete(bench, waiting) for waiting in due]
        for path in bench.unsettled:
            say(f"{forms.name(path)}: {AT_WORK}\n")
            codes.append(FAILED)
        codes += left_out(bench)
        left, next_s = originals.all(), originals.next_due_s()
        until = f", the next until {forms.time(next_s)}" if left and next_s is not None else ""
        say(f"{len(due)} due; {forms.files(len(left))} still kept{until}\n")
    return worst(codes)


def left_out(bench: Bench) -> list[int]:
    """Say which cameras the last walk left out."""
    for path in bench.silent:
        say(f"{forms.name(path)}: {HANGS}\n")
    return [FAILED] * len(bench.silent)


def delete(bench: Bench, waiting: Waiting) -> int:
    """Delete one original that is due, when the gate lets us; say what came of it."""
    with (
        bench.state.job_lock(waiting.path, wait=True, on_busy=_say_busy),
        JobProgress() as shown,
    ):
        due = "owner_deleted" if waiting.orphan else "safety_period_over"
        deletion = _Deleting(bench, waiting, shown, due).run()
    what = f"{deletion.outcome.value}: {deletion.reason} {deletion.detail}".rstrip()
    say(f"{forms.name(waiting.path)}: original {what}\n")
    return FAILED if deletion.outcome is Deleted.KEPT else DONE


class _Deleting:
    """One deletion by hand, under the gate's eye: begun when that is open, broken off if held up.

    It reads a whole copy, and holds the directory's lock meanwhile. Where the disk is so full that
    its recorder can't write any more, nothing holds it, as in the service's own shift.
    """

    def __init__(self, bench: Bench, waiting: Waiting, shown: JobProgress, why: str) -> None:
        self._bench = bench
        self._why = why
        self._directory = waiting.path.rpartition("/")[0] or "/"
        self._waiting = waiting
        self._shown = shown
        self._held_by: object = None

    def run(self) -> Deletion:
        never = threading.Event()
        while True:
            while isinstance(self._look(child=False), Hold) or not self._may_begin():
                self._bench.clock.wait(never, LOOK_EVERY_S)
            with suppress(Aborted):
                return self._delete()

    def _may_begin(self) -> bool:
        return self._bench.health_known() or self._bench.tender.is_critical(self._directory)

    def _delete(self) -> Deletion:
        bench, waiting, leash = self._bench, self._waiting, Leash(self._bench.clock)
        foreman = Foreman(bench.clock, bench.emit)
        try:
            return foreman.oversee(
                lambda: bench.tender.delete(waiting, self._why, leash.check, leash.meanwhile),
                leash,
                self._look,
                must_end=lambda: "held" if leash.standing_s() > LONGEST_STAND_S else None,
                about={"path": waiting.path},
            )
        finally:
            foreman.close()

    def _look(self, *, child: bool = True) -> Decision:
        if self._bench.tender.is_critical(self._directory):
            return Go()
        # No directory: what frees a full disk is not held by its being full.
        decision = self._bench.look(None, child=child)
        held_by = decision.reason if isinstance(decision, Hold) else None
        if held_by is not self._held_by:
            if self._held_by is None:
                self._shown.begin(self._waiting.path, "deletion")
            self._shown.paused(decision.detail if isinstance(decision, Hold) else None)
            self._held_by = held_by
        return decision


def _clean(bench: Bench, given: str, *, force: bool) -> int:
    """Remove one file that was named: an original that is due, or what no rule covers."""
    path = os.path.abspath(given)
    directory, ours = os.path.split(path)
    recording = os.path.join(directory, recording_of(ours) or ours)
    try:
        bench.tender.settle(directory, [os.path.basename(recording)])
        due = [one for one in bench.tender.originals.due() if one.path == recording]
        if due and ours == original_name(os.path.basename(recording)):
            return delete(bench, due[0])
        with opened(directory) as where:
            done = remove_leftover(where, ours, force=force, remember=bench.remember)
    except WatcherError as error:
        say(f"{forms.name(path)}: {error.message.removeprefix(f'{path}: ')}\n")
        return code_of(error)
    how = "removed with what was half done" if done.by_recovery else "removed"
    say(f"{forms.name(path)}: {how}\n")
    return DONE


def opened(directory: str, patience_s: float = LOCK_PATIENCE_S) -> LinuxDirectory:
    """Open a directory that a person named; raise `Retryable` or `Halt` in words."""
    try:
        return LinuxDirectory(directory, patience_s=patience_s)
    except FileNotFoundError as error:
        raise Retryable("vanished", "there is no such directory") from error
    except OSError as error:
        raise told(error, directory) from error


def named(given: str, config: Config) -> Segment:
    """Make a segment of the file that a person named; raise `Refused` or `Retryable` in words."""
    path = os.path.abspath(given)
    try:
        found = os.lstat(path)
    except FileNotFoundError as error:
        raise Retryable("vanished", "there is no such file") from error
    except OSError as error:
        raise Retryable("unreadable", f"{error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise Retryable("symbolic_link", "is a symbolic link; name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise Retryable("not_regular", "is no regular file; name a recording")
    directory, name = os.path.split(path)
    if recording_of(name) is not None:
        raise Refused("ours", f"is Watcher's own, beside {recording_of(name)}")
    camera = _camera_of(path, config.cameras)
    return Segment(
        camera.name if camera else os.path.basename(directory),
        directory,
        name,
        found.st_size,
        found.st_mtime_ns,
    )


def _camera_of(path: str, cameras: tuple[Camera, ...]) -> Camera | None:
    return next((one for one in cameras if path.startswith(one.path.rstrip("/") + "/")), None)


# --- one recording ----------------------------------------------------------------------------


def _plan(bench: Bench, segment: Segment, *, force: bool) -> int:
    """Print what would be done: the same judgement as for the work itself."""
    name = forms.name(segment.path)
    road = Road(segment, bench.workshop, Leash(bench.clock), by_hand=True, force=force)
    try:
        info = road.plan()
    except (Refused, Retryable) as verdict:
        say(f"keep     {name}: {meaning(verdict.reason).sentence} ({verdict.reason})\n")
        return REFUSED
    length = forms.duration(info.duration_s or 0.0)
    say(f"convert  {name}: {forms.size(segment.size_bytes)}, {length}\n")
    return DONE


def _work(bench: Bench, segment: Segment, *, force: bool, wait: bool) -> int:
    on_busy = partial(_say_busy, wait=wait)
    with bench.state.job_lock(segment.path, wait=wait, on_busy=on_busy) as ours:
        if not ours:
            return REFUSED
        room = make_room(bench, segment)
        if not room.may_start:
            raise Retryable("no_room", f"no room for the copy: {room.detail}")
        with JobProgress() as shown:
            outcome = _Watched(bench, segment, shown).run(force=force)
            shown.done(_said(outcome))
    if outcome.marker is not None:  # what is known of an original that was there before it
        bench.tender.originals.discard(segment.path)
    return _code(outcome)


def make_room(bench: Bench, segment: Segment) -> Room:
    """Release what has to go for a job on *segment*, when the gate lets us, and judge again."""
    tender = bench.tender
    while True:
        room = tender.room(segment.directory, segment.size_bytes)
        release = tender.next_release(segment.directory) if room.release_bytes else None
        if release is None:
            return room
        with JobProgress() as shown:
            _Deleting(bench, release, shown, "disk_pressure").run()


def _say_busy(holder: str, *, wait: bool = True) -> None:
    doing = "waiting for it" if wait else "not waiting"
    say(f"a job is running on {forms.name(holder)}: {doing}\n")


class _Watched:
    """One job by hand, under the gate's eye, shown as it goes."""

    def __init__(self, bench: Bench, segment: Segment, shown: JobProgress) -> None:
        self._bench = bench
        self._segment = segment
        self._shown = shown
        self._leash = Leash(bench.clock)
        self._stage: object = None
        self._began_s = 0.0
        self._held_by: object = None

    def run(self, *, force: bool) -> Outcome:
        bench, leash = self._bench, self._leash
        road = Road(
            self._segment, bench.workshop, leash, by_hand=True, force=force, on_step=self._step
        )
        self._step(Step(Stage.PROBE))
        about: dict[str, object] = {"camera": self._segment.camera, "path": self._segment.path}
        foreman = Foreman(bench.clock, bench.emit)
        try:
            return foreman.oversee(road.travel, leash, self._look, about=about)
        finally:
            foreman.close()

    def _look(self) -> Decision:
        decision = self._bench.look(self._segment.directory)
        held_by = decision.reason if isinstance(decision, Hold) else None
        if held_by is not self._held_by:
            self._shown.paused(decision.detail if isinstance(decision, Hold) else None)
            self._held_by = held_by
        return decision

    def _step(self, step: Step) -> None:
        now_s = self._bench.clock.monotonic_s() - self._leash.paused_s()
        if step.stage is not self._stage:
            self._stage, self._began_s = step.stage, now_s
            self._shown.begin(self._segment.path, step.stage.value)
        if step.fraction:
            took_s = now_s - self._began_s
            left_s = took_s / step.fraction - took_s
            self._shown.update(step.fraction, speed=step.speed, remaining_s=left_s)


def _said(outcome: Outcome) -> str:
    if outcome.marker is None:
        known = meaning(outcome.reason).sentence
        return f"{outcome.result.value}: {known} ({outcome.reason}: {outcome.message})"
    before, after = outcome.marker.original.size, outcome.marker.copy.size
    vmaf = f", VMAF {outcome.vmaf:.1f}" if outcome.vmaf is not None else ""
    return (
        f"{forms.size(before)} → {forms.size(after)},"
        f" {forms.percent(100 * (1 - after / before))} saved{vmaf};"
        f" the original is kept until {forms.time(outcome.marker.held.until_s)}"
    )


def _code(outcome: Outcome) -> int:
    if outcome.result is Result.CONVERTED:
        return DONE
    if outcome.result is Result.REFUSED and outcome.reason not in FAULTS:
        return REFUSED
    return FAILED


def code_of(error: WatcherError) -> int:
    """Give the exit code of what went wrong with one file."""
    return REFUSED if isinstance(error, Refused) and error.reason not in FAULTS else FAILED


def worst(codes: list[int]) -> int:
    """1 where anything failed, else 3 where anything was refused, else 0."""
    return FAILED if FAILED in codes else REFUSED if REFUSED in codes else DONE
