"""What two looks say of one file: each thing that may differ is seen, and by whom it has to be."""

import stat
from dataclasses import replace

import pytest

from watcher.replace.files import Attributes, Look

FILE = Look(stat.S_IFREG | 0o640, 11, 1_000, 2_000, 3_000, 4_000, 1)
ANOTHER = [
    replace(FILE, inode=12),
    replace(FILE, birth_ns=1_001),  # the number was given to a new file
    replace(FILE, birth_ns=None),
    replace(FILE, mode=stat.S_IFDIR | 0o640),
    None,
]
WRITTEN = [replace(FILE, size=2_001), replace(FILE, mtime_ns=3_001)]
TOUCHED = [
    replace(FILE, ctime_ns=4_001),
    replace(FILE, nlink=2),
    replace(FILE, mode=stat.S_IFREG | 0o600),
]


@pytest.mark.parametrize("other", ANOTHER)
def test_another_file_is_never_taken_for_the_same(other: Look | None) -> None:
    assert not FILE.same_inode(other)
    assert not FILE.same_contents(other)
    assert not FILE.unchanged(other)


@pytest.mark.parametrize("other", WRITTEN)
def test_a_file_that_was_written_is_the_same_with_other_contents(other: Look) -> None:
    assert FILE.same_inode(other)
    assert not FILE.same_contents(other)
    assert not FILE.unchanged(other)


@pytest.mark.parametrize("other", TOUCHED)
def test_a_link_a_chmod_or_a_rename_leaves_the_contents_and_is_a_change(other: Look) -> None:
    assert FILE.same_contents(other)
    assert not FILE.unchanged(other)


def test_a_file_is_as_it_is() -> None:
    assert FILE.unchanged(replace(FILE))
    assert (FILE.is_regular, FILE.is_directory) == (True, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", 1),
        ("gid", 1),
        ("permissions", 0o600),
        ("mtime_ns", 1),
        ("extended", (("user.camera", b"porch"),)),
    ],
)
def test_each_attribute_that_a_copy_lacks_is_named(name: str, value: object) -> None:
    wanted = Attributes(1000, 1000, 0o640, 5, 6, ())
    changed: dict[str, object] = {name: value}
    assert wanted.differences(replace(wanted, **changed)) == [name]  # type: ignore[arg-type]
    assert wanted.differences(replace(wanted, atime_ns=7)) == []  # reading it changes that
