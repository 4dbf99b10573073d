"""A swap and what can befall it, over a FakeDirectory that the real code runs on.

A `Trial` runs one script (swap, delete, restore, return) with adversities placed before chosen
calls, starts again after each crash, recovers until nothing changes any more, and holds every
single step and the end to the invariants of SWAP.md. `placements` enumerates where adversities make
a difference: a crash only before a call that changes something, a stranger only before one that
looks at names or changes them.
"""

import copy
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support.clock import ManualClock
from support.fake_directory import Crash, FakeDirectory, Inode, Outside
from watcher.errors import WatcherError
from watcher.replace import swap
from watcher.replace.marker import marker_name, original_name, temporary_name
from watcher.replace.recovery import Standing

NAME = "seg.mp4"
ORIG, MARKER, TMP = original_name(NAME), marker_name(NAME), temporary_name(NAME)
ORIGINAL, COPY = b"O" * 60, b"n" * 20
PLANTED = b"P" * 30
KEEP_S = 86_400.0

_CHANGING = {
    "create",
    "write",
    "fsync",
    "sync",
    "move",
    "move_over",
    "exchange",
    "link",
    "unlink",
    "set_attributes",
    "drop_lease",
}
_NAMES = {"look", "open", "lease", "lease_holds", "digest", "lock"}
_RENAMES = {"exchange", "move", "move_over", "link"}
CRASHES = ("kill", "cut0", "cut1")
STRANGERS = ("delete", "newer", "rewrite", "open", "sweep_original", "sweep_marker")
PLANTERS = ("plant_original", "plant_marker", "plant_temporary")
"""Strangers who put a file of their own at one of our names, whatever stood there."""
FAILURES = ("eio", "eio_for_ever")
EVERYTHING = (*CRASHES, *STRANGERS, *FAILURES)

Plan = tuple[tuple[int, str], ...]


class BrokenError(AssertionError):
    """An invariant does not hold."""


def befalls(kind: str, call: str) -> bool:
    """Whether *kind* before *call* differs from *kind* before the next one."""
    if kind in CRASHES:
        return call in _CHANGING
    if kind in STRANGERS or kind in PLANTERS:
        return call in _NAMES or call in _CHANGING - {"write", "fsync", "set_attributes", "sync"}
    return True


@dataclass
class Trial:
    """One run with its adversities."""

    script: str
    plan: Plan
    policy: swap.Policy = field(default_factory=swap.Policy)
    kind_of_directory: type[FakeDirectory] = FakeDirectory
    calls: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        exchange = not self.policy.allow_non_exchange
        self.fs = self.kind_of_directory(kind="tmpfs" if exchange else "ext2")
        self.outside = Outside(self.fs)
        self.clock = ManualClock()
        self.preflight = swap.Preflight()
        self.restoring = self.deleting = False
        self._before: dict[str, Inode] = {}
        self._failing = self._was_proven = False
        self._newer = self.reach = 0
        self._blows = len(self.plan)
        self._swept: list[bytes] = []
        self._planted_at: dict[str, int] = {}
        self._slipped = self._stood = False

    def run(self) -> "Trial":
        """Run the script, then recovery until nothing changes; raises `BrokenError`."""
        self.fs.put(NAME, ORIGINAL)
        try:
            _SCRIPTS[self.script](self)
        except Crash:
            self._reboot()
        except WatcherError as error:
            self.history.append(f"raised {error.reason}")
        while True:  # every further crash is in the plan, so this ends
            try:
                self._recover()
                break
            except Crash:
                self._reboot()
        self._settle()
        self._judge()
        return self

    def start(self) -> None:
        """From here on adversities strike."""
        self.fs.before, self.fs.after = self._strike, self._watch

    # -- the adversities

    def _strike(self, call: str, _names: tuple[str, ...]) -> None:
        position = len(self.calls)
        there = self.fs.names.get(NAME)
        self._was_proven = there is not None and there.contents == COPY and there.is_durable
        self.calls.append(call)
        for at, kind in self.plan:
            if at == position:
                self.history.append(f"{kind} before {call} {_names}")
                self._do(kind)
        if self._failing and call in _CHANGING:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if call in _CHANGING:
            self._before = dict(self.fs.names)

    def _do(self, kind: str) -> None:
        if kind in CRASHES:
            self._crash = kind
            raise Crash
        if kind == "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if kind == "eio_for_ever":
            self._failing = True
        elif kind == "delete":
            self.outside.delete(NAME)
        elif kind == "newer":
            self._newer += 1
            self.outside.write_new(NAME, b"X%d" % self._newer * 30)
        elif kind == "rewrite":
            self._newer += 1
            self.outside.rewrite(NAME, b"R%d" % self._newer * 30)
        elif kind == "open":
            self._newer += 1
            self.outside.open_and_write_later(NAME, b"R%d" % self._newer * 30)
        elif kind == "sweep_marker":
            self.outside.delete(MARKER)
        elif kind in PLANTERS:
            self._plant({"plant_original": ORIG, "plant_marker": MARKER}.get(kind, TMP))
        else:
            self._note_swept()
            self.outside.delete(ORIG)

    def _plant(self, name: str) -> None:
        if name == ORIG:
            self._note_swept()
        self.outside.write_new(name, PLANTED)
        self._planted_at[name] = len(self.calls)

    def _note_swept(self) -> None:
        """What the sweeper takes of somebody's newer data is the sweeper's doing."""
        inode = self.fs.names.get(ORIG)
        if inode is not None:
            self._swept += [inode.contents, *(contents for contents, _ in inode.blocked_writes)]
            self._swept += self.outside.about_to_write(inode)

    def _reboot(self) -> None:
        if self._crash == "kill":
            self.fs.kill()
        else:
            lost = self.fs.power_cut(min(int(self._crash[-1]), len(self.fs.pending)))
            self.outside.forget(lost)
            self.outside.cut_off()
        self.deleting = self._failing = False

    # -- the runs

    def _recover(self) -> swap.Recovered:
        self.fs.lock_held = False
        recovered = swap.recover(self.fs, NAME, emit=_silent)
        self.history.append(f"recovered: {recovered.found} -> {recovered.actions}")
        return recovered

    def _settle(self) -> None:
        self._failing = False
        self.fs.kill()  # whoever still ran has ended
        self.plan, self.reach = (), len(self.calls)
        self.outside.finish()
        self._recover()
        before = dict(self.fs.names)
        again = self._recover()
        if again.actions or self.fs.names != before:
            raise BrokenError(f"8: a second recovery did {again.actions}")
        if again.standing is Standing.UNKNOWN:
            raise BrokenError("the end is unknown though nothing fails")
        self.standing = again.standing

    def _at_once(self, name: str) -> bool:
        """Whether a stranger came in the instant between our last look and the call.

        No call asks for a condition; where two names have to be as they were, one look comes last.
        """
        first = len(self.calls) - (1 if self.calls[-2] == "look" else 0)
        return self._planted_at.get(name, -1) >= first

    # -- the invariants

    def _watch(self, call: str, names: tuple[str, ...]) -> None:
        if call == "sync":
            return
        before, now = self._before, self.fs.names
        self._hold_name(before.get(NAME), now.get(NAME))
        if TMP in now and now[TMP].contents == ORIGINAL:
            raise BrokenError("1: an original stands at the temporary name")
        if call == "unlink":
            self._hold_unlink(names[0], before[names[0]])
        if call == "move_over":
            self._hold_replaced(names[1], before.get(names[1]))
            self._note_restore(names[1])
        if call in _RENAMES:
            self._hold_durable(names)

    def _hold_name(self, before: Inode | None, now: Inode | None) -> None:
        if before is not None and now is None:
            raise BrokenError("2: we emptied the name")
        planted = now is not None and now.contents == PLANTED
        if planted and now is not before:
            if not self._at_once(ORIG):
                raise BrokenError("4: a stranger's file was moved to the name")
            self._slipped = True
        if before is None and now is not None:
            back = self.restoring and (now.contents == ORIGINAL or planted)
            if not back or (self._stood and not planted):
                raise BrokenError(f"5: a deleted name was filled with {now.contents[:4]!r}")

    def _note_restore(self, name: str) -> None:
        """Whoever deletes the copy after the marker has told of its restore has the last word.

        Where it was deleted before, what is asked for is what was deleted.
        """
        contents = self.fs.contents(name) if name == MARKER else None
        if contents is not None and b'"state":"done"' not in contents:
            is_copy = self.fs.contents(NAME) == COPY
            self._stood = is_copy and not self.policy.allow_non_exchange

    def _hold_unlink(self, name: str, inode: Inode) -> None:
        if name in {ORIG, MARKER} and any(one.kind in _RENAMES for one in self.fs.pending[:-1]):
            raise BrokenError(f"6: {name} unlinked before a rename was durable")
        if inode in self.fs.names.values():
            return
        if inode.contents == PLANTED and name != TMP and not self._at_once(name):
            raise BrokenError("4: a stranger's file was unlinked")
        if inode.contents[:1] in {b"X", b"R"}:
            raise BrokenError("4: something newer was unlinked")
        there = self.fs.names.get(NAME)
        if inode.contents == ORIGINAL:
            same = there is not None and there.contents == ORIGINAL
            # A stranger in the very instant of the unlink is one who came right after it: no
            # call unlinks on a condition.
            if not same and not (self.deleting and self._was_proven):
                raise BrokenError("3: the original was unlinked")

    def _hold_replaced(self, name: str, inode: Inode | None) -> None:
        if inode is None:
            return
        if inode.contents == PLANTED and not self._at_once(name):
            raise BrokenError("4: a stranger's file was overwritten")
        if name == MARKER:
            return
        if not self.policy.allow_non_exchange:
            raise BrokenError(f"4: {name} was overwritten")
        if inode.contents == ORIGINAL and inode not in self.fs.names.values():
            raise BrokenError("3: the original was overwritten")

    def _hold_durable(self, names: tuple[str, ...]) -> None:
        for name in {NAME, ORIG, MARKER} & set(names):
            inode = self.fs.names.get(name)
            if inode is not None and not inode.is_durable:
                raise BrokenError(f"6: {name} points to data that is not on disk")

    def _judge(self) -> None:
        there = self.fs.contents(NAME)
        events = [event for event in self.outside.events if event[1] == NAME]
        if TMP in self.fs.names:
            raise BrokenError("something half made is left")
        if self.standing is Standing.CLEAN and {ORIG, MARKER} & self.fs.names.keys():
            raise BrokenError("clean, and yet something stands beside it")
        if self._slipped:
            return  # no call renames on a condition
        if not events:
            if there not in {ORIGINAL, COPY}:
                raise BrokenError(f"nobody touched it, and the name shows {there!r}")
            return
        what, _name, contents = events[-1]
        if what == "deleted":
            if there is not None and self.script not in {"restore", "return"}:
                raise BrokenError(f"5: deleted, and the name shows {there!r}")
        elif there != contents and contents not in self._swept:
            kept = any(inode.contents == contents for inode in self.fs.names.values())
            if not (kept and self.standing is Standing.BLOCKED and self._blows > 1):
                raise BrokenError(f"4: the newest is {contents[:4]!r}, the name shows {there!r}")


def _silent(_event: str, /, **_fields: object) -> None:
    return


def _claimed(trial: Trial) -> swap.Claim:
    return swap.claim(
        trial.fs, NAME, policy=trial.policy, preflight=trial.preflight, clock=trial.clock
    )


def _sealed(trial: Trial, claimed: swap.Claim) -> swap.Output:
    output = claimed.create_output()
    trial.outside.write_output(output.path, COPY)
    output.seal()
    return output


def _commit(output: swap.Output) -> None:
    output.commit(report={}, encoder="stand-in", settings={}, keep_original_s=KEEP_S)


def _whole(trial: Trial) -> None:
    """Crashes and failures alone: before the claim a stranger's file is simply the recording."""
    trial.start()
    _swap_in(trial, _claimed(trial))


def _encode(trial: Trial) -> None:
    claimed = _claimed(trial)
    trial.start()
    _swap_in(trial, claimed)


def _swap_in(trial: Trial, claimed: swap.Claim) -> None:
    with claimed, _sealed(trial, claimed) as output:
        _commit(output)


def _swap(trial: Trial) -> None:
    with _claimed(trial) as claimed, _sealed(trial, claimed) as output:
        trial.start()
        _commit(output)


def _swapped(trial: Trial) -> None:
    """Begin where a swap has ended; it is made once and copied after that."""
    method = trial.policy.allow_non_exchange
    if method not in _SWAPPED:
        _swap_in(trial, _claimed(trial))
        _SWAPPED[method] = dict(trial.fs.names)
    for name, inode in _SWAPPED[method].items():
        trial.fs.names[name] = copy.copy(inode)
    for inode in trial.fs.names.values():
        inode.leased_by = inode.locked_by = None
        inode.blocked_writes = []
    trial.fs.make_durable()
    trial.clock.advance(KEEP_S)
    trial.start()


_SWAPPED: dict[bool, dict[str, Inode]] = {}


def _delete(trial: Trial) -> None:
    _swapped(trial)
    trial.deleting = True
    swap.delete_original(trial.fs, NAME, clock=trial.clock, policy=trial.policy, emit=_silent)
    trial.deleting = False


def _restore(trial: Trial) -> None:
    _swapped(trial)
    trial.restoring = True
    swap.restore(trial.fs, NAME, policy=trial.policy, emit=_silent)


def _return(trial: Trial) -> None:
    """Its owner has deleted the copy, and wants the original back."""
    _swapped(trial)
    trial.outside.delete(NAME)
    trial.restoring = True
    swap.restore(trial.fs, NAME, policy=trial.policy, emit=_silent)


_SCRIPTS: dict[str, Callable[[Trial], None]] = {
    "whole": _whole,
    "encode": _encode,
    "swap": _swap,
    "delete": _delete,
    "restore": _restore,
    "return": _return,
}


def placements(
    script: str,
    kinds: tuple[str, ...],
    most: int,
    *,
    policy: swap.Policy | None = None,
    kind_of_directory: type[FakeDirectory] = FakeDirectory,
    among: tuple[str, ...] = (),
) -> Iterator[Trial]:
    """Run every placement of up to *most* adversities; each trial is given after it has held.

    Where the second one can strike is known only from the run with the first: each run's calls
    are the places for one adversity more. *among*: of those with as many as may be, only the ones
    with at least one of these; the others are another search's.
    """
    allowed = policy or swap.Policy()
    ready: list[Plan] = [()]
    while ready:
        plan = ready.pop()
        trial = Trial(script, plan, allowed, kind_of_directory)
        try:
            trial.run()
        except BrokenError as broken:
            raise BrokenError(f"{script} {plan}: {broken}; " + "; ".join(trial.history)) from broken
        yield trial
        if len(plan) < most:
            first = plan[-1][0] if plan else 0
            missing = among and len(plan) == most - 1 and not any(k in among for _, k in plan)
            ready += [
                (*plan, (at, kind))
                for at in range(first, trial.reach)
                for kind in (among if missing else kinds)
                if befalls(kind, trial.calls[at]) and (not plan or (at, kind) > plan[-1])
            ]
