"""Any of our files swept away at rest, together or alone, in every state of the protocol.

An NVR may sweep what it does not know, and so may a person. Whatever is gone, the ledger too, and
however long it stands so: a name that was not taken away resolves to one complete file.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, combinations

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.swap_trials import (
    COPY,
    KEEP_S,
    MARKER,
    NAME,
    ORIG,
    ORIGINAL,
    SCRIPTS,
    TMP,
    Ground,
    delete_due,
)

from watcher.errors import WatcherError
from watcher.replace import swap
from watcher.replace.marker import State
from watcher.replace.memory import VolatileMemory
from watcher.replace.originals import Originals
from watcher.replace.steps import Site, rewrite_marker, survey


def _state(ground: Ground, state: State) -> None:
    with ground.open() as directory:
        seen = survey(Site(directory, NAME))
        assert seen.marker is not None
        rewrite_marker(directory, seen.marker.with_state(state), seen.marker_look)


def _exchange(ground: Ground) -> None:
    with ground.open() as directory:
        directory.exchange(NAME, ORIG)


def _done(ground: Ground) -> None:
    SCRIPTS["cleanup"][0](ground)


def _intended(ground: Ground) -> None:
    """The intent is on disk, and nothing has moved."""
    _done(ground)
    _state(ground, State.INTENT)
    _exchange(ground)
    (ground.root / ORIG).rename(ground.root / TMP)


def _beside(ground: Ground) -> None:
    """The copy has the original's name."""
    _done(ground)
    _state(ground, State.INTENT)
    _exchange(ground)


def _exchanged(ground: Ground) -> None:
    """And the marker that says done is being written."""
    _done(ground)
    _state(ground, State.INTENT)
    (ground.root / TMP).write_bytes((ground.root / MARKER).read_bytes()[:100])


def _restoring(ground: Ground) -> None:
    _done(ground)
    _state(ground, State.RESTORE)
    (ground.root / TMP).write_bytes(b"half")


def _restored(ground: Ground) -> None:
    """Exchanged back; the copy is still there."""
    _done(ground)
    _state(ground, State.RESTORE)
    _exchange(ground)


STATES = (_done, _intended, _beside, _exchanged, _restoring, _restored)


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, many) for many in range(len(names) + 1))


def _live_on(ground: Ground, memory: VolatileMemory, clock: ManualClock) -> None:
    """What a service does from a start on, for three safety periods."""
    originals = Originals(memory, keep_original_s=KEEP_S, clock=clock, emit=Emitted())
    for _ in range(4):
        with ground.open() as directory:
            originals.note(NAME, swap.recover(directory, NAME, emit=Emitted()))
            with suppress(WatcherError):
                delete_due(originals, directory, clock)
        clock.advance(KEEP_S)
        originals.tick()


@pytest.mark.parametrize("ledger_lost", [False, True], ids=["", "ledger"])
@pytest.mark.parametrize("prepare", STATES)
def test_whatever_subset_is_swept_the_name_is_one_complete_file(
    ground: Ground, prepare: Callable[[Ground], None], ledger_lost: bool
) -> None:
    ground.clear()
    prepare(ground)
    for swept in list(_subsets(sorted(ground.listing()))):
        ground.clear()
        prepare(ground)
        memory, clock = VolatileMemory(), ManualClock()
        if not ledger_lost:
            with ground.open() as directory:
                seen = survey(Site(directory, NAME)).marker
            assert seen is not None
            Originals(memory, clock=clock, emit=Emitted()).add(NAME, seen)
        for name in swept:
            (ground.root / name).unlink()
        left = {ground.contents(name) for name in ground.listing()}
        _live_on(ground, memory, clock)
        _expect(ground, swept, left, restoring=prepare in {_restoring, _restored})


def _expect(
    ground: Ground, swept: tuple[str, ...], left: set[bytes | None], *, restoring: bool
) -> None:
    there, standing = ground.contents(NAME), ground.listing()
    assert TMP not in standing, (swept, "something half made is left")
    if NAME not in swept:
        assert there in {ORIGINAL, COPY}, swept
    else:
        assert there is None or (restoring and there == ORIGINAL), (swept, "brought back")
    if ORIGINAL in left and MARKER in swept and NAME in swept:
        kept = {ground.contents(name) for name in standing}
        assert ORIGINAL in kept, (swept, "the last there is, and nobody knows whose deed it was")
