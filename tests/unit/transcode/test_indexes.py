"""What a file says of its fragments a second time, read as it is written: narrow, wide, and odd."""

import struct

import pytest
from support.isobmff import box, full, numbers

from watcher.transcode.findings import Budget, Malformed, TooLargeError, children
from watcher.transcode.indexes import Told, indexed_end, told_by_index, told_by_table


def table(
    lengths: int, *entries: bytes, version: int = 0, claimed: int | None = None
) -> memoryview:
    """Give the tables' payload: one of track 7, whose numbers have so many bytes as *lengths*."""
    count = len(entries) if claimed is None else claimed
    return memoryview(full(b"tfra", numbers(7, lengths, count), *entries, version=version))


@pytest.mark.parametrize(
    ("lengths", "place"),
    [
        (0, b"\1\1\1"),
        (0b11_10_01, b"\0\0\0\1\0\0\1\0\1"),
        (0b00_01_11, b"\1\0\1\0\0\0\1"),
    ],
)
@pytest.mark.parametrize("wide", [False, True])
def test_an_entry_is_where_its_lengths_and_its_version_say(
    lengths: int, place: bytes, wide: bool
) -> None:
    fields = ">QQ" if wide else ">II"
    entries = [struct.pack(fields, time, moof) + place for time, moof in ((0, 900), (80, 2_000))]
    found = told_by_table(table(lengths, *entries, version=int(wide)), Budget(parts=2))
    assert found == [Told(7, 900, 901, 0, 0), Told(7, 2_000, 2_001, 0, 80)]


@pytest.mark.parametrize("place", [b"\1\2\1", b"\1\1\2"])
def test_only_the_first_sample_of_a_fragments_first_run_begins_with_it(place: bytes) -> None:
    assert told_by_table(table(0, numbers(80, 900) + place), Budget()) == []


def test_of_tables_that_end_in_a_field_nothing_is_believed() -> None:
    """They are no part of the recording."""
    assert told_by_table(table(0, numbers(0, 900) + b"\1\1\1", claimed=2), Budget()) == []


@pytest.mark.parametrize("wide", [False, True])
def test_a_segment_index_names_each_subsegment_from_its_own_end_on(wide: bool) -> None:
    first, earliest = 40, 5_000
    times = struct.pack(">QQ" if wide else ">II", earliest, first)
    rows = numbers(300, 80, 0) + numbers(1 << 31 | 100, 40, 0) + numbers(200, 60, 0)
    sidx = memoryview(full(b"sidx", numbers(7, 1_000), times, numbers(3), rows, version=int(wide)))[
        8:
    ]
    assert indexed_end(sidx, 1_000) == 1_640
    assert list(told_by_index(sidx, 1_000, Budget(parts=3))) == [
        Told(7, 1_040, 1_340, 1_000, 5_000, 5_080),
        Told(7, 1_440, 1_640, 1_000, 5_120, 5_180),  # what is between names another index
    ]
    with pytest.raises(TooLargeError):
        list(told_by_index(sidx, 1_000, Budget(parts=2)))
    timeless = memoryview(bytes(sidx[:8]) + bytes(4) + bytes(sidx[12:]))  # it counts in nothing
    assert list(told_by_index(timeless, 1_000, Budget())) == []


@pytest.mark.parametrize("rest", [b"", bytes(4), bytes(7)])
def test_zeros_may_end_a_list_of_boxes_as_quicktime_writes_them(rest: bytes) -> None:
    assert len(list(children(memoryview(box(b"free", b"x") * 2 + rest)))) == 2


@pytest.mark.parametrize("rest", [b"\1", bytes(6) + b"\1"])
def test_anything_else_behind_the_last_box_is_damage(rest: bytes) -> None:
    with pytest.raises(Malformed):
        list(children(memoryview(box(b"free", b"x") + rest)))
