"""The window to the minute, on ordinary days and on those that have 23 or 25 hours."""

import functools
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import brute

from watcher.gate.window import EdgeTrigger, Window, system_zone

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
BERLIN = ZoneInfo("Europe/Berlin")


def instant(text: str) -> float:
    """Seconds since the epoch of an ISO time; Berlin's where it names no offset."""
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=BERLIN)).timestamp()


def openings(text: str, from_: str, to: str) -> list[str]:
    """What is open, as a person in Berlin reads it, with the offset."""
    found = Window.parse(text, BERLIN).openings(instant(from_), instant(to))
    return [
        f"{datetime.fromtimestamp(opens, BERLIN):%d %H:%M%z}"
        f" - {datetime.fromtimestamp(closes, BERLIN):%d %H:%M%z}"
        for opens, closes in found
    ]


class TestOrdinaryDays:
    def test_is_open_from_its_first_instant_and_closed_at_its_last(self) -> None:
        window = Window.parse("02:00-06:00", BERLIN)
        opens, closes = instant("2026-06-10T02:00"), instant("2026-06-10T06:00")
        assert not window.state(opens - 0.001).is_open
        assert window.state(opens).is_open
        assert window.state(closes - 0.001).is_open
        assert not window.state(closes).is_open

    def test_knows_since_when_and_until_when(self) -> None:
        window = Window.parse("02:00-06:00", BERLIN)
        inside = window.state(instant("2026-06-10T03:30"))
        assert inside.since_s == instant("2026-06-10T02:00")
        assert inside.closes_s == instant("2026-06-10T06:00")
        assert inside.opens_s is None
        outside = window.state(instant("2026-06-10T12:00"))
        assert outside.since_s == instant("2026-06-10T06:00")
        assert outside.opens_s == instant("2026-06-11T02:00")
        assert outside.closes_s is None

    def test_goes_over_midnight_and_the_weekday_is_the_starts(self) -> None:
        # 12 June 2026 is a Friday
        assert openings("Fri 22:00-04:00", "2026-06-10T00:00", "2026-06-16T00:00") == [
            "12 22:00+0200 - 13 04:00+0200"
        ]

    def test_ranges_that_touch_or_overlap_are_one(self) -> None:
        assert openings(
            "02:00-06:00, 06:00-07:00, 05:00-06:30, Sat-Sun 00:00-08:00",
            "2026-06-12T00:00",
            "2026-06-14T00:00",
        ) == ["12 02:00+0200 - 12 07:00+0200", "13 00:00+0200 - 13 08:00+0200"]

    def test_the_whole_day_is_always_and_always_has_no_edge(self) -> None:
        for text in ("always", "00:00-24:00", "12:00-12:00", "Mon-Sun 00:00-12:00, 12:00-24:00"):
            state = Window.parse(text, BERLIN).state(instant("2026-10-25T02:30"))
            assert (state.is_open, state.next_edge_s) == (True, None), text

    def test_a_range_of_days_may_go_over_the_weekend(self) -> None:
        window = Window.parse("Sat-Mon 01:00-02:00", BERLIN)
        hours = window.hours_open(instant("2026-06-08T00:00"), 7)  # a Monday
        assert hours == (1, 0, 0, 0, 0, 1, 1)

    def test_the_forecast_counts_every_open_hour_once(self) -> None:
        window = Window.parse("22:00-04:00, Sat 00:00-08:00", BERLIN)
        assert sum(window.hours_open(instant("2026-06-08T12:00"), 7)) == 6 * 7 + 4


class TestTheTwoNights:
    def test_the_autumn_hour_opens_once_and_lasts_an_hour_longer(self) -> None:
        assert openings("02:00-06:00", "2026-10-25T00:00", "2026-10-26T00:00") == [
            "25 02:00+0200 - 25 06:00+0100"
        ]

    def test_a_window_inside_the_autumn_hour_opens_on_its_first_pass_alone(self) -> None:
        assert openings("02:10-02:40", "2026-10-25T00:00", "2026-10-26T00:00") == [
            "25 02:10+0200 - 25 02:40+0200"
        ]

    def test_a_window_that_ends_in_the_autumn_hour_ends_on_its_first_pass(self) -> None:
        assert openings("01:00-02:30", "2026-10-25T00:00", "2026-10-26T00:00") == [
            "25 01:00+0200 - 25 02:30+0200"
        ]

    def test_an_opening_in_the_spring_gap_is_the_next_valid_minute(self) -> None:
        assert openings("02:30-06:00", "2026-03-29T00:00", "2026-03-30T00:00") == [
            "29 03:00+0200 - 29 06:00+0200"
        ]

    def test_an_end_in_the_spring_gap_is_the_next_valid_minute_too(self) -> None:
        assert openings("01:00-02:30", "2026-03-29T00:00", "2026-03-30T00:00") == [
            "29 01:00+0100 - 29 03:00+0200"
        ]

    def test_a_window_inside_the_spring_gap_is_left_out_and_the_next_one_is_found(self) -> None:
        window = Window.parse("Sun 02:00-02:30", BERLIN)
        state = window.state(instant("2026-03-22T12:00"))
        assert state.next_edge_s == instant("2026-04-05T02:00")

    def test_the_half_hour_of_lord_howe(self) -> None:
        zone = ZoneInfo("Australia/Lord_Howe")
        window = Window.parse("02:10-03:00", zone)
        day = datetime(2026, 10, 4, tzinfo=zone).timestamp()  # 02:00 becomes 02:30
        ((opens, closes),) = window.openings(day, day + 86_400)
        assert f"{datetime.fromtimestamp(opens, zone):%H:%M}" == "02:30"
        assert closes - opens == 30 * 60

    def test_a_day_that_a_zone_left_out(self) -> None:
        zone = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011
        window = Window.parse("02:00-06:00", zone)
        from_s = datetime(2011, 12, 29, tzinfo=zone).timestamp()
        found = [
            datetime.fromtimestamp(opens, zone).day
            for opens, _ in window.openings(from_s, from_s + 3 * 86_400)
        ]
        assert found == [29, 31, 1]


@functools.cache
def changes_of_clocks(zone: ZoneInfo) -> list[int]:
    """Find the days through 2030 at whose noon the offset is another than at the noon before."""
    day = datetime(2026, 1, 1, 12, tzinfo=UTC)
    days = []
    while day.year <= 2030:
        before = (day - timedelta(days=1)).astimezone(zone).utcoffset()
        if day.astimezone(zone).utcoffset() != before:
            days.append(int(day.timestamp()))
        day += timedelta(days=1)
    return days


class TestAgainstBruteForce:
    """Through 2030, in three zones: what somebody with a wall clock and a pencil finds."""

    @pytest.mark.parametrize("name", ZONES)
    @pytest.mark.parametrize(
        "text",
        [
            "02:00-06:00",
            "22:00-04:00, Sat-Sun 00:00-08:00",
            "01:30-02:10, 02:20-02:40, 02:50-03:05",
            "Sun 01:59-02:01, Sat 23:30-02:30, 03:00-03:01",
            "23:45-00:15",
        ],
    )
    def test_every_change_of_the_clocks(self, name: str, text: str) -> None:
        zone = ZoneInfo(name)
        window = Window.parse(text, zone)
        noons = changes_of_clocks(zone)
        assert len(noons) == 10
        for noon in noons:
            from_s, to_s = noon - 2 * 86_400, noon + 2 * 86_400
            expected = brute.edges(zone, window.ranges, from_s, to_s)
            assert walk(window, from_s, to_s) == expected

    @settings(max_examples=120, deadline=None)
    @given(data=st.data())
    def test_any_schedule_on_any_day(self, data: st.DataObject) -> None:
        zone = ZoneInfo(data.draw(st.sampled_from(ZONES)))
        text = ", ".join(data.draw(st.lists(schedules(), min_size=1, max_size=4)))
        window = Window.parse(text, zone)
        noons = changes_of_clocks(zone)
        near = st.sampled_from(noons).flatmap(
            lambda noon: st.integers(noon - 36 * 3600, noon + 12 * 3600)
        )
        anywhere = st.integers(noons[0], noons[-1])
        from_s = data.draw(st.one_of(near, anywhere)) // 60 * 60
        to_s = from_s + 2 * 86_400
        week = brute.open_by_minute(window.ranges)
        warm_up = from_s - 86_400  # so that the autumn hour's first pass has been seen
        for at_s, minute in brute.written_down(zone, warm_up, to_s):
            if at_s >= from_s and at_s % 2220 == 0:
                assert window.state(at_s).is_open is week[minute], (text, at_s)
        expected = brute.edges(zone, window.ranges, warm_up, to_s)
        assert walk(window, from_s, to_s) == [edge for edge in expected if edge[0] > from_s]


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """One range, often near two o'clock, often short, sometimes with days."""
    days = draw(st.sampled_from(["", "Sat-Sun ", "Sun ", "Mon-Fri ", "Sat ", "Fri-Mon "]))
    start = draw(st.one_of(st.integers(60, 200), st.integers(0, 1439)))
    end = (start + draw(st.one_of(st.integers(1, 90), st.integers(1, 1440)))) % 1440
    return f"{days}{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def walk(window: Window, from_s: int, to_s: int) -> list[tuple[int, bool]]:
    """Follow the window from edge to edge, as APScheduler's wake-ups do."""
    found: list[tuple[int, bool]] = []
    at_s: float = from_s
    while True:
        edge_s = window.state(at_s).next_edge_s
        if edge_s is None or edge_s >= to_s:
            return found
        assert edge_s > at_s
        found.append((int(edge_s), window.state(edge_s).is_open))
        at_s = edge_s


class TestEdgeTrigger:
    def test_wakes_at_each_edge_and_strictly_after_now(self) -> None:
        trigger = EdgeTrigger(Window.parse("02:00-06:00", BERLIN))
        now = datetime(2026, 6, 10, 12, tzinfo=UTC)
        times = []
        for _ in range(3):
            now = trigger.get_next_fire_time(None, now) or now
            times.append(f"{now.astimezone(BERLIN):%d %H:%M}")
        assert times == ["11 02:00", "11 06:00", "12 02:00"]

    def test_meets_an_edge_again_after_the_clock_was_set_back(self) -> None:
        trigger = EdgeTrigger(Window.parse("02:00-06:00", BERLIN))
        fired = datetime(2026, 6, 10, 2, tzinfo=BERLIN)
        set_back = fired - timedelta(hours=1)
        assert trigger.get_next_fire_time(fired, set_back) == fired

    def test_never_wakes_for_always(self) -> None:
        trigger = EdgeTrigger(Window.parse("always", BERLIN))
        assert trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC)) is None


class TestParsing:
    def test_an_unknown_zone_is_refused_with_what_is_right(self) -> None:
        with pytest.raises(ValueError, match="Europe/Berlin"):
            Window.parse("02:00-06:00", "Mars/Olympus")

    def test_no_zone_is_the_systems(self) -> None:
        assert Window.parse("02:00-06:00").state(0.0).next_edge_s is not None

    @pytest.mark.parametrize("text", ["", "25:00-02:00", "02:00", "Mon", "Fun 02:00-03:00"])
    def test_what_is_no_schedule_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"right|time of day"):
            Window.parse(text, BERLIN)


def test_where_no_zone_is_configured_the_machines_own_counts() -> None:
    assert Window.parse("02:00-06:00").zone == system_zone()
    assert system_zone(lambda: BERLIN) is BERLIN


@pytest.mark.parametrize("error", [ZoneInfoNotFoundError("no"), ValueError("two"), OSError("gone")])
def test_a_machine_whose_zone_contradicts_itself_is_taken_for_one_in_utc(error: Exception) -> None:
    def read() -> tzinfo:
        raise error

    assert system_zone(read) is UTC
