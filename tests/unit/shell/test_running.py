"""What runs beside a job, and what the kernel keeps of it."""

import itertools
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.errors import Halt
from watcher.foreman import LOOK_EVERY_S, STUCK_AFTER_S, Foreman
from watcher.gate.readings import Decision, Go
from watcher.gate.window import Window
from watcher.running import Running
from watcher.settings import Transcoding
from watcher.transcode.leash import Leash


@pytest.mark.parametrize("beside_a_job", [True, False])
def test_a_deletion_that_the_kernel_keeps_is_left_behind_and_what_stood_for_it_goes_on(
    beside_a_job: bool,
) -> None:
    """In a window that never closes nothing else would ever end the wait."""
    clock, emitted, hangs = ManualClock(), Emitted(), threading.Event()
    foreman, errands = Foreman(clock, emitted), Foreman(clock, emitted)
    lookout = SimpleNamespace(hold=None, duty=1.0)
    running = Running(
        Transcoding(),
        Window.parse("always", "UTC"),
        cast(
            "Any",
            SimpleNamespace(
                foreman=foreman, errands=errands, lookout=lookout, enabled=lambda: True
            ),
        ),
        reach=cast("Any", None),
        urgent=lambda: None,
        clock=clock,
    )
    looks, begun = itertools.count(), threading.Event()

    def look() -> Decision:
        assert begun.wait(60)
        assert next(looks) < 3 * STUCK_AFTER_S / LOOK_EVERY_S, "it is waited for without end"
        return Go()

    def work(leash: Leash) -> None:
        leash.check()
        begun.set()
        hangs.wait(60)

    def delete() -> None:
        if beside_a_job:
            running.aside(work, look)
        else:
            running.oversee(work, look, running.deletion_ends)

    try:
        with pytest.raises(Halt) as halt:
            delete()
        assert halt.value.reason == "job_stuck"
    finally:
        hangs.set()
        foreman.close()
        errands.close()
