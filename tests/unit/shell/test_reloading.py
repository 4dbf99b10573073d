"""What of a changed configuration does not wait for the running file."""

from watcher.reloading import AT_ONCE, taken_at_once, waits
from watcher.settings import Transcoding


def test_limits_window_and_switch_are_taken_and_how_a_copy_is_made_is_not() -> None:
    before = Transcoding()
    after = Transcoding(
        enabled=False, max_cpu_percent=40, run_schedule="always", quality=28, preset="slow"
    )
    taken = taken_at_once(before, after)
    assert (taken.enabled, taken.max_cpu_percent, taken.run_schedule) == (False, 40, "always")
    assert (taken.quality, taken.preset) == (before.quality, before.preset)


def test_what_waits_is_named_key_by_key() -> None:
    changed = ["logging.level", "recordings.cam2.path", "transcoding.enabled", "transcoding.preset"]
    assert waits(changed) == ["recordings.cam2.path", "transcoding.preset"]


def test_every_key_that_is_taken_at_once_exists() -> None:
    assert set(Transcoding.model_fields) > AT_ONCE
