"""What a log event costs the thread that tells it, and what the push to Loki costs the machine."""

# ruff: noqa: T201 - the figures are what a benchmark is for

import gc
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.loki_server import LokiServer

from watcher.clock import SystemClock
from watcher.events import emit
from watcher.report.logs import LogSettings, configure
from watcher.report.loki import LokiSettings, LokiSink

EVENTS = 20_000
PATH = "/srv/recordings/cam1/2026/11/23/cam1_2026-11-23_02-00-00.mp4"


def each_us(what: Callable[[int], object], count: int = EVENTS) -> float:
    """Measure *what* in microseconds a call, in CPU time of this thread."""
    gc.collect()
    began = time.thread_time()
    for number in range(count):
        what(number)
    return (time.thread_time() - began) / count * 1e6


def an_event(number: int) -> None:
    emit("segment_closed", camera="cam1", path=PATH, size_bytes=number)


@contextmanager
def configured(out: Path, **settings: object) -> Iterator[None]:
    """Log into a file for the length of a block."""
    with out.open("w", encoding="utf-8") as stream:
        log = configure(LogSettings(**settings), stream=stream)  # type: ignore[arg-type] # by name
        yield
        log.close(30)


@pytest.mark.bench
def test_cost_of_an_event(tmp_path: Path) -> None:
    record = logging.getLogger("apscheduler.scheduler")
    failure = ValueError("something")
    cases: dict[str, tuple[dict[str, object], Callable[[int], object]]] = {
        "an event": ({}, an_event),
        "an event below the level": ({"level": "error"}, an_event),
        "a name that is not UTF-8": (
            {},
            lambda _: emit("segment_closed", camera="cam1", path=PATH + "\udcff", size_bytes=1),
        ),
        "with an exception": (
            {},
            lambda _: emit("unexpected", where="x", detail="y", exc_info=failure),
        ),
        "a library's record": ({}, lambda number: record.error("job %s", number)),
    }
    plain_us = each_us(lambda number: json.dumps({"path": PATH, "size_bytes": number}))
    print(f"\njson.dumps of two fields, to compare: {plain_us:.1f} us")
    for name, (settings, what) in cases.items():
        with configured(tmp_path / "out", **settings):
            cost_us = each_us(what, 5000)
        print(f"{name}: {cost_us:.1f} us, {cost_us / plain_us:.1f} times json.dumps")


@pytest.mark.bench
def test_cost_of_the_push(tmp_path: Path) -> None:
    with LokiServer() as server, (tmp_path / "out").open("w", encoding="utf-8") as stream:
        sink = LokiSink(LokiSettings(server.url, host="box", spool_directory=str(tmp_path / "s")))
        log = configure(stream=stream, further=[sink])
        began_s, cpu = time.monotonic(), os.times()
        cost_us = each_us(an_event)
        sink.flush(120)
        wall_s, now = time.monotonic() - began_s, os.times()
        log.close(30)
    cpu_us = (now.user + now.system - cpu.user - cpu.system) / EVENTS * 1e6
    assert len(server.stored) == EVENTS
    print(f"\nwith a push to Loki: {cost_us:.1f} us in the calling thread")
    print(f"spool, gzip, HTTP and the test's own server: {cpu_us:.1f} us an event of all threads")
    print(f"{EVENTS} events delivered in {wall_s:.1f} s, {len(server.requests)} requests")


@pytest.mark.bench
def test_a_blocked_consumer_costs_no_more() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream, os.fdopen(read, "rb"):
        log = configure(stream=stream)
        worst_s, clock = 0.0, SystemClock()
        for number in range(EVENTS):
            before_s = clock.monotonic_s()
            an_event(number)
            worst_s = max(worst_s, clock.monotonic_s() - before_s)
        log.close(0.1)
    print(f"\nnobody reads: the slowest of {EVENTS} events took {worst_s * 1000:.2f} ms")
