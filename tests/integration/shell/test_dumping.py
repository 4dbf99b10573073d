"""Index dumps take their time in a thread of their own: nobody else waits for one."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.box import Box

from watcher.clock import SystemClock
from watcher.control import StateDirectory
from watcher.dumping import Dumping
from watcher.errors import WatcherError
from watcher.segments.dump import DumpFailed
from watcher.segments.entries import Item
from watcher.segments.index import SegmentIndex


class SlowIndex:
    """Keeps the first dump of an index from being written until it may go on."""

    def __init__(self, index: SegmentIndex) -> None:
        self.writing, self.go_on, self.begun = threading.Event(), threading.Event(), 0
        self._slices = index.slices
        index.slices = self.slices  # type: ignore[method-assign]

    def slices(self, size: int = 2_000) -> Iterator[list[Item]]:
        if threading.current_thread().name == "watcher-dump":  # others count it for the forecast
            self.begun += 1
            self.writing.set()
            assert self.go_on.wait(60)
        return self._slices(size)

    def go_on_when(self, box: Box, what: Callable[[], bool]) -> None:
        box.wait_until(what)
        self.go_on.set()


@contextmanager
def asking(box: Box) -> "Iterator[Callable[[str], Future[Mapping[str, Any]]]]":
    state = StateDirectory(box.state)
    with ThreadPoolExecutor(4) as pool:
        yield lambda verb: pool.submit(state.ask, verb, within_s=60)


def test_no_question_waits_for_a_dump_and_who_asks_meanwhile_shares_the_next(box: Box) -> None:
    box.write_config()
    box.record("cam1", "a.mp4")
    with box.service(enabled=False) as service, asking(box) as ask:
        slow = SlowIndex(service.watch.index)
        dumps = [ask("dump")]
        assert slow.writing.wait(60)
        dumps += [ask("dump"), ask("dump")]
        box.wait_until(lambda: len(service.dumping._waiting) == 2)
        code, said, _ = box.command("stats")
        assert not any(one.done() for one in dumps)
        slow.go_on.set()
        paths = {os.fsdecode(bytes.fromhex(one.result(60)["path"])) for one in dumps}
    assert code == 0
    assert "only a running service knows" not in said
    assert paths == {str(box.state / "index-dump.jsonl")}
    assert slow.begun == 2
    assert len(Path(paths.pop()).read_text(encoding="utf-8").splitlines()) == 2


def test_a_stop_gives_up_the_dump_that_is_being_written(box: Box) -> None:
    with asking(box) as ask:
        with box.service(enabled=False) as service:
            slow = SlowIndex(service.watch.index)
            box.record("cam1", "a.mp4")
            box.emitted.wait_for("segment_closed")
            dump = ask("dump")
            assert slow.writing.wait(60)
            worker = service.dumping._worker
            threading.Thread(target=slow.go_on_when, args=(box, lambda: worker.stopping)).start()
        assert "the service is stopping" in dump.result(60)["error"]
    assert not [one.name for one in box.state.iterdir() if "index-dump" in one.name]
    assert not [one for one in threading.enumerate() if one.name == "watcher-dump"]


Came = str | WatcherError


def heard(dumping: Dumping) -> "Future[Came]":
    future: Future[Came] = Future()
    dumping.ask(future.set_result)
    return future


def test_whoever_asks_after_the_end_is_told_at_once() -> None:
    dumping = Dumping(lambda _stopping: "/dump", SystemClock(), lambda *_told: None)
    assert heard(dumping).result(60) == "/dump"
    dumping.stop()
    late = heard(dumping)
    assert isinstance(late.result(0), DumpFailed)


@pytest.mark.parametrize("error", [DumpFailed("state_dir", "full"), RuntimeError("a fault")])
def test_a_dump_that_fails_is_answered_and_the_next_one_is_written(error: Exception) -> None:
    wrong, told = [error], list[Exception]()

    def write(_stopping: Callable[[], bool]) -> str:
        if wrong:
            raise wrong.pop()
        return "/dump"

    dumping = Dumping(write, SystemClock(), lambda _where, error: told.append(error))
    came = heard(dumping).result(60)
    assert isinstance(came, DumpFailed)
    assert heard(dumping).result(60) == "/dump"
    dumping.stop()
    assert told == ([] if isinstance(error, DumpFailed) else [error])
