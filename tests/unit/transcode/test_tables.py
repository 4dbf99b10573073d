"""What headers claim is held against what there is, track by track."""

import pytest

from watcher.transcode.tables import _claims
from watcher.transcode.tracks import Movie, Track


def track(handler: bytes, seconds: float, claimed_s: float = 0.0) -> Track:
    ticks = round(seconds * 8000)
    return Track(2, handler, 8000, round(claimed_s * 8000), 0, (), end=ticks)


@pytest.mark.parametrize(
    ("handler", "has_s", "fragments_s", "claimed_s", "more"),
    [
        (b"vide", 60.0, 0.0, 65.0, False),  # 5 % and two seconds
        (b"vide", 60.0, 0.0, 65.1, True),
        (b"vide", 60.0, 65.0, 0.0, False),
        (b"vide", 60.0, 65.1, 0.0, True),
        (b"vide", 60.0, 65.1, 1.0, True),
        (b"soun", 60.0, 65.1, 0.0, False),  # sound may end before the picture does
        (b"soun", 60.0, 0.0, 65.1, True),
    ],
)
def test_a_track_has_what_its_own_header_claims_and_a_picture_what_all_fragments_have(
    handler: bytes, has_s: float, fragments_s: float, claimed_s: float, more: bool
) -> None:
    movie = Movie(1000, [], 0, extended=True, claimed_fragments=round(fragments_s * 1000))
    found = [problem.name for problem in _claims(movie, track(handler, has_s, claimed_s))]
    assert found == (["claims_more"] if more else [])
