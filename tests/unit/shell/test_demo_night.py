"""The demo's configuration is a real one, and its reading of the log misses no verdict."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config import parse_config
from watcher.demo_box import LIVE, PLANS, Plan, Recording, uneven_frames
from watcher.demo_night import MIN_AGE_DAYS, Night, configuration, of_age, open_now
from watcher.gate.window import Window

NOON_S = 1_700_049_600.0


def line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, **fields})


class TestConfiguration:
    def test_it_is_taken_as_it_is_written(self) -> None:
        text = configuration('/tmp/a "b"\n', ("gate", "yard"), NOON_S, allow_non_exchange=True)
        config = parse_config(text)
        assert set(config.recordings) == {"gate", "yard", LIVE}
        assert config.state_dir == '/tmp/a "b"\n/state'
        assert config.transcoding.allow_non_exchange
        assert config.transcoding.codec == "auto"

    @given(st.floats(0, 4e9))
    def test_its_window_is_open_now_and_for_two_hours(self, now_s: float) -> None:
        window = Window.parse(open_now(now_s), "UTC")
        assert window.state(now_s).is_open
        assert window.state(now_s + 7200).is_open

    def test_the_plan_has_something_of_everything(self) -> None:
        old = [plan for plan in PLANS if plan.age_days >= MIN_AGE_DAYS]
        assert {plan.camera for plan in old} == {"gate", "yard"}
        assert {plan.special for plan in old} == {"", "damaged", "hevc"}
        assert len(PLANS) > len(old)


class TestTheLog:
    def test_a_night_is_over_when_each_has_its_verdict(self) -> None:
        night = Night()
        for each in (
            line("service_started"),
            line("transcode_started", path="/a"),
            line("transcode_finished", path="/a", savings_percent=50),
            line("transcode_rejected", path="/b", reason="already_hevc"),
        ):
            night.note(each)
        assert night.settled(["/a", "/b"])
        assert not night.settled(["/a", "/b", "/c"])

    def test_what_is_tried_again_is_not_over(self) -> None:
        night = Night()
        night.note(line("transcode_failed", path="/a", reason="stalled"))
        night.note(line("transcode_started", path="/a"))
        assert night.current == "/a"
        assert not night.settled(["/a"])

    def test_it_knows_what_holds_it(self) -> None:
        night = Night()
        night.note(line("gate_held", reason="cpu"))
        assert night.held == "cpu"
        night.note(line("gate_released", reason="cpu"))
        assert night.held is None

    @pytest.mark.parametrize("text", ["", "{", "3", "null", "[]", '{"event": 3}', "Traceback"])
    def test_what_is_no_event_is_passed_over(self, text: str) -> None:
        assert Night().note(text) is None


def test_only_what_is_of_age_is_waited_for() -> None:
    recordings = [Recording(f"/{age}", 1, Plan("gate", age, "", 1)) for age in (6.9, 7.0, 9.0)]
    assert of_age(recordings) == ["/7.0", "/9.0"]


class TestFrames:
    def test_each_follows_the_one_before(self) -> None:
        times = [Fraction(n, 15) for n in range(4)]
        assert uneven_frames(times, 15) == 0
        assert uneven_frames([*times, Fraction(5, 15)], 15) == 1
        assert uneven_frames([*times, times[-1]], 15) == 1
