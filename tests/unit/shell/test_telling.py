"""What the service says of itself: the length of its nights, and what never comes of age."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.gate.holds import HoldLedger
from watcher.gate.readings import Go, Limits, Load, Readings
from watcher.ledger.ledger import Night
from watcher.night import Night as Account
from watcher.settings import Transcoding
from watcher.telling import Telling

DAY_S = 86_400.0
OPEN_S = 14_400.0


def night(work_s: float, held_s: float) -> Night:
    return Night(0.0, OPEN_S, work_s, held_s, 0.0, 0, 0, 0)


class House:
    """A service of which just that is there which is asked."""

    def __init__(self, *nights: Night, **lives: float | None) -> None:
        self.clock, self.emitted = ManualClock(), Emitted()
        service = SimpleNamespace(
            clock=self.clock,
            window=SimpleNamespace(open_s=lambda _from, _to: 7 * OPEN_S),
            ledger=SimpleNamespace(recent_nights=lambda: list(nights)),
            config=SimpleNamespace(recordings=dict.fromkeys(lives), transcoding=Transcoding()),
            watch=SimpleNamespace(recorders=SimpleNamespace(retention_days=lives.get)),
        )
        self.telling = Telling(cast("Any", service), self.emitted)
        self.telling.space = lambda: None  # type: ignore[method-assign] # no disk here

    def share(self) -> float:
        return self.telling._night_length(0.0).usable_share


def test_nights_that_were_wholly_held_have_no_usable_share() -> None:
    assert House(*[night(0.0, OPEN_S)] * 14).share() == 0.0


def test_the_share_is_what_was_worked_of_what_was_wanted() -> None:
    assert House(night(3000.0, 1000.0), night(0.0, 0.0)).share() == 0.75
    assert House().telling._night_length(0.0).open_s_per_day == OPEN_S


@pytest.mark.parametrize("nights", [(), (night(0.0, 0.0),)])
def test_before_any_work_was_wanted_nothing_is_known_to_hold_it(nights: tuple[Night, ...]) -> None:
    assert House(*nights).share() == 1.0


def test_a_childs_lowered_share_of_the_time_is_a_lower_share_of_the_night() -> None:
    holds = HoldLedger()
    readings = Readings(load=Load(0.5, 3.0))
    for beat in range(1000):
        holds.note(Go(run=beat % 4 == 0, duty=0.25), readings, Limits(), 0.5)
    row = Account(0.0, holds).row(1.0)
    assert row.work_s / (row.work_s + row.held_s) == 0.25


def test_what_never_comes_of_age_or_never_pays_is_told_daily_and_not_more_often() -> None:
    house = House(young=4.2, late=7.5, fine=30.0, unknown=None)
    house.telling.age()
    house.telling.age()
    told = house.emitted.named("nothing_comes_of_age")
    assert told == [
        {
            "camera": camera,
            "recordings_live_days": days,
            "min_age_days": 7,
            "keep_original_days": 1.0,
        }
        for camera, days in (("young", 4.2), ("late", 7.5))
    ]
    house.clock.advance(DAY_S)
    house.telling.age()
    assert len(house.emitted.named("nothing_comes_of_age")) == 4
