"""A schedule is read as a person means it, or refused in that person's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.schedule import EVERY_DAY, Range, parse_schedule


def one(text: str) -> Range:
    (only,) = parse_schedule(text)
    return only


class TestWhatIsRead:
    def test_hours_of_every_day(self) -> None:
        assert one("02:00-06:00") == Range(EVERY_DAY, 120, 360)

    @pytest.mark.parametrize("text", ["2:00-6:00", " 02:00 - 06:00 ", "02:00\u201306:00"])
    def test_the_ways_in_which_people_write_it(self, text: str) -> None:
        assert one(text) == Range(EVERY_DAY, 120, 360)

    def test_an_end_that_is_not_after_its_start_is_the_next_days(self) -> None:
        assert one("22:00-04:00") == Range(EVERY_DAY, 1320, 1440 + 240)
        assert one("02:00-02:00") == Range(EVERY_DAY, 120, 1440 + 120)
        assert one("00:00-24:00") == Range(EVERY_DAY, 0, 1440)

    @pytest.mark.parametrize("text", ["always", " Always ", "ALWAYS"])
    def test_always_has_no_ranges(self, text: str) -> None:
        assert parse_schedule(text) == ()

    def test_days_belong_to_the_range_behind_them_alone(self) -> None:
        assert parse_schedule("Sat-Sun 00:00-08:00, 02:00-06:00") == (
            Range(frozenset({5, 6}), 0, 480),
            Range(EVERY_DAY, 120, 360),
        )

    @pytest.mark.parametrize(
        ("days", "expected"),
        [
            ("Mon", {0}),
            ("monday", {0}),
            ("Fri-Mon", {4, 5, 6, 0}),
            ("Mon-Sun", set(range(7))),
            ("Tue, Thu", {1, 3}),
            ("Tue Thu-Fri,", {1, 3, 4}),
        ],
    )
    def test_days(self, days: str, expected: set[int]) -> None:
        assert one(f"{days} 01:00-02:00").days == expected

    @given(
        st.integers(0, 1439),
        st.integers(0, 1440),
        st.sets(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), max_size=6),
    )
    def test_what_is_written_is_read(self, start: int, end: int, days: set[str]) -> None:
        hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
        found = one(f"{' '.join(sorted(days))} {hours}")
        assert found.start_min == start
        assert found.end_min % 1440 == end % 1440
        assert start < found.end_min <= start + 1440
        assert len(found.days) == (len(days) or 7)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("", "02:00-06:00"),
            (",", "02:00-06:00"),
            ("Mon", "no hours"),
            ("02:00-06:00, Sun", "no hours"),
            ("2-6", "no range"),
            ("02:00", "no range"),
            ("02:00-06:00-08:00", "no range"),
            ("02:60-03:00", "no time of day"),
            ("22:00-26:00", "26:00"),
            ("24:01-03:00", "no time of day"),
            ("24:00-03:00", "begins at 24:00"),
            ("Mo-Xy 01:00-02:00", "neither hours nor days"),
            ("T 01:00-02:00", "neither hours nor days"),
            ("never", "neither hours nor days"),
            ("\u0663:00-04:00", "no range"),
            ("x" * 1000, "500 characters"),
        ],
    )
    def test_it_says_what_is_wrong(self, text: str, word: str) -> None:
        with pytest.raises(ValueError, match=word):
            parse_schedule(text)

    @given(st.text(alphabet="0123456789:-, MonSat\u2013", max_size=30))
    def test_any_text_is_ranges_or_a_refusal(self, text: str) -> None:
        try:
            ranges = parse_schedule(text)
        except ValueError:
            return
        assert all(0 <= each.start_min < each.end_min <= 2880 for each in ranges)
        assert all(each.days <= EVERY_DAY for each in ranges)
