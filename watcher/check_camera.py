"""The rows of `watcher check` about one camera: its directory, file system, space, age, files."""

import os
import pwd
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from watcher.clock import Clock, SystemClock
from watcher.config import Camera, Transcoding
from watcher.errors import WatcherError
from watcher.gate.asking import NoAnswer, patient
from watcher.gate.disk import DiskRules, read_space
from watcher.gate.readings import Space
from watcher.ledger.ledger import Kind, Ledger, fingerprint
from watcher.ledger.stats import DAY_S, nothing_comes_of_age, observed_retention_days
from watcher.ledger.verdict_rows import printable
from watcher.replace.directory import LinuxDirectory
from watcher.replace.preflight import Ability, Method, try_out
from watcher.replace.steps import Policy, told
from watcher.report import forms
from watcher.report.outlook import never_of_age
from watcher.report.tables import Row
from watcher.segments.filesystems import FileSystem, file_system_of
from watcher.segments.polling import POLL_S
from watcher.survey import Survey, survey

_MOST_NAMED = 10
_SNAPSHOTS = {"btrfs": (".snapshots", "@snapshots"), "zfs": (".zfs/snapshot",)}
"""Where snapshots show, below the mount point, by file system."""
_SAFE_SYSTEMS = "keep the recordings on ext4 (with its journal, as it comes), xfs or btrfs"
_MUCH_DAMAGE_PERCENT = 5.0
_HANGS = "look at its server, the network and the kernel's log; nothing is done there"


_is_directory = patient(os.path.isdir, 5.0)


def _try_out(path: str, policy: Policy) -> Ability:
    with LinuxDirectory(path) as directory, directory.locked():
        return try_out(directory, policy)


@dataclass(frozen=True, slots=True)
class CameraTools:
    """What is asked of the machine about a camera, by whom."""

    survey: Callable[[Camera], Survey] = survey
    file_system_of: Callable[[str], FileSystem | None] = file_system_of
    try_out: Callable[[str, Policy], Ability] = _try_out
    space: Callable[[str], Space] = read_space
    is_directory: Callable[[str], bool] = _is_directory
    """May raise `NoAnswer`."""
    user: Callable[[], int] = os.geteuid
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class _About:
    """What every row of one camera is concluded from."""

    title: str
    camera: Camera
    work: Transcoding
    ledger: Ledger | None
    tools: CameraTools
    seen: Survey


def camera_rows(
    camera: Camera, work: Transcoding, ledger: Ledger | None, tools: CameraTools
) -> tuple[list[Row], Survey | None]:
    """Give the camera's rows, and what was seen of it; None where it is not there."""
    title = f"camera {camera.name}"
    try:
        there = tools.is_directory(camera.path)
    except NoAnswer:
        finding = f"{camera.path} does not answer: its disk or network share hangs"
        return [Row("fail", title, finding, _HANGS)], None
    if not there:
        finding = f"{camera.path} is not there: the service waits for it"
        return [
            Row("warn", title, finding, "mount it, or mend its path in the configuration")
        ], None
    about = _About(title, camera, work, ledger, tools, tools.survey(camera))
    looks = (
        _directory,
        _owner,
        _events,
        _snapshots,
        _replacing,
        _space,
        _age,
        _damage,
        _user_data,
        _overdue,
        _ours,
    )
    return [row for look in looks for row in look(about)], about.seen


def _directory(about: _About) -> Iterator[Row]:
    seen, path, me = about.seen, about.camera.path, _name_of(about.tools.user())
    if seen.unreadable or seen.unwritable:
        which, can = (seen.unreadable, "read") if seen.unreadable else (seen.unwritable, "written")
        finding = f"{_some(which)} can't be {can} by {me}"
        yield Row("fail", about.title, finding, _run_as(seen, me))
    elif not seen.recordings:
        patterns = ", ".join(about.camera.patterns)
        yield Row("ok", about.title, f"{path} holds no recordings ({patterns}) yet")
    else:
        age_s = about.tools.clock.wall_s() - (seen.oldest_s or 0.0)
        finding = (
            f"{path}: {forms.files(seen.recordings)}, {forms.size(seen.size_bytes)}; the oldest is"
            f" {forms.days(max(0.0, age_s) / DAY_S)} old"
        )
        yield Row("ok", about.title, finding)


def _owner(about: _About) -> Iterator[Row]:
    user, seen = about.tools.user(), about.seen
    others = {uid: count for uid, count in seen.owners.items() if uid != user}
    if others and user != 0:
        owner = max(others, key=lambda uid: others[uid])
        finding = (
            f"{forms.files(others[owner])} of {_name_of(owner)}: {_name_of(user)} can't give a"
            " copy their owner, nor see whether one is still being written"
        )
        yield Row("fail", f"{about.title}: owner", finding, _run_as(seen, _name_of(user)))


def _events(about: _About) -> Iterator[Row]:
    title, system = f"{about.title}: events", about.tools.file_system_of(about.camera.path)
    if system is None:
        finding = "which file system this is can't be told"
        yield Row("warn", title, finding, "mount /proc; on a network share, set `watch: poll`")
    elif about.camera.watch == "poll":
        cost = (
            f"{system.mount.kind}, polled: each of {about.seen.directories:,} directories is listed"
            f" and each file looked at every {POLL_S:g} s (`watch: poll`)"
        )
        yield Row("ok", title, cost)
    elif system.problem:
        yield Row("fail", title, system.problem, system.remedy or "set `watch: poll`")
    else:
        yield Row("ok", title, f"{system.mount.kind} reports every change")


def _snapshots(about: _About) -> Iterator[Row]:
    system = about.tools.file_system_of(about.camera.path)
    places = _SNAPSHOTS.get(system.mount.kind, ()) if system is not None else ()
    for place in places:
        if system is not None and os.path.isdir(os.path.join(system.mount.point, place)):
            finding = (
                f"{system.mount.kind} has snapshots: what they hold is not freed when we free it"
            )
            mend = "keep snapshots of recordings for a short time, or take none"
            yield Row("warn", f"{about.title}: snapshots", finding, mend)


def _replacing(about: _About) -> Iterator[Row]:
    path, seen = about.camera.path, about.seen
    if path in seen.unwritable or path in seen.unreadable:
        return  # said above
    title = f"{about.title}: replacing"
    try:
        ability = about.tools.try_out(path, Policy(about.work.allow_non_exchange))
    except WatcherError as error:
        yield Row("fail", title, error.message, str(error.figures.get("remedy") or _SAFE_SYSTEMS))
    except OSError as error:
        yield Row("fail", title, told(error, path).message, "mend that, then check again")
    else:
        if ability.method is Method.EXCHANGE and ability.leases:
            yield Row("ok", title, "in one step that no power cut can tear (exchange)")
        else:
            finding = "by allow_non_exchange: a race with the recorder's retention stays open"
            yield Row("warn", title, finding, _SAFE_SYSTEMS)


def _space(about: _About) -> Iterator[Row]:
    title, work, seen = f"{about.title}: space", about.work, about.seen
    rules = DiskRules.of_gb(work.min_free_space_gb, work.critical_free_space_gb, work.max_held_gb)
    try:
        space = about.tools.space(about.camera.path)
    except OSError as error:
        yield Row("fail", title, str(error.strerror or error), "look at the disk")
        return
    floor = rules.floor(space.total_bytes)
    finding = (
        f"{forms.size(space.free_bytes)} of {forms.size(space.total_bytes)} free, the floor is"
        f" {forms.size(floor)}; {forms.files(seen.originals)} of originals hold"
        f" {forms.size(seen.originals_bytes)}"
    )
    if space.free_bytes < rules.critical_bytes:
        mend = "make room: nothing runs below critical_free_space_gb"
        yield Row("fail", title, finding, mend)
    elif space.free_bytes < floor:
        mend = "make room or lower min_free_space_gb; until then files are done one by one"
        yield Row("warn", title, finding, mend)
    else:
        yield Row("ok", title, finding)


def _age(about: _About) -> Iterator[Row]:
    title, camera, seen = f"{about.title}: age", about.camera, about.seen
    wanted = about.work.min_age_days
    lives, by = camera.retention_days, "as configured"
    if lives is None and about.ledger is not None:
        lives, by = observed_retention_days(about.ledger.deletion_ages_s(camera.name)), "as seen"
    if lives is not None:
        finding = f"recordings live {forms.days(lives)} ({by}), min_age_days is {wanted:g}"
        keep = about.work.keep_original_s / DAY_S
        if nothing_comes_of_age(lives, wanted, keep):
            said = never_of_age(lives, wanted, keep_original_days=keep).partition(": ")[2]
            mend = f"set min_age_days well below {lives:g}, or keep recordings longer"
            yield Row("fail", title, f"{finding}: {said}", mend)
        else:
            yield Row("ok", title, finding)
    elif seen.oldest_s is not None:
        finding = f"how long recordings live is not seen yet; min_age_days is {wanted:g}"
        yield Row("ok", title, finding)


def _damage(about: _About) -> Iterator[Row]:
    known = about.ledger.soundness() if about.ledger is not None else {}
    seen = known.get(printable(about.camera.name))
    if seen is None or not seen.damaged:
        return
    title, percent = f"{about.title}: damage", seen.damaged_percent
    finding = (
        f"{seen.damaged:,} of the last {seen.judged:,} judged do not decode cleanly"
        f" ({forms.percent(percent)}): {seen.refused:,} left alone, {seen.converted:,} converted"
    )
    if percent > _MUCH_DAMAGE_PERCENT and about.work.damaged_sources == "skip":
        mend = "look at network and recorder; `damaged_sources: convert` takes slight damage"
        yield Row("warn", title, finding, mend)
    else:
        yield Row("ok", title, finding)


def _user_data(about: _About) -> Iterator[Row]:
    if about.ledger is None:
        return
    key = (printable(about.camera.name), Kind.REFUSED, "user_data_not_carried")
    files, size = about.ledger.counts(fingerprint(about.work)).get(key, (0, 0))
    if files:
        finding = (
            f"{forms.files(files)}, {forms.size(size)}, are left alone: their streams hold captions"
            " or the camera's own notes, which the encoder can't carry over"
        )
        mend = "`watcher why FILE` says how many; `sei_user_data: drop` lets them go"
        yield Row("warn", f"{about.title}: user data", finding, mend)


def _overdue(about: _About) -> Iterator[Row]:
    """What `stats` counts as overdue: kept for more than a day after its safety period."""
    now_s = about.tools.clock.wall_s()
    overdue = sorted(one for one in about.seen.held if one[0] + DAY_S < now_s)
    if overdue:
        until_s, path = overdue[0]
        more = f" and {len(overdue) - 1:,} more" if len(overdue) > 1 else ""
        finding = (
            f"the original of {path}{more} is kept though its safety period is over since"
            f" {forms.time(until_s)}"
        )
        mend = "`watcher cleanup` tries to delete what is due, and says why it is kept"
        yield Row("warn", f"{about.title}: originals", finding, mend)


def _ours(about: _About) -> Iterator[Row]:
    title = f"{about.title}: our files"
    leftovers = sorted(about.seen.leftovers, key=lambda one: not one.for_a_person)
    for leftover in leftovers[:_MOST_NAMED]:
        finding = f"{leftover.path}: {leftover.why}"
        if leftover.for_a_person:
            mend = "look at it; `watcher restore FILE` brings an original back"
            if leftover.file is not None:
                mend += (
                    f", `watcher cleanup {shlex.quote(leftover.file)}` removes what is in the way"
                )
            yield Row("warn", title, finding, mend)
        else:
            yield Row("ok", title, finding)
    rest = leftovers[_MOST_NAMED:]
    if rest:
        asking = sum(one.for_a_person for one in rest)
        finding = f"and {len(rest):,} more such recordings"
        if asking:
            finding += f", {asking:,} of which only a person can judge"
            yield Row("warn", title, finding, "look at those above; then check again for the rest")
        else:
            yield Row("ok", title, finding)


def _run_as(seen: Survey, me: str) -> str:
    if not seen.owners:
        return f"give {me} the right to read and write there"
    owner = max(seen.owners, key=lambda uid: seen.owners[uid])
    return f"run the service as {_name_of(owner)}, whose recordings they are (User= in the unit)"


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
