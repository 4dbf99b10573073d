"""Attacks that go through an operation call by call: kill before each, fail each."""

import errno

from support.swap_trials import Ground, Lost, concerns, judge, left_open, run_traced
from support.tracer import FILE_SYSTEM, Call, Fail, Kill, Traced, Verdict

_LAST_CALLS = 12


def kill_everywhere(ground: Ground, script: str, *, all_calls: bool) -> int:
    """Kill before the first call, the second, and so on; gives how many there were."""
    at = 0
    while True:
        decide = At(ground, at, Kill(), all_calls=all_calls)
        traced = run_traced(ground, script, decide)
        _judge(ground, script, f"killed before {decide.struck}", traced)
        if decide.struck is None:
            return at
        at += 1


def fail_everywhere(
    ground: Ground, script: str, number: int, *, all_calls: bool, for_ever: bool
) -> int:
    """Fail the first call, the second, and so on, each alone or with all that follow."""
    at = 0
    while True:
        decide = At(ground, at, Fail(number), all_calls=all_calls)
        decide.for_ever = for_ever
        traced = run_traced(ground, script, decide)
        what = f"{errno.errorcode[number]} {'for ever from' if for_ever else 'at'} {decide.struck}"
        if traced.status not in {0, 3}:
            raise Lost(f"{script}, {what}: {traced.why}")
        if left := left_open(ground, traced):
            raise Lost(f"{script}, {what}: left open: {left}")
        _judge(ground, script, what, traced)
        if decide.struck is None:
            return at
        at += 1


class At:
    """Decides one thing at one call, counting only those that are told of."""

    def __init__(self, ground: Ground, at: int, verdict: Verdict, *, all_calls: bool) -> None:
        self._ground = ground
        self._at = at
        self._verdict = verdict
        self._all = all_calls
        self._seen = -1
        self.for_ever = False
        self.struck: Call | None = None

    def __call__(self, call: Call) -> Verdict:
        if not self._counts(call):
            return None
        self._seen += 1
        if self._seen == self._at or (self.for_ever and self._seen > self._at):
            self.struck = self.struck or call
            return self._verdict
        return None

    def _counts(self, call: Call) -> bool:
        if isinstance(self._verdict, Kill) and self._all:
            return True
        wanted = call.name in FILE_SYSTEM if self._all else call.changes
        return wanted and concerns(self._ground, call)


def _judge(ground: Ground, script: str, what: str, traced: Traced) -> None:
    try:
        judge(ground, script)
    except Lost as lost:
        made = " ".join(one.call.name for one in traced.calls[-_LAST_CALLS:])
        raise Lost(f"{script}, {what}: {lost}; there stand {ground.listing()}; {made}") from lost
