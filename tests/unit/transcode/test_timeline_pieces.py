"""Which witness says what of a fragment's time, on tracks put together by hand."""

from array import array
from collections.abc import Sequence

import pytest

from watcher.transcode.indexes import Told
from watcher.transcode.timeline import (
    _is_one_bit,
    _odd_pace,
    _parted,
    _shared,
    timeline_problems,
)
from watcher.transcode.tracks import Movie, Pieces, Track

CLOCK = 1000


def track(
    track_id: int, handler: bytes, *rows: tuple[int, int], lasts: int = 1000, count: int = 10
) -> Track:
    """Give a track of *rows*: where each fragment stands, and when it begins."""
    made = Track(track_id, handler, CLOCK, claimed=0, presented=0, edits=())
    for moof, begin in rows:
        made.pieces.add(moof, begin, begin + lasts, count, 0)
    return made


def told(movie: Movie, *indexes: Told) -> list[str]:
    return [problem.detail for problem in timeline_problems(movie, indexes)]


def paced(*paces: int) -> Pieces:
    """Give fragments of ten samples each, every one of which begins where the last ends."""
    pieces, begin = Pieces(), 0
    for moof, pace in enumerate(paces):
        pieces.add(moof, begin, begin + 10 * pace, 10, pace)
        begin += 10 * pace
    return pieces


@pytest.mark.parametrize(
    ("paces", "odd"),
    [
        ((512, 512, 768), 2),
        ((512, 768), None),  # which of the two is wrong?
        ((512, 512, 768, 768), None),  # the camera goes on at that pace
        ((512, 512, 513), None),  # a recorder that measures
    ],
)
def test_a_last_fragment_of_another_pace_is_odd_where_all_before_agree(
    paces: tuple[int, ...], odd: int | None
) -> None:
    assert _odd_pace(paced(*paces)) == odd


def test_of_each_fragment_that_two_tracks_share_the_first_pieces_are_paired() -> None:
    assert list(_shared([10, 10, 20, 40], [10, 20, 20, 30, 40])) == [(0, 0), (2, 1), (3, 4)]
    assert list(_shared([10, 20], [20])) == [(1, 0)]
    assert list(_shared([10, 20], [5])) == []


@pytest.mark.parametrize("of_the_sound", [False, True])
def test_a_jump_is_put_down_to_the_track_that_made_it(*, of_the_sound: bool) -> None:
    """By its own fragments: the other track may have more of them."""
    seen = [(10, 0), (30, 1000), (40, 2000)]
    heard = [(10, 0), (20, 400), (30, 1000), (40, 2000)]
    movie = Movie(CLOCK, [track(1, b"vide", *seen), track(2, b"soun", *heard)], claimed=0)
    assert told(movie) == []
    jumped = heard if of_the_sound else seen
    jumped[-1] = (40, 2000 + 1024)
    movie = Movie(CLOCK, [track(1, b"vide", *seen), track(2, b"soun", *heard)], claimed=0)
    where = "in the fragment at byte 40 it lies apart from the other track"
    assert told(movie) == [f"track {2 if of_the_sound else 1}: {where}"]


def parted(begins: float, ends: float) -> float:
    """Let a picture move away from its sound by so many seconds, at begin and end."""
    video, sound = track(1, b"vide", (0, 0), (9, 1000)), track(2, b"soun", (0, 0), (9, 1000))
    video.pieces.begins[1] += round(begins * CLOCK)
    video.pieces.ends[1] += round(ends * CLOCK)
    return _parted(video, sound, (0, 0), (1, 1))


def test_tracks_part_by_the_less_of_begin_and_end_and_not_where_these_contradict() -> None:
    assert parted(0.5, 0.3) == pytest.approx(0.3)
    assert parted(-0.5, -0.3) == pytest.approx(-0.3)
    assert parted(5.0, 0.3) == pytest.approx(0.3)
    assert parted(0.5, -0.3) == parted(-0.5, 0.3) == 0


@pytest.mark.parametrize(
    ("gap", "is_bit"),
    [(511, True), (512, True), (513, True), (510, False), (700, False), (256, True), (128, False)],
)
def test_a_gap_is_one_bit_to_the_tick_and_no_less_than_is_asked_for(
    gap: int, *, is_bit: bool
) -> None:
    for way in (1, -1):
        pieces = Pieces(
            begins=array("q", [0, 5000 + way * gap]),
            ends=array("q", [5000, 9000]),
            moofs=array("q"),
        )
        assert _is_one_bit(pieces, 1, least=250) is is_bit


def index(since: Sequence[int], until: Sequence[int | None]) -> list[Told]:
    """Say of fragments at bytes 0, 10, 20, … when each begins and ends."""
    return [
        Told(1, 10 * at, 10 * at + 1, CLOCK, *times)
        for at, times in enumerate(zip(since, until, strict=True))
    ]


def test_the_one_fragment_that_is_not_when_an_index_says_is_found_by_begin_or_end() -> None:
    begins = [0, 1000, 2000, 3000, 4000]
    ends: list[int | None] = [begin + 1000 for begin in begins]
    movie = Movie(CLOCK, [track(1, b"vide", *zip(range(0, 50, 10), begins, strict=True))], 0)
    assert told(movie, *index(begins, ends)) == []
    late = "the fragment at byte 20 is not when an index says"
    assert told(movie, *index([0, 1000, 9000, 3000, 4000], [None] * 5)) == [f"track 1: {late}"]
    assert told(movie, *index(begins, [*ends[:2], 9000, *ends[3:]])) == [f"track 1: {late}"]


def test_what_is_usual_in_an_index_is_the_median() -> None:
    """Each second time a little off, as rounding has it, does not hide the one that is far off."""
    begins = [0, 1000, 2000, 3000, 4000]
    movie = Movie(CLOCK, [track(1, b"vide", *zip(range(0, 50, 10), begins, strict=True))], 0)
    told_at = [-5000, 1000 - 600, 2000 + 300, 3000 + 400, 4000 + 500]
    where = "the fragment at byte 0 is not when an index says"
    assert told(movie, *index(told_at, [None] * 5)) == [f"track 1: {where}"]
