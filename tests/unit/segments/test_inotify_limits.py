"""What is advised where one of the kernel's inotify limits is reached."""

import resource
from pathlib import Path

import pytest

from watcher.segments.inotify import limit, remedy


def limits(where: Path, **values: int) -> Path:
    for name, value in values.items():
        (where / name).write_text(f"{value}\n", encoding="ascii")
    return where


def test_a_short_queue_is_to_be_made_longer_and_the_service_restarted(tmp_path: Path) -> None:
    """The kernel reads that limit when an instance is made."""
    advice = remedy("max_queued_events", limits(tmp_path, max_queued_events=16_384))
    assert "is 16384; set it to 131072" in advice
    assert advice.endswith("run 'sysctl --system', then restart the service")


@pytest.mark.parametrize("reached", [131_072, 1_000_000])
def test_a_queue_that_is_long_enough_is_not_to_be_doubled(tmp_path: Path, reached: int) -> None:
    advice = remedy("max_queued_events", limits(tmp_path, max_queued_events=reached))
    assert f"is {reached}, which is as much as is advised" in advice
    assert "set it" not in advice
    assert "restart the service" in advice


def test_watches_that_are_used_up_are_to_be_doubled_whatever_their_number(tmp_path: Path) -> None:
    advice = remedy("max_user_watches", limits(tmp_path, max_user_watches=8_192))
    assert "is 8192; set it to 1048576" in advice
    advice = remedy("max_user_watches", limits(tmp_path, max_user_watches=1_048_576))
    assert "is 1048576; set it to 2097152" in advice
    assert "restart" not in advice


def test_no_more_instances_may_as_well_be_no_more_descriptors(tmp_path: Path) -> None:
    advice = remedy("max_user_instances", limits(tmp_path, max_user_instances=128))
    assert "is 128; set it to 1024" in advice
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert f"as many files open as it may ({most}): raise LimitNOFILE=" in advice


def test_a_kernel_that_does_not_tell_is_advised_all_the_same(tmp_path: Path) -> None:
    assert limit("max_user_watches", tmp_path) is None
    assert "set it to 1048576" in remedy("max_user_watches", tmp_path)
