"""A recorder's health from its events, told once per change, and never a false death."""

import os
from collections.abc import Iterable

import pytest
from support.asking import AtOnce
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.gate.health import HealthCheck, HealthVerdict
from watcher.gate.recorders import HOST, Health, RecorderSettings, RecorderWatch

DAY_S = 86_400.0


class Growing:
    """Stands for os.stat: sizes by path."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.asked = 0

    def __call__(self, path: str) -> os.stat_result:
        self.asked += 1
        if path not in self.sizes:
            raise FileNotFoundError(path)
        return os.stat_result((0o100644, 1, 1, 1, 0, 0, self.sizes[path], 0, 0, 0))


class Told(HealthCheck):
    """A health command whose verdict a test sets."""

    def __init__(self, verdict: HealthVerdict | None = None) -> None:
        super().__init__("true")
        self.says = verdict

    def verdict(self) -> HealthVerdict | None:
        return self.says


class Site:
    """Cameras, a clock, and what was told."""

    def __init__(self, max_pause_s: float = 3600.0, **cameras: RecorderSettings) -> None:
        self.clock = ManualClock()
        self.emitted = Emitted()
        self.stat = Growing()
        self.checks = {
            name: Told() for name, one in cameras.items() if one.health_command is not None
        }
        self.watch = RecorderWatch(
            cameras,
            max_pause_s=max_pause_s,
            checks=self.checks,
            stat=self.stat,
            asker=AtOnce(),
            clock=self.clock,
            emit=self.emitted,
        )

    def wait(self, seconds: float, every_s: float = 30.0) -> None:
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            self.clock.advance(min(every_s, end_s - self.clock.monotonic_s()))
            self.watch.tick()

    def record(self, camera: str, segments: int, each_s: float, start: int = 0) -> None:
        """A recorder that opens, grows and closes."""
        for number in range(start, start + segments):
            path = f"/{camera}/{number}.mp4"
            self.watch.opened(camera, path)
            self.wait(each_s, every_s=min(30.0, each_s))
            self.watch.closed(camera, path)

    @property
    def story(self) -> list[str]:
        return [
            f"{name.removeprefix('recorder_')} {fields.get('state', '')}".strip()
            for name, fields in self.emitted.events
        ]


class TestSegments:
    def test_one_that_closes_in_time_is_healthy_and_nothing_is_told(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 10, 60)
        site.record("cam", 10, 85, start=10)  # late, but within one and a half times
        assert site.watch.health("cam") is Health.HEALTHY
        assert site.watch.trouble() is None
        assert site.story == []

    def test_one_that_stops_is_unhealthy_after_one_and_a_half_times_and_told_once(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.wait(90, every_s=1)
        assert site.watch.trouble() is None
        site.wait(1, every_s=1)
        trouble = site.watch.trouble()
        assert trouble is not None
        assert (trouble.camera, trouble.silent_s, trouble.expected_s) == ("cam", 91, 90)
        site.wait(600)
        assert site.story == ["unhealthy unhealthy"]
        (told,) = site.emitted.named("recorder_unhealthy")
        assert told["silent_s"] == 91
        assert "no segment" in str(told["reason"])

    def test_one_whose_open_segment_grows_is_healthy_however_long_that_takes(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.watch.opened("cam", "/cam/long.mp4")
        for size in range(100):
            site.stat.sizes["/cam/long.mp4"] = size
            site.wait(30)
        assert site.watch.health("cam") is Health.HEALTHY
        assert site.story == []

    def test_one_that_stops_growing_is_given_a_minute(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.watch.opened("cam", "/cam/long.mp4")
        for size in range(20):
            site.stat.sizes["/cam/long.mp4"] = size
            site.wait(10, every_s=10)
        site.wait(60, every_s=10)
        assert site.watch.health("cam") is Health.HEALTHY
        site.wait(10, every_s=10)
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_an_open_segment_that_stands_still_is_no_sign_of_life(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.watch.opened("cam", "/cam/stuck.mp4")
        site.stat.sizes["/cam/stuck.mp4"] = 4096
        site.wait(180)
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_growth_is_one_stat_in_ten_seconds_however_often_it_is_asked(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=1800))
        site.watch.opened("cam", "/cam/a.mp4")
        site.stat.sizes["/cam/a.mp4"] = 1
        site.wait(100, every_s=0.5)
        assert site.stat.asked in (10, 11)

    def test_no_open_segment_costs_no_stat(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 2, 60)
        site.stat.asked = 0
        site.wait(3600)
        assert site.stat.asked == 0

    def test_one_that_comes_back_is_told_once(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.wait(300)
        site.record("cam", 5, 60, start=3)
        assert site.watch.trouble() is None
        assert site.story == ["unhealthy unhealthy", "recovered"]

    def test_at_a_start_it_has_its_time_before_anything_is_concluded(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.wait(85)
        assert site.watch.health("cam") is Health.UNKNOWN
        site.wait(10)
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_very_short_segments_have_a_little_slack(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=2))
        site.record("cam", 3, 2)
        site.wait(6.5, every_s=0.5)
        assert site.watch.health("cam") is Health.HEALTHY
        site.wait(1, every_s=0.5)
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_a_clock_that_is_set_and_a_suspend_make_nobody_unhealthy(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.clock.set_wall(site.clock.wall_s() + 7 * DAY_S)  # as after a suspend: monotonic stood
        site.wait(60)
        assert site.watch.health("cam") is Health.HEALTHY

    def test_events_of_an_unknown_camera_are_ignored(self) -> None:
        site = Site()
        site.watch.opened("ghost", "/a")
        site.watch.closed("ghost", "/a")
        site.watch.gone("ghost", "/a", 1, 1)
        site.watch.began("ghost", [1.0])
        assert site.watch.health("ghost") is Health.UNKNOWN
        assert site.watch.retention_days("ghost") is None
        assert site.watch.segment_seconds("ghost") is None


class TestAbsent:
    def test_after_max_pause_it_holds_no_more_and_is_warned_of_once_a_day(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.wait(120)
        assert site.watch.trouble() is not None
        site.wait(3630)
        assert site.watch.health("cam") is Health.ABSENT
        assert site.watch.trouble() is None
        site.wait(3 * DAY_S)
        assert site.story == ["unhealthy unhealthy", *["unhealthy absent"] * 4]

    def test_until_then_it_holds_for_exactly_that_long(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.clock.advance(50_000)
        site.watch.closed("cam", "/cam/1.mp4")
        site.wait(91, every_s=91)
        site.wait(3600, every_s=60)
        assert site.watch.health("cam") is Health.UNHEALTHY
        site.wait(1, every_s=1)
        assert site.watch.health("cam") is Health.ABSENT

    def test_one_that_comes_back_in_spring_is_healthy_and_guarded_again(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60))
        site.record("cam", 3, 60)
        site.wait(5000)
        site.record("cam", 3, 60, start=3)
        assert site.watch.health("cam") is Health.HEALTHY
        site.wait(120)
        assert site.watch.health("cam") is Health.UNHEALTHY
        assert site.story == [
            "unhealthy unhealthy",
            "unhealthy absent",
            "recovered",
            "unhealthy unhealthy",
        ]

    def test_one_absent_camera_does_not_hide_another_that_dies(self) -> None:
        site = Site(
            winter=RecorderSettings(segment_seconds=60), porch=RecorderSettings(segment_seconds=60)
        )
        site.record("porch", 70, 60)
        assert site.watch.health("winter") is Health.ABSENT
        assert site.watch.trouble() is None
        site.wait(120)
        trouble = site.watch.trouble()
        assert trouble is not None
        assert trouble.camera == "porch"


class TestMotionOnly:
    def test_silence_is_ordinary(self) -> None:
        site = Site(cam=RecorderSettings())
        site.record("cam", 5, 10)
        site.wait(30 * DAY_S, every_s=3600)
        assert site.watch.trouble() is None
        assert site.story == []

    def test_and_so_it_is_before_auto_has_learned(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 3, 10)
        site.wait(DAY_S, every_s=600)
        assert site.watch.trouble() is None


class TestLearning:
    def test_auto_learns_the_length_from_the_closes(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 6, 30)
        assert site.watch.segment_seconds("cam") == 30
        site.wait(60, every_s=5)
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_four_intervals_are_enough_and_three_are_not(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 4, 30)
        assert site.watch.segment_seconds("cam") is None
        site.record("cam", 1, 30, start=4)
        assert site.watch.segment_seconds("cam") == 30

    def test_what_it_learns_follows_a_recorder_that_is_set_otherwise(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 40, 30)
        site.record("cam", 32, 10, start=40)
        assert site.watch.segment_seconds("cam") == 10

    def test_auto_learns_at_once_from_what_was_found_at_the_start(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        times = [1000.0 + 1800 * number for number in range(10)]
        # in no order, and beside a second stream's
        site.watch.began("cam", [*reversed(times), *(time + 0.1 for time in times)])
        assert site.watch.segment_seconds("cam") == pytest.approx(1800, abs=0.2)

    def test_two_streams_that_close_together_are_no_short_segments(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        for number in range(10):
            site.wait(60)
            site.watch.closed("cam", f"/cam/{number}-main.mp4")
            site.wait(0.2, every_s=0.2)
            site.watch.closed("cam", f"/cam/{number}-sub.mp4")
        assert site.watch.segment_seconds("cam") == pytest.approx(60, abs=1)

    def test_old_files_brought_here_teach_nothing_and_are_no_sign_of_life(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 6, 60)
        week_ago_ns = round((site.clock.wall_s() - 7 * DAY_S) * 1e9)
        for number in range(200):
            site.wait(1, every_s=1)
            site.watch.closed("cam", f"/cam/old-{number}.mp4", week_ago_ns)
        assert site.watch.segment_seconds("cam") == 60
        assert site.watch.health("cam") is Health.UNHEALTHY

    def test_one_long_interval_does_not_stretch_what_was_learned(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"))
        site.record("cam", 20, 30)
        site.wait(5000)
        site.record("cam", 3, 30, start=20)
        assert site.watch.segment_seconds("cam") == 30

    def test_what_was_learned_outlives_a_configuration_read_anew(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds="auto"), gone=RecorderSettings())
        site.record("cam", 6, 30)
        delete(site, [4.2] * 20)
        anew = RecorderWatch(
            {"cam": RecorderSettings(segment_seconds="auto"), "new": RecorderSettings()},
            clock=site.clock,
            emit=site.emitted,
        )
        anew.take_over(site.watch.known())
        assert anew.segment_seconds("cam") == 30
        assert anew.retention_days("cam") == pytest.approx(4.2)
        assert anew.health("cam") is Health.HEALTHY
        assert [one.camera for one in anew.states()] == ["cam", "new"]

    def test_what_is_configured_is_not_learned(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60, retention_days=30))
        site.record("cam", 20, 30)
        delete(site, [4.2] * 20)
        assert site.watch.segment_seconds("cam") == 60
        assert site.watch.retention_days("cam") == 30

    def test_retention_is_learned_from_deletions_that_agree(self) -> None:
        site = Site(cam=RecorderSettings())
        delete(site, [4.1, 4.2, 4.2, 4.3, 4.2, 4.2, 4.1])
        assert site.watch.retention_days("cam") is None  # too few
        delete(site, [4.2, 0.01])  # and one by a person
        assert site.watch.retention_days("cam") == pytest.approx(4.2)

    def test_ages_within_half_as_much_again_agree(self) -> None:
        for oldest, learned in ((6.0, 5.0), (6.1, None)):
            site = Site(cam=RecorderSettings())
            delete(site, [4.0, 4.0, 4.0, 5.0, 5.0, oldest, oldest, oldest])
            found = site.watch.retention_days("cam")
            assert found == (None if learned is None else pytest.approx(learned))

    def test_files_from_the_future_teach_nothing(self) -> None:
        site = Site(cam=RecorderSettings())
        delete(site, [*[4.2] * 7, -3.0])
        assert site.watch.retention_days("cam") is None

    def test_somebody_clearing_a_directory_is_no_retention(self) -> None:
        site = Site(cam=RecorderSettings())
        delete(site, [0.5 * number for number in range(1, 60)])
        assert site.watch.retention_days("cam") is None

    def test_what_was_seen_before_this_start_counts(self) -> None:
        site = Site(cam=RecorderSettings())
        site.watch.remembered("cam", [4.2 * DAY_S] * 7)
        site.watch.remembered("another", [1.0 * DAY_S] * 7)
        assert site.watch.retention_days("cam") is None
        delete(site, [4.2])
        assert site.watch.retention_days("cam") == pytest.approx(4.2)

    def test_our_own_deletions_teach_nothing(self) -> None:
        site = Site(cam=RecorderSettings())
        delete(site, [4.2] * 20, ours=True)
        assert site.watch.retention_days("cam") is None


def delete(site: Site, ages_days: Iterable[float], *, ours: bool = False) -> None:
    for number, age in enumerate(ages_days):
        mtime_ns = round((site.clock.wall_s() - age * DAY_S) * 1e9)
        site.watch.gone("cam", f"/cam/{number}.mp4", 1000, mtime_ns, ours=ours)


class TestHealthCommand:
    def test_its_word_counts_and_is_told_once_per_change(self) -> None:
        site = Site(cam=RecorderSettings(health_command="ping cam"))
        site.wait(60)
        assert site.watch.health("cam") is Health.UNKNOWN
        site.checks["cam"].says = HealthVerdict(healthy=False, reason="health_command ended with 1")
        site.wait(120)
        trouble = site.watch.trouble()
        assert trouble is not None
        assert trouble.reason == "health_command ended with 1"
        site.checks["cam"].says = HealthVerdict(healthy=True, reason="")
        site.wait(120)
        assert site.watch.health("cam") is Health.HEALTHY
        assert site.story == ["unhealthy unhealthy", "recovered"]

    def test_its_word_decides_however_long_a_camera_that_records_on_motion_is_silent(self) -> None:
        site = Site(cam=RecorderSettings(segment_seconds=60, health_command="ping cam"))
        site.wait(200)
        assert site.watch.trouble() is None  # before its first answer
        site.checks["cam"].says = HealthVerdict(healthy=True, reason="")
        site.record("cam", 3, 60)
        site.wait(7200)
        assert (site.watch.health("cam"), site.story) == (Health.HEALTHY, [])
        site.checks["cam"].says = HealthVerdict(healthy=False, reason="no ping")
        site.record("cam", 3, 60, start=3)
        assert site.watch.health("cam") is Health.UNHEALTHY


class TestTheHostsOwnWord:
    def test_holds_work_and_is_asked_at_each_look(self) -> None:
        answers = iter([True, False, False, True])
        emitted = Emitted()
        watch = RecorderWatch(
            {},
            host_healthy=lambda: next(answers),
            asker=AtOnce(),
            clock=ManualClock(),
            emit=emitted,
        )
        held = []
        for _ in range(4):
            watch.tick()
            held.append(watch.trouble() is not None)
        assert held == [False, True, True, False]
        assert [name for name, _ in emitted.events] == ["recorder_unhealthy", "recorder_recovered"]

    def test_it_is_the_hosts_and_no_cameras(self) -> None:
        said = {"healthy": False}
        clock = ManualClock()
        watch = RecorderWatch(
            {"cam": RecorderSettings(segment_seconds=60)},
            host_healthy=lambda: said["healthy"],
            clock=clock,
            emit=Emitted(),
        )
        watch.closed("cam", "/cam/1.mp4")
        watch.tick()
        trouble = watch.trouble()
        assert (trouble and trouble.camera, watch.health("cam")) == (HOST, Health.HEALTHY)
        said["healthy"] = True
        clock.advance(600)
        watch.tick()
        trouble = watch.trouble()
        assert (trouble and trouble.camera, watch.health("cam")) == ("cam", Health.UNHEALTHY)

    def test_a_callback_that_always_takes_too_long_is_not_well_and_told_once(self) -> None:
        """Its late yes and the silence before the next one would be a change every two seconds."""
        clock, emitted, takes_s = ManualClock(), Emitted(), [2.5]

        def slow() -> bool:
            clock.advance(takes_s[0])
            return True

        watch = RecorderWatch({}, host_healthy=slow, asker=AtOnce(), clock=clock, emit=emitted)
        for _ in range(5):
            watch.tick()
            trouble = watch.trouble()
            assert trouble is not None
            assert trouble.reason == "recorders_healthy took 2.5 s to answer, more than 2"
        assert [name for name, _ in emitted.events] == ["recorder_unhealthy"]
        takes_s[0] = 0.1
        watch.tick()
        assert watch.trouble() is None

    def test_a_callback_that_raises_is_not_well(self) -> None:
        def broken() -> bool:
            raise RuntimeError("no recorder object yet")

        watch = RecorderWatch(
            {}, host_healthy=broken, asker=AtOnce(), clock=ManualClock(), emit=Emitted()
        )
        watch.tick()
        trouble = watch.trouble()
        assert trouble is not None
        assert trouble.camera == HOST
        assert "no recorder object yet" in trouble.reason


def test_the_states_say_all_that_is_known() -> None:
    site = Site(cam=RecorderSettings(segment_seconds=60, retention_days=30))
    site.record("cam", 2, 60)
    (state,) = site.watch.states()
    assert (state.camera, state.health, state.segment_seconds, state.retention_days) == (
        "cam",
        Health.HEALTHY,
        60,
        30,
    )
