"""Kill at every system call, fail every Nth one: real files, real calls, whole operations.

The part without a marker sweeps the calls that change something, on tmpfs and on whatever the
temporary directory is on. `tox -e attack` takes every single call, all errors, once and for ever,
on each file system that can be mounted from a file.
"""

import errno
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.filesystems import MOUNTABLE, Unavailable, mounted, shared_memory
from support.swap_trials import SCRIPTS, Ground, Lost, concerns, judge, run_traced
from support.tracer import FILE_SYSTEM, Call, Fail, Kill, Made, Traced, Verdict, can_trace

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS)


@pytest.fixture(params=["tmpfs", "temporary directory"])
def near(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """What every machine has."""
    with ExitStack() as stack:
        yield Ground(_entered(request.param, stack, tmp_path))


@pytest.fixture(params=["tmpfs", *(kind for kind in MOUNTABLE if kind != "ext2")])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """All that can be mounted here."""
    with ExitStack() as stack:
        yield Ground(_entered(request.param, stack, tmp_path))


def _entered(kind: str, stack: ExitStack, tmp_path: Path) -> Path:
    reason = can_trace()
    if reason:
        pytest.skip(f"system calls can't be traced here: {reason}")
    if kind == "temporary directory":
        root = tmp_path
    else:
        try:
            context = shared_memory() if kind == "tmpfs" else mounted(kind, tmp_path)
            root = stack.enter_context(context)
        except Unavailable as reason_not:
            pytest.skip(f"{kind} can't be had here: {reason_not}")
    ground = root / "recordings"
    ground.mkdir()
    return ground


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


def _kill_everywhere(ground: Ground, script: str, *, all_calls: bool) -> int:
    at = 0
    while True:
        decide = At(ground, at, Kill(), all_calls=all_calls)
        traced = run_traced(ground, script, decide)
        _judge(ground, script, f"killed before {decide.struck}", traced)
        if decide.struck is None:
            return at
        at += 1


def _fail_everywhere(
    ground: Ground, script: str, number: int, *, all_calls: bool, for_ever: bool
) -> int:
    at = 0
    while True:
        decide = At(ground, at, Fail(number), all_calls=all_calls)
        decide.for_ever = for_ever
        traced = run_traced(ground, script, decide)
        what = f"{errno.errorcode[number]} {'for ever from' if for_ever else 'at'} {decide.struck}"
        assert traced.status in {0, 3}, f"{script}, {what}: {traced.why}"
        _judge(ground, script, what, traced)
        if decide.struck is None:
            return at
        at += 1


def _judge(ground: Ground, script: str, what: str, traced: Traced) -> None:
    try:
        judge(ground, script)
    except Lost as lost:
        made = " ".join(one.call.name for one in _last(traced.calls))
        raise Lost(f"{script}, {what}: {lost}; there stand {ground.listing()}; {made}") from lost


def _last(calls: tuple[Made, ...]) -> tuple[Made, ...]:
    return calls[-12:]


def _tell(ground: Ground, table: Counter[str]) -> None:
    with ground.open() as directory:
        kind, journal = super(type(directory), directory).mount()
    name = kind + {None: "", True: ", journal", False: ", no journal"}[journal]
    for what, tried in table.items():
        sys.stdout.write(f"\n| {name} | {what} | {tried} | all survived |")
    sys.stdout.write("\n")


def test_killed_before_any_change(near: Ground) -> None:
    """Whichever change is the last one, the name resolves to one complete file."""
    table = Counter(
        {f"{one}: kill": _kill_everywhere(near, one, all_calls=False) for one in SCRIPTS}
    )
    _tell(near, table)
    assert table["transcode: kill"] > 20


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_any_change_fails(near: Ground, for_ever: bool) -> None:
    """Whichever change fails, with a broken disk or a full one."""
    table: Counter[str] = Counter()
    for number in (errno.EIO, errno.ENOSPC):
        for script in SCRIPTS:
            table[f"{script}: {errno.errorcode[number]}"] = _fail_everywhere(
                near, script, number, all_calls=False, for_ever=for_ever
            )
    _tell(near, table)
    assert table["transcode: EIO"] > 20


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("script", SCRIPTS)
def test_killed_at_every_system_call(far: Ground, script: str) -> None:
    """Every one, whether or not it changes anything."""
    tried = _kill_everywhere(far, script, all_calls=True)
    _tell(far, Counter({f"{script}: kill at every call": tried}))


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", ERRORS, ids=[errno.errorcode[one] for one in ERRORS])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_call_fails(far: Ground, script: str, number: int, for_ever: bool) -> None:
    """The Nth file-system call, for every N until none is left to fail."""
    tried = _fail_everywhere(far, script, number, all_calls=True, for_ever=for_ever)
    how = f"{errno.errorcode[number]} {'for ever' if for_ever else 'once'}"
    _tell(far, Counter({f"{script}: {how}": tried}))
