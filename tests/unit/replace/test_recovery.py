"""Each row of the recovery table, as SWAP.md has it, decided and carried out."""

import stat
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.emitted import Emitted
from support.fake_directory import FakeDirectory
from support.markers import HELD, identity_of

import watcher.replace
from watcher.errors import Refused
from watcher.replace.files import Look
from watcher.replace.leftovers import remove_leftover
from watcher.replace.marker import Identity, Marker, State, serialise
from watcher.replace.recovery import (
    TABLE,
    Action,
    Found,
    MarkerState,
    Row,
    Standing,
    Temporary,
    Thing,
    classify,
    plan,
    same_file,
)
from watcher.replace.steps import Site, plan_unread
from watcher.replace.swap import recover, restore
from watcher.replace.upkeep import Outcome, delete_orphan

O, N, X, NOTHING = Thing.O, Thing.N, Thing.X, Thing.NOTHING  # noqa: E741 - the protocol's words
C = Thing.C
INTENT, DONE, RESTORE = MarkerState.INTENT, MarkerState.DONE, MarkerState.RESTORE
RETURN = MarkerState.RETURN

# SWAP.md's table, written out once more by hand: marker, name, original, action, standing.
ROWS = [
    (INTENT, O, O, Action.UNLINK_PROVEN, None),
    (DONE, O, O, Action.UNLINK_PROVEN, None),
    (RESTORE, O, O, Action.UNLINK_PROVEN, None),
    (RETURN, O, O, Action.UNLINK_PROVEN, None),
    (INTENT, O, N, Action.UNLINK_COPY, None),
    (DONE, O, N, Action.UNLINK_COPY, None),
    (RESTORE, O, N, Action.UNLINK_COPY, None),
    (RETURN, O, N, Action.UNLINK_COPY, None),
    (INTENT, O, X, Action.UNLINK_MARKER, None),
    (DONE, O, X, Action.UNLINK_MARKER, None),
    (RESTORE, O, X, Action.UNLINK_MARKER, None),
    (RETURN, O, X, Action.UNLINK_MARKER, None),
    (INTENT, N, O, Action.MARK_DONE, None),
    (RESTORE, N, O, Action.MARK_DONE, None),
    (RETURN, N, O, Action.MARK_DONE, None),
    (DONE, N, O, Action.END, Standing.HELD),
    (INTENT, N, N, Action.END, Standing.HELD),
    (DONE, N, N, Action.END, Standing.HELD),
    (RESTORE, N, N, Action.END, Standing.HELD),
    (RETURN, N, N, Action.END, Standing.HELD),
    (INTENT, N, X, Action.END, Standing.BLOCKED),
    (DONE, N, X, Action.END, Standing.BLOCKED),
    (RESTORE, N, X, Action.END, Standing.BLOCKED),
    (RETURN, N, X, Action.END, Standing.BLOCKED),
    (INTENT, NOTHING, N, Action.UNLINK_COPY, None),
    (RESTORE, NOTHING, N, Action.UNLINK_COPY, None),
    (RETURN, NOTHING, N, Action.END, Standing.ORPHAN),
    (DONE, NOTHING, N, Action.END, Standing.ORPHAN),
    (INTENT, X, N, Action.UNLINK_COPY, None),
    (RESTORE, X, N, Action.UNLINK_COPY, None),
    (RETURN, X, N, Action.END, Standing.ORPHAN),
    (DONE, X, N, Action.END, Standing.ORPHAN),
    (RESTORE, NOTHING, O, Action.END, Standing.ORPHAN),
    (RETURN, NOTHING, O, Action.MOVE_BACK, None),
    (INTENT, NOTHING, O, Action.END, Standing.ORPHAN),
    (DONE, NOTHING, O, Action.END, Standing.ORPHAN),
    (INTENT, X, O, Action.END, Standing.ORPHAN),
    (DONE, X, O, Action.END, Standing.ORPHAN),
    (RESTORE, X, O, Action.END, Standing.ORPHAN),
    (RETURN, X, O, Action.MARK_DONE, None),
    (INTENT, NOTHING, X, Action.END, Standing.BLOCKED),
    (RESTORE, NOTHING, X, Action.END, Standing.BLOCKED),
    (RETURN, NOTHING, X, Action.END, Standing.BLOCKED),
    (DONE, NOTHING, X, Action.END, Standing.BLOCKED),
    (INTENT, X, X, Action.END, Standing.BLOCKED),
    (DONE, X, X, Action.END, Standing.BLOCKED),
    (RESTORE, X, X, Action.END, Standing.BLOCKED),
    (RETURN, X, X, Action.END, Standing.BLOCKED),
    *(
        (marker, name, NOTHING, Action.UNLINK_MARKER, None)
        for marker in (INTENT, DONE, RESTORE, RETURN, MarkerState.TORN)
        for name in Thing
    ),
    *(
        (marker, name, original, Action.END, Standing.BLOCKED)
        for marker in (MarkerState.NONE, MarkerState.TORN, MarkerState.FOREIGN)
        for name in Thing
        for original in (O, N, C, X)
    ),
    *((MarkerState.NONE, name, NOTHING, Action.END, Standing.CLEAN) for name in Thing),
    *((MarkerState.FOREIGN, name, NOTHING, Action.END, Standing.BLOCKED) for name in Thing),
]
# A copy that was changed in place is something newer everywhere, but beside an intact original.
_AS_X = [
    (marker, C if name is X else name, C if original is X else original, action, standing)
    for marker, name, original, action, standing in ROWS
]
_IN_PLACE = [(state, C, O, Action.END, Standing.BLOCKED) for state in (INTENT, DONE, RESTORE)]
_BOTH = [
    (marker, *names, action, standing)
    for marker, name, original, action, standing in ROWS
    if name is X or original is X
    for names in product((C, X) if name is X else (name,), (C, X) if original is X else (original,))
]
ROWS = list({row[:3]: row for row in (*ROWS, *_AS_X, *_BOTH, *_IN_PLACE)}.values())


@pytest.mark.parametrize(("marker", "name", "original", "action", "standing"), ROWS)
def test_row(
    marker: MarkerState, name: Thing, original: Thing, action: Action, standing: Standing | None
) -> None:
    """The plan is the table's; an end says how the set stands."""
    row = plan(Found(marker, name, original))
    assert row.action is action
    assert standing is None or row.standing is standing


def test_the_table_is_total() -> None:
    """There is a row for everything that can be found, and the rows above are all of them."""
    everything = set(product(MarkerState, Thing, Thing))
    assert set(TABLE) == everything == {row[:3] for row in ROWS}


@pytest.mark.parametrize("state", list(MarkerState))
@pytest.mark.parametrize("original", list(Thing))
def test_an_owners_restore_is_remembered(state: MarkerState, original: Thing) -> None:
    """A marker taken from beside O tells of a restore, unless the swap had only been intended."""
    row = plan(Found(state, O, original))
    gone = original is NOTHING and state in {DONE, RESTORE, RETURN}
    assert row.restored is (gone or (original in {C, X} and state in {DONE, RESTORE, RETURN}))


@pytest.mark.parametrize(
    ("temporary", "original", "action"),
    [
        (Temporary.LOCKED, O, Action.LEAVE),
        (Temporary.FOREIGN, O, Action.LEAVE),
        (Temporary.SPARE, O, Action.UNLINK_TEMPORARY),
        (Temporary.ORIGINAL, NOTHING, Action.TEMPORARY_TO_ORIGINAL),
        (Temporary.ORIGINAL, N, Action.END),
        (Temporary.ORIGINAL, X, Action.END),
    ],
)
@pytest.mark.parametrize("state", [INTENT, DONE, RESTORE])
@pytest.mark.parametrize("name", [N, X, NOTHING])
def test_the_temporary_file_comes_first(
    temporary: Temporary, original: Thing, action: Action, state: MarkerState, name: Thing
) -> None:
    """A locked one is somebody's work; an original there is moved or left, never unlinked."""
    assert plan(Found(state, name, original, temporary)).action is action


LOOK = Look(stat.S_IFREG | 0o640, 11, 1_000, 2_000, 3_000, 4_000, 1)
ORIGINAL = Identity(11, 1_000, 2_000, 3_000, "a" * 64)


def test_identity_is_inode_birth_size_and_mtime() -> None:
    """Any of them differing makes it another file; a birth time nobody kept decides nothing."""
    assert same_file(LOOK, ORIGINAL)
    assert same_file(replace(LOOK, birth_ns=None), ORIGINAL)
    assert same_file(LOOK, replace(ORIGINAL, birth_ns=None))
    for other in ("inode", "birth_ns", "size", "mtime_ns"):
        changed: dict[str, Any] = {other: 9}
        assert not same_file(replace(LOOK, **changed), ORIGINAL)
    assert not same_file(replace(LOOK, mode=stat.S_IFLNK), ORIGINAL)


def test_where_looks_differ_the_digest_decides(marker: Marker) -> None:
    """A file that was copied back from a backup has another inode and the same bytes."""
    moved = replace(LOOK, inode=99)
    assert classify(moved, None, marker) is None
    assert classify(moved, marker.original.sha256, marker) is O
    assert classify(moved, "c" * 64, marker) is X
    assert classify(replace(moved, size=7), None, marker) is X, "no other size has those bytes"
    assert classify(replace(LOOK, mode=stat.S_IFDIR), None, marker) is X
    assert classify(None, None, marker) is NOTHING


def test_a_copy_that_was_changed_in_place_is_told_from_a_newer_recording(marker: Marker) -> None:
    """The same inode of the same birth, but not the bytes that were proven."""
    cut = replace(LOOK, inode=12, birth_ns=1_001, size=100)
    assert classify(cut, None, marker) is C
    assert classify(replace(cut, birth_ns=None), None, marker) is C
    assert classify(replace(cut, birth_ns=7), None, marker) is X, "the number was used again"
    rewritten = replace(cut, size=marker.copy.size, mtime_ns=9)
    assert classify(rewritten, None, marker) is None
    assert classify(rewritten, "c" * 64, marker) is C
    assert classify(replace(cut, mode=stat.S_IFLNK), None, marker) is X


@pytest.fixture
def marker() -> Marker:
    """One that knows LOOK as its original."""
    copy = Identity(12, 1_001, 1_000, 3_000, "b" * 64)
    return Marker("seg.mp4", State.DONE, ORIGINAL, copy, HELD, "x", {}, {})


BYTES = {O: b"O" * 60, N: b"n" * 20, C: b"n" * 19, X: b"x" * 60}


def _set_up(state: State, name: Thing, original: Thing) -> FakeDirectory:
    directory = FakeDirectory()
    known = {thing: directory.put(f"known-{thing}", BYTES[thing]) for thing in (O, N, X)}
    whole = Marker(
        name="seg.mp4",
        state=state,
        original=identity_of(known[O]),
        copy=identity_of(known[N]),
        held=HELD,
        encoder="x",
        settings={},
        report={},
    )
    directory.names.clear()
    directory.put("seg.mp4.transcoded", serialise(whole))
    changed = replace(known[N], contents=BYTES[C], durable=None)
    changed.durable = (changed.contents, changed.attributes)
    known[C], stamp_ns = changed, directory.now_ns()
    for place, thing in (("seg.mp4", name), ("seg.mp4.original", original)):
        if thing is not NOTHING:
            directory.names[place] = known[thing]
            known[thing].ctime_ns = stamp_ns  # as one exchange leaves them
    directory.make_durable()
    return directory


@pytest.mark.parametrize(("state", "name", "original"), list(product(State, Thing, Thing)))
def test_a_row_is_carried_out(state: State, name: Thing, original: Thing) -> None:
    """The names end as the table says, and a second recovery changes nothing (invariant 8)."""
    directory, emitted = _set_up(state, name, original), Emitted()
    recovered = recover(directory, "seg.mp4", emit=emitted)
    first = plan(Found(MarkerState(state), name, original))
    assert (recovered.actions[:1] or (str(Action.END),)) == (str(first.action),)
    left = {BYTES[one]: one for one in BYTES}
    names = {place: left.get(inode.contents) for place, inode in directory.names.items()}
    lost = {name, original} - {NOTHING} - set(names.values())
    assert not {C, X} & lost, "invariant 4"
    assert O not in lost, "invariant 3"
    assert ("seg.mp4" in names) or name is NOTHING, "invariant 2"
    assert "seg.mp4.original" not in names or recovered.standing is not Standing.CLEAN
    again = recover(directory, "seg.mp4", emit=emitted)
    assert not again.actions
    assert bool(emitted.named("swap_recovered")) == bool(recovered.actions or recovered.detail)


@pytest.mark.parametrize(("state", "name", "original"), list(product(State, Thing, Thing)))
def test_only_what_its_owner_restored_is_remembered_so_and_before_its_marker_goes(
    state: State, name: Thing, original: Thing
) -> None:
    """Remembered of anything else, that recording would never be replaced again."""
    directory = _set_up(state, name, original)
    told: list[tuple[str, str, int]] = []

    def remember(path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        assert "seg.mp4.transcoded" in directory.names
        assert mtime_ns == directory.names["seg.mp4"].attributes.mtime_ns
        told.append((path, reason, size_bytes))

    recover(directory, "seg.mp4", remember=remember, emit=Emitted())
    is_back = directory.contents("seg.mp4") == BYTES[O] and state is not State.INTENT
    restored = is_back and "seg.mp4.transcoded" not in directory.names
    assert told == ([("/fake/seg.mp4", "restored", 60)] if restored else [])


def test_what_a_person_has_to_judge_is_told_without_reading_a_file() -> None:
    """And nothing is, where a look may be wrong: a half-made file there changes what follows."""

    def row(directory: FakeDirectory) -> Row | None:
        return plan_unread(Site(directory, "seg.mp4"))

    blocked = _set_up(State.DONE, C, O)
    found = row(blocked)
    assert found is not None
    assert (found.action, found.standing) == (Action.END, Standing.BLOCKED)
    assert ("digest", ()) not in blocked.calls
    blocked.put(".seg.mp4.transcoding", b"half made")
    assert row(blocked) is None
    assert row(_set_up(State.DONE, N, O)) is None
    marked = _set_up(State.DONE, C, O)
    del marked.names["seg.mp4.transcoded"]
    assert row(marked) is None


@pytest.mark.parametrize("later_ns", [0, 20_000_000])
def test_a_file_that_came_after_the_exchange_is_not_put_at_the_name(later_ns: int) -> None:
    """A stranger's, who took our name at once or after a crash: the copy is the last there is."""
    directory, emitted = _set_up(State.INTENT, N, X), Emitted()
    directory.names["seg.mp4.original"].ctime_ns += later_ns
    before = dict(directory.names)
    recovered = recover(directory, "seg.mp4", emit=emitted)
    assert (recovered.standing, recovered.actions) == (Standing.BLOCKED, ())
    assert directory.names == before
    assert "stranger" in str(emitted.named("swap_recovered")[0]["detail"])


@pytest.mark.parametrize("state", list(State))
def test_a_copied_sets_original_is_no_orphan_of_what_may_be_its_cut_copy(state: State) -> None:
    """The copy was cut, then its day brought back from a backup: no inode tells it for C."""
    directory = _set_up(state, C, O)
    for name in ("seg.mp4", "seg.mp4.original"):
        directory.put(name, directory.names[name].contents)
    if state is State.RETURN:
        recover(directory, "seg.mp4", emit=Emitted())  # its name is filled: that is over
    before = dict(directory.names)
    for _ in range(2):  # and it stays so: the marker is not renewed
        recovered = recover(directory, "seg.mp4", emit=Emitted())
        assert (recovered.standing, directory.names) == (Standing.BLOCKED, before)
    kept = delete_orphan(directory, "seg.mp4", emit=Emitted())
    assert (kept.outcome, directory.names) == (Outcome.KEPT, before)


@pytest.mark.parametrize("name", [NOTHING, X, C])
@pytest.mark.parametrize("state", [State.INTENT, State.RESTORE])
def test_a_copied_sets_copy_may_be_the_last_of_its_recording(state: State, name: Thing) -> None:
    """A swap was cut short, its day taken elsewhere, and what was at its name cut, or not taken."""
    directory = _set_up(state, name, N)
    for there in ("seg.mp4", "seg.mp4.original"):
        if there in directory.names:
            directory.put(there, directory.names[there].contents[:59])
    before = dict(directory.names)
    for _ in range(2):
        recovered = recover(directory, "seg.mp4", emit=Emitted())
        assert (recovered.standing, directory.names) == (Standing.BLOCKED, before)
    if name is not NOTHING:
        with pytest.raises(Refused) as refused:
            remove_leftover(directory, "seg.mp4.original", emit=Emitted())
        assert (refused.value.reason, directory.names) == ("copy_changed", before)


@pytest.mark.parametrize("state", [State.INTENT, State.RESTORE])
def test_a_recording_that_was_cut_after_a_crash_keeps_the_copy_beside_it(state: State) -> None:
    """By a slip, fsck or the disk, as may be: what was proven is the last of it."""
    directory = _set_up(state, O, N)
    directory.alter(directory.names["seg.mp4"], BYTES[O][:7])
    directory.put(".seg.mp4.transcoding", b"{")  # its marker was about to be written over
    for _ in range(2):
        assert recover(directory, "seg.mp4", emit=Emitted()).standing is Standing.BLOCKED
        assert directory.contents("seg.mp4.original") == BYTES[N]
        assert ".seg.mp4.transcoding" not in directory.names
    with pytest.raises(Refused, match=r"move seg\.mp4 away first"):
        restore(directory, "seg.mp4", emit=Emitted())
    del directory.names["seg.mp4"]
    recover(directory, "seg.mp4", emit=Emitted())  # as the service does then
    assert restore(directory, "seg.mp4", emit=Emitted()).changed
    assert directory.contents("seg.mp4") == BYTES[N]


@pytest.mark.parametrize(("name", "standing"), [(X, Standing.ORPHAN), (C, Standing.BLOCKED)])
def test_a_name_that_was_filled_and_deleted_since_its_restore_died_stays_free(
    name: Thing, standing: Standing
) -> None:
    """Its owner's last word is the deletion: what had been asked for came back long after it."""
    directory = _set_up(State.RETURN, name, O)
    assert recover(directory, "seg.mp4", emit=Emitted()).standing is standing
    del directory.names["seg.mp4"]
    assert recover(directory, "seg.mp4", emit=Emitted()).standing is Standing.ORPHAN
    assert "seg.mp4" not in directory.names
    assert restore(directory, "seg.mp4", emit=Emitted()).changed


@pytest.mark.parametrize("state", list(State))
def test_a_copy_that_was_changed_in_place_beside_another_of_it_loses_neither(state: State) -> None:
    """Somebody put the copy over the original, and something cut the copy."""
    directory = _set_up(state, C, N)
    directory.put("seg.mp4.original", BYTES[N])
    before = dict(directory.names)
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert (recovered.standing, directory.names) == (Standing.BLOCKED, before)


def test_a_set_that_comes_back_copy_last_is_not_known_before_its_copy_is_there() -> None:
    """Its original and marker were unpacked first; what comes to the name then is the cut copy."""
    directory = _set_up(State.DONE, NOTHING, O)
    directory.put("seg.mp4.original", BYTES[O])
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert recovered.standing is Standing.ORPHAN
    directory.put("seg.mp4", BYTES[C])
    before = dict(directory.names)
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert (recovered.standing, directory.names) == (Standing.BLOCKED, before)
    kept = delete_orphan(directory, "seg.mp4", emit=Emitted())
    assert (kept.outcome, directory.names) == (Outcome.KEPT, before)
    directory.put("seg.mp4", BYTES[N])
    assert recover(directory, "seg.mp4", emit=Emitted()).standing is Standing.HELD


@pytest.mark.parametrize("left", [b"O" * 9, b"", BYTES[X]], ids=["cut", "empty", "written to"])
def test_a_whole_copy_is_not_given_for_what_is_left_of_the_original(left: bytes) -> None:
    """Cut after the crash, it came to the recording's name, and the copy was removed."""
    directory = _set_up(State.INTENT, N, O)
    directory.alter(directory.names["seg.mp4.original"], left)
    before = dict(directory.names)
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert (recovered.standing, directory.names) == (Standing.BLOCKED, before)


@pytest.mark.parametrize("row", [(State.DONE, X, NOTHING), (State.RESTORE, O, N)])
def test_a_marker_that_came_meanwhile_is_not_removed(row: tuple[State, Thing, Thing]) -> None:
    """What stands at our name when it is removed is what was read there (invariant 4)."""
    directory = _set_up(*row)
    strangers = directory.new_inode(b"a stranger's")

    def plant(call: str, names: tuple[str, ...]) -> None:
        if call == "look" and names == ("seg.mp4",) and strangers not in directory.names.values():
            directory.names["seg.mp4.transcoded"] = strangers  # it has just been read

    directory.before = plant
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert directory.names["seg.mp4.transcoded"] is strangers
    assert recovered.standing is Standing.BLOCKED


def test_both_original_and_unproven_is_left() -> None:
    """Two files that look like the original: one goes only when the other reads as it."""
    directory = _set_up(State.DONE, O, O)
    twin = directory.put("seg.mp4.original", BYTES[O])
    marker = directory.names["seg.mp4.transcoded"]
    rotten = directory.names["seg.mp4"]
    rotten.contents = b"?" * 60  # nobody wrote it: its times and size are as they were
    assert marker.contents
    recovered = recover(directory, "seg.mp4", emit=Emitted())
    assert recovered.standing is Standing.BLOCKED
    assert directory.names["seg.mp4.original"] is twin


def test_a_second_original_stays_where_the_first_is_written_to_once_it_was_read() -> None:
    """The disk was waited for meanwhile; what is beside it is the last of the recording."""
    directory = _set_up(State.DONE, O, O)
    twin = directory.put("seg.mp4.original", BYTES[O])
    first = directory.names["seg.mp4"]

    def rewritten(call: str, _names: tuple[str, ...]) -> None:
        if call == "sync":
            directory.alter(first, b"new")

    directory.before = rewritten
    recover(directory, "seg.mp4", emit=Emitted())
    assert directory.names["seg.mp4.original"] is twin


def test_nothing_is_done_when_a_look_fails() -> None:
    """Unknown is not absent: an I/O error of any look leaves everything as it is."""
    directory = _set_up(State.INTENT, O, N)
    before = dict(directory.names)

    def fails(call: str, _names: tuple[str, ...]) -> None:
        if call == "look":
            raise PermissionError(13, "no")

    directory.before = fails
    emitted = Emitted()
    assert recover(directory, "seg.mp4", emit=emitted).standing is Standing.UNKNOWN
    assert directory.names == before
    assert emitted.named("swap_recovered")


def test_the_page_is_the_table() -> None:
    """SWAP.md, which people read, says what the code does: every row, the first that fits."""
    page = (Path(watcher.replace.__file__).parent / "SWAP.md").read_text(encoding="utf-8")
    told: dict[tuple[MarkerState, Thing, Thing], tuple[str, str]] = {}
    lines = page.partition("| marker | name |")[2].splitlines()[2:]
    for line in lines[: lines.index("")]:
        markers, names, originals, action, standing = (
            cell.strip() for cell in line.strip("|").split("|")
        )
        for key in product(*map(_words, (markers, names, originals))):
            marker, name, original = key
            row = (MarkerState(marker), Thing(name), Thing(original))
            told.setdefault(row, (action, standing))
    assert told.keys() == TABLE.keys()
    for key, (action, standing) in told.items():
        assert action == str(TABLE[key].action), key
        assert not standing or standing == str(TABLE[key].standing), key


def _words(cell: str) -> list[str]:
    if cell == "any":
        return list(Thing)
    words = [word.strip() for word in cell.split(",")]
    return [*words, C] if X in words else words
