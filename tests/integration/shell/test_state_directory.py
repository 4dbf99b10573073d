"""The state directory vanishes under a running service: nothing is lost, and it works on."""

import shutil

from support.box import Box
from support.clock import SetClock
from support.probing import codec_of

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


def test_it_is_made_anew_and_the_night_goes_on(box: Box) -> None:
    box.write_config()
    done = box.record("cam1", "a.mp4")
    with box.service() as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        shutil.rmtree(box.state.rename(box.top / "gone"))  # at once: the service writes there
        service.tick()
        path = box.record("cam1", "b.mp4", gop=10)
        box.emitted.wait_for("segment_closed")
        service.tick()
        box.emitted.wait_for("transcode_finished", 2)
        assert service.state.service_lives()
        assert box.command("disable")[0] == 0, "commands reach it in the new directory"
        assert not service.enabled()
    assert codec_of(path) == "hevc"
    assert box.files("cam1") == {
        f"{name}{ending}"
        for name in ("a.mp4", "b.mp4")
        for ending in ("", ".original", ".transcoded")
    }
    assert box.command("restore", done)[0] == 0
    assert codec_of(done) == "h264"


def test_a_job_that_it_vanishes_from_is_ended_all_the_same(box: Box) -> None:
    """The lock's file goes while it is held; what is swapped is swapped."""
    box.write_config()
    path = box.record("cam1", "a.mp4")
    box.emitted.on("transcode_started", lambda: shutil.rmtree(box.state))
    with box.service():
        box.emitted.wait_for("transcode_finished")
    assert codec_of(path) == "hevc"
    assert box.files("cam1") == {"a.mp4", "a.mp4.original", "a.mp4.transcoded"}


def test_an_originals_time_is_not_shortened_by_it(box: Box) -> None:
    """What only the ledger knew is begun anew: later, never earlier."""
    box.write_config()
    box.record("cam1", "a.mp4")
    clock = SetClock()
    with box.service(clock=clock) as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
    shutil.rmtree(box.state)
    clock.set_wall(365 * DAY_S)
    clock.boot = "boot-2"
    with box.service(clock=clock) as service:
        originals = service.watch.tender.originals
        assert (len(originals), originals.due(), originals.releasable()) == (1, [], [])
        clock.advance(DAY_S - HOUR_S)
        service.tick()
        assert originals.due() == []
        clock.advance(2 * HOUR_S)
        service.tick()
        box.emitted.wait_for("original_deleted")
    assert box.files("cam1") == {"a.mp4"}
