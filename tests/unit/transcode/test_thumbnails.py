"""Which frame is another picture, told from how far each is off."""

import pytest
from support.media_values import video

from watcher.transcode.thumbnails import File, Spoilt, judge, side_by_side_words

POOR = [40.0, 50.0, 60.0, 55.0] * 20  # an encode at its worst
GOOD = [0.5, 1.0, 2.0, 5.0] * 20


def with_one(errors: list[float], value: float, at: int = 33) -> list[float]:
    return [*errors[:at], value, *errors[at + 1 :]]


def test_ordinary_loss_spoils_nothing_however_poor() -> None:
    assert judge(GOOD, GOOD) is None
    assert judge(POOR, POOR) is None
    assert judge([0.0] * 9, [0.0] * 9) is None
    assert judge(with_one(GOOD, 59.9), GOOD) is None
    assert judge(with_one(POOR, 600.0), GOOD) is None  # where half are off by 50
    assert judge([], []) is None


def test_a_frame_that_is_far_off_in_light_or_colour_is_spoilt() -> None:
    assert judge(with_one(GOOD, 60.1), GOOD) == Spoilt(33, 60.1, 1.0)
    assert judge(GOOD, with_one(GOOD, 90.0)) == Spoilt(33, 1.0, 90.0)
    assert judge(with_one(POOR, 661.0), POOR) == Spoilt(33, 661.0, 50.0)
    assert judge(with_one([0.0] * 60, 61.0, at=59), [0.0] * 60) == Spoilt(59, 61.0, 0.0)


@pytest.mark.parametrize(("said", "kind"), [("pc", "full"), ("tv", "limited"), (None, "limited")])
def test_no_range_is_converted_on_one_side_alone(said: str | None, kind: str) -> None:
    both = File("/r/a.mp4", "mp4", video(color_range=said))
    words = " ".join(side_by_side_words(both, both, None))
    assert words.count(f"in_range={kind}:out_range={kind}") == 2
