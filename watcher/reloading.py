"""What of a changed configuration is in force at once, though a file is being worked on. Pure.

At whose expense and for how long it is worked on may be changed under a running job, and so may
whether; how the copy is made may not, for it was begun and is proven by the old values. What can't
be changed at once waits for the running file, and that is told.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from watcher.config import Config, changed_keys
from watcher.errors import Halt
from watcher.settings import Transcoding

AT_ONCE: Final = frozenset(
    {
        "critical_free_space_gb",
        "enabled",
        "max_cpu_percent",
        "max_gpu_percent",
        "max_held_gb",
        "max_io_wait",
        "max_pause_minutes",
        "min_free_space_gb",
        "overrun_minutes",
        "release_originals_early",
        "run_schedule",
        "stop_timeout_seconds",
        "timezone",
    }
)
"""Keys of the `transcoding` section that a running job does not put off."""

_SECTION: Final = "transcoding."


def changes(before: Config, after: Config) -> Sequence[str]:
    """Name the keys that differ; raises `Halt` where no reload can change one of them."""
    changed = changed_keys(before, after)
    if "state_dir" in changed:
        raise Halt("state_dir", "another state_dir needs a restart; the old values hold")
    return changed


def taken_at_once(before: Transcoding, after: Transcoding) -> Transcoding:
    """Give *before* with what of *after* may change under a running job."""
    return before.model_copy(update={name: getattr(after, name) for name in AT_ONCE})


def waits(changed: Iterable[str]) -> list[str]:
    """Name the changed keys that wait for the running file; the log is followed at once, too."""
    return [
        key
        for key in changed
        if key.removeprefix(_SECTION) not in AT_ONCE and not key.startswith("logging.")
    ]
