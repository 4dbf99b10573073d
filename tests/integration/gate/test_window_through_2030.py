"""Every minute of five years, in three zones: the window against a wall clock and a pencil."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from support import brute

from watcher.gate.window import Window

SCHEDULES = ("02:00-06:00", "22:00-04:00, Sat-Sun 00:00-08:00", "Sun 01:50-02:20, 02:40-03:10")


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_every_edge_through_2030(name: str) -> None:
    zone = ZoneInfo(name)
    from_s = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp())
    to_s = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())
    windows = [Window.parse(text, zone) for text in SCHEDULES]
    weeks = [brute.open_by_minute(window.ranges) for window in windows]
    before = [window.state(from_s).is_open for window in windows]
    expected: list[list[int]] = [[] for _ in windows]
    for at_s, minute in brute.written_down(zone, from_s, to_s):
        for number, week in enumerate(weeks):
            if week[minute] is not before[number]:
                before[number] = week[minute]
                expected[number].append(at_s)
    for window, edges in zip(windows, expected, strict=True):
        found = [edge for span in window.openings(from_s, to_s) for edge in span]
        assert [int(edge) for edge in found if from_s < edge < to_s] == edges
        assert len(edges) > 250
