"""Names of recordings, as a shell would match them."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.segments.segment import Segment, all_end_with, endings, join, matcher, matches


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("a.mp4", ["*.mp4"], True),
        ("a.MP4", ["*.mp4"], False),
        (".a.mp4", ["*.mp4"], False),
        (".a.mp4", [".*.mp4"], True),
        ("a.mp4.original", ["*.mp4"], False),
        ("a.mkv", ["*.mp4", "*.mkv"], True),
        ("cam1-0.mp4", ["cam?-[0-9].mp4"], True),
        ("cam1-x.mp4", ["cam?-[0-9].mp4"], False),
        ("a\nb.mp4", ["a*.mp4"], True),
        ("a.mp4\n", ["a*.mp4"], False),
        ("\udcff.mp4", ["*.mp4"], True),
        ("a.mp4", [], False),
        ("x.mp4", ["a.mp4", "*.mp4"], True),
    ],
)
def test_a_name_matches_as_in_a_shell(name: str, patterns: list[str], expected: bool) -> None:
    assert matches(name, patterns) is expected


@given(st.text(max_size=8), st.sampled_from(["*.mp4", "a*", "?[ab]", "*", "x*.mp4", "*4"]))
def test_the_quick_way_and_the_general_one_agree(name: str, pattern: str) -> None:
    expected = fnmatch.fnmatchcase(name, pattern) and not name.startswith(".")
    assert matcher([pattern])(name) == expected
    assert matcher([pattern, "[z][z][z]"])(name) == (expected or name == "zzz")


@given(
    st.lists(st.sampled_from(["a.mp4", ".a.mp4", "4", "a4", "b.mkv", "x\n.mp4", ".mp4", "a.mp"])),
    st.lists(st.sampled_from(["*.mp4", "*4", "*.mkv", "*", "*mp4"]), min_size=1),
)
def test_a_whole_listing_matches_where_each_name_does(
    names: list[str], patterns: list[str]
) -> None:
    """Endings that include one another count once."""
    expected = all(matches(name, patterns) for name in names)
    assert all_end_with(names, endings(patterns)) == expected


def test_a_path_is_its_directory_and_its_name() -> None:
    assert Segment("c", "/srv/c", "a.mp4", 1, 2_500_000_000).path == "/srv/c/a.mp4"
    assert Segment("c", "/", "a.mp4", 1, 2_500_000_000).mtime_s == 2.5
    assert join("/", "a.mp4") == "/a.mp4"
