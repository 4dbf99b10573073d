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
from support.attack import fail_everywhere, kill_everywhere
from support.filesystems import MOUNTABLE, Unavailable, mounted, shared_memory
from support.swap_trials import SCRIPTS, Ground
from support.tracer import can_trace

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
FEWEST = 10  # restoring without a marker has 15 calls; none at all would prove nothing


@pytest.fixture(params=["tmpfs", "temporary directory"])
def near(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """What every machine has."""
    with ExitStack() as stack:
        yield Ground(_entered(request.param, stack, tmp_path))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Ground]:
    """Where an fsync costs nothing: what fails is the same call everywhere."""
    with ExitStack() as stack:
        yield Ground(_entered("tmpfs", stack, tmp_path))


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
        {f"{one}: kill": kill_everywhere(near, one, all_calls=False) for one in SCRIPTS}
    )
    _tell(near, table)
    assert table["transcode: kill"] > 20


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_any_change_fails(memory: Ground, number: int, for_ever: bool) -> None:
    """Whichever change fails, with a broken disk or a full one."""
    table = Counter(
        {
            f"{one}: {errno.errorcode[number]}": fail_everywhere(
                memory, one, number, all_calls=False, for_ever=for_ever
            )
            for one in SCRIPTS
        }
    )
    _tell(memory, table)
    assert table[f"transcode: {errno.errorcode[number]}"] > 20


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("script", SCRIPTS)
def test_killed_at_every_system_call(far: Ground, script: str) -> None:
    """Every one, whether or not it changes anything."""
    tried = kill_everywhere(far, script, all_calls=True)
    _tell(far, Counter({f"{script}: kill at every call": tried}))
    assert tried > FEWEST


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", ERRORS, ids=[errno.errorcode[one] for one in ERRORS])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_call_fails(far: Ground, script: str, number: int, for_ever: bool) -> None:
    """The Nth file-system call, for every N until none is left to fail."""
    tried = fail_everywhere(far, script, number, all_calls=True, for_ever=for_ever)
    how = f"{errno.errorcode[number]} {'for ever' if for_ever else 'once'}"
    _tell(far, Counter({f"{script}: {how}": tried}))
    assert tried > FEWEST
