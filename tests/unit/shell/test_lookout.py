"""Who looks at the gate for the shift."""

from typing import Any, cast

from support.clock import ManualClock
from support.emitted import Emitted

from watcher.gate.readings import Decision, Go, Hold, Limits, Load, Readings, Reason
from watcher.lookout import Lookout


def test_the_share_that_the_gate_gave_last_is_kept_through_a_hold() -> None:
    said: list[Decision] = [Go(duty=0.25), Hold(Reason.CPU, "others"), Go()]

    class Keeper:
        def look(self, **_asked: object) -> tuple[Decision, Readings]:
            return said.pop(0), Readings(Load(0.5, 0.0))

    lookout = Lookout(
        cast("Any", Keeper()), Limits(), lambda: True, clock=ManualClock(), emit=Emitted()
    )
    shares = []
    while said:
        lookout.look(child=True, directory=None)
        shares.append(lookout.duty)
    assert shares == [0.25, 0.25, 1.0]
