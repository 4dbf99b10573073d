"""Figures read the same wherever they stand."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.report import forms


@pytest.mark.parametrize(
    ("size", "gigabytes", "best", "amount"),
    [
        (0, "0.0 GB", "0 bytes", "0 GB"),
        (1, "0.0 GB", "1 byte", "0 GB"),
        (-1, "0.0 GB", "-1 byte", "0 GB"),
        (999, "0.0 GB", "999 bytes", "0 GB"),
        (1000, "0.0 GB", "1.0 kB", "0 GB"),
        (999_949, "0.0 GB", "999.9 kB", "0 GB"),
        (999_950, "0.0 GB", "1.0 MB", "0 GB"),
        (68_500_000_000, "68.5 GB", "68.5 GB", "68.5 GB"),
        (12_000_000_000, "12.0 GB", "12.0 GB", "12 GB"),
        (99_960_000_000, "100.0 GB", "100.0 GB", "100 GB"),
        (1_000_000_000_000, "1000.0 GB", "1.0 TB", "1000 GB"),
        (-2_500_000_000, "-2.5 GB", "-2.5 GB", "-2.5 GB"),
    ],
)
def test_sizes(size: int, gigabytes: str, best: str, amount: str) -> None:
    assert forms.gigabytes(size) == gigabytes
    assert forms.size(size) == best
    assert forms.amount(size) == amount


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (14_700, "4 h 05 min"),
        (86_399.7, "1 day"),
        (302_400, "3.5 days"),
        (-200, "-3 min 20 s"),
        (float("inf"), "for ever"),
        (float("nan"), "for ever"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert forms.duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"), [(1, "1 day"), (7, "7 days"), (4.2, "4.2 days"), (0.04, "0 days")]
)
def test_days(value: float, said: str) -> None:
    assert forms.days(value) == said


def test_times_are_local_for_a_person_and_utc_for_a_machine() -> None:
    wall_s = datetime(2024, 11, 12, 4, 23, 15, 999_999, tzinfo=UTC).timestamp()
    berlin = timezone(timedelta(hours=1))
    assert forms.time(wall_s, berlin) == "2024-11-12 05:23:15"
    assert forms.time(wall_s, berlin, seconds=False) == "2024-11-12 05:23"
    assert forms.time(None) == "never"
    assert forms.utc(0.0) == "1970-01-01T00:00:00+00:00"
    assert forms.utc(None) is None


@given(st.floats())
def test_no_mtime_is_beyond_telling(wall_s: float) -> None:
    assert forms.time(wall_s, UTC)
    assert forms.time(wall_s, UTC, seconds=False)
    forms.utc(wall_s)


@given(st.floats(-1e15, 1e15))
def test_no_figure_reads_as_minus_nought_or_a_thousand_of_a_smaller_unit(size: float) -> None:
    said = forms.size(size)
    value, unit = said.split(" ")
    assert not said.startswith("-0.0")
    if unit != "TB":
        assert abs(float(value)) < 1000
    assert not forms.gigabytes(size).startswith("-0.0 ")


@given(st.floats(0, 1e9))
def test_no_duration_has_sixty_of_anything(seconds: float) -> None:
    assert "60" not in forms.duration(seconds).replace("60 ", "60")[-6:] or seconds > 86_400
    for part in (" 60 s", "60 min"):
        assert part not in forms.duration(seconds)


@given(st.text(st.characters(), max_size=30), st.binary(max_size=10))
def test_whatever_the_name_it_prints_on_one_line_and_is_utf8(text: str, raw: bytes) -> None:
    said = forms.name(text + raw.decode("utf-8", "surrogateescape"))
    assert said.isprintable()
    assert json.loads(json.dumps(said, ensure_ascii=False).encode("utf-8")) == said


def test_an_ordinary_name_stays_itself_and_a_message_keeps_its_lines() -> None:
    assert forms.name("/srv/Tür 1/ü–😀 [x].mp4") == "/srv/Tür 1/ü–😀 [x].mp4"  # noqa: RUF001 - a dash that people type
    assert forms.name("a\x1b[31m\n") == "a\\x1b[31m\\n"
    assert forms.text("a\x07\nb") == "a\\x07\nb"


@pytest.mark.parametrize(("number", "said"), [(1, "1 file"), (0, "0 files"), (1204, "1,204 files")])
def test_files(number: int, said: str) -> None:
    assert forms.files(number) == said
