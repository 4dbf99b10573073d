"""The cameras as they are at this moment, for a command that runs beside the service or without it.

The same walk and the same judgement as the observer's, with no event to follow it and no watch to
put up: `transcode-all`, `restore` and `cleanup` look once, and go by what they see then.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.segments.changes import Changes
from watcher.segments.files import Hooks
from watcher.segments.forest import Forest
from watcher.segments.index import SegmentIndex
from watcher.segments.roots import check_root
from watcher.segments.scan import read_pending, without_collector
from watcher.segments.tree import Root, WatchedCamera, root_of


def survey(
    cameras: Iterable[WatchedCamera],
    index: SegmentIndex,
    *,
    sidecar_of: Callable[[str], str | None],
    hooks: Hooks | None = None,
    clock: Clock | None = None,
    emit: Emit = events.emit,
) -> dict[str, str]:
    """Walk every camera once into *index*; each camera's root: present, or what is wrong."""
    forest = Forest(
        index,
        Changes(emit),
        sidecar_of=sidecar_of,
        hooks=hooks or Hooks(),
        clock=clock or SystemClock(),
        later=_never,
        wake=_nothing,
        check_root=_nobody,
    )
    roots = [_unwatched(camera) for camera in cameras]
    with without_collector(index):
        for root in roots:
            check_root(forest, root)
        read_pending(forest, _no)
    return {root.camera: root.state for root in roots}


def _unwatched(camera: WatchedCamera) -> Root:
    return replace(root_of(camera), polled=True)


def _never(_job: Callable[[], None], _delay_s: float) -> None:
    """Nothing comes later: there are no events."""


def _nobody(_root: Root) -> None:
    """A camera that goes away meanwhile has been looked at."""


def _nothing() -> None:
    """What is pending is read by the caller."""


def _no() -> bool:
    return False
