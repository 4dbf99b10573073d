"""A night of every event there is, to a Loki that comes and goes, by a Watcher that is killed."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.log_lines import problems
from support.loki_server import LokiServer

from watcher.events import CATALOGUE, emit
from watcher.report.logs import configure
from watcher.report.loki import LokiSettings, LokiSink

GENEROUS_S = 60.0
WRONGS = ["204", "204", "400", "401", "413", "429", "500", "503", "die_mid", "die_after"]


class QuickClock(ManualClock):
    """True wall time; waits return at once."""

    def __init__(self) -> None:
        super().__init__(time.time())

    def wall_s(self) -> float:
        return time.time()


def a_value(field: str, chance: random.Random) -> object:
    if field.endswith(("_s", "_percent", "_bytes")):
        return chance.choice([0, 1.5, 2**40, 2**70, None])
    return chance.choice(["cpu", "é\udcff\n", b"\xff", {"cpu": 1}, ["a"], None, "x" * 20_000])


def emit_anything(number: int, chance: random.Random) -> None:
    """Emit one event of the catalogue with every field, its number in `path`."""
    kind = chance.choice(list(CATALOGUE.values()))
    fields = {field: a_value(field, chance) for field in kind.fields}
    emit(kind.name, path=f"/srv/{number}", camera="cam1", job=f"job{number % 7}", **fields)


def tally(server: LokiServer, emitted: int) -> dict[str, int]:
    """Count what came of *emitted* lines with numbered paths."""
    numbers = [
        int(path.removeprefix("/srv/"))
        for path in (str(json.loads(one.line).get("path")) for one in server.stored)
        if path.startswith("/srv/")
    ]
    once = list(dict.fromkeys(numbers))
    lost_answers = sum(behaviour == "die_after" for behaviour, _ in server.requests)
    return {
        "emitted": emitted,
        "arrived": len(once),
        "lost": emitted - len(once),
        "out_of_order": sum(b < a for a, b in itertools.pairwise(once)),
        "repeated": len(numbers) - len(once),
        "requests": len(server.requests),
        "answers_lost": lost_answers,
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_night_to_a_loki_that_misbehaves_and_restarts(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)

    def behave(_request: int, lines: int) -> str:
        wrong = chance.choice(WRONGS)
        return "500" if wrong == "413" and lines == 1 else wrong

    server = LokiServer(behave).start()
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        sink = LokiSink(
            LokiSettings(server.url, host="box", spool_directory=str(tmp_path / "spool")),
            clock=QuickClock(),
        )
        log = configure(stream=stream, further=[sink])
        for number in range(600):
            emit_anything(number, chance)
            if number in (200, 400):
                server.stop()
            if number in (250, 450):
                server.start()
            if chance.random() < 0.05:
                sink.flush(0.01)
        server.behave = lambda _request, _lines: "204"
        assert sink.flush(GENEROUS_S)
        assert log.close(GENEROUS_S)
    server.stop()
    counted = tally(server, 600)
    print(f"\nseed {seed}: {counted}")  # noqa: T201 - the tally is for whoever asks with -s
    assert (counted["lost"], counted["out_of_order"]) == (0, 0)
    assert server.problems == []
    written = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert problems(line for line in written if '"event":"log",' not in line) == []
    assert {one.line for one in server.stored} >= {line for line in written if "/srv/" in line}


def test_a_watcher_killed_again_and_again_loses_nothing_it_had_kept(tmp_path: Path) -> None:
    """What had reached the spool arrives, in order."""
    spool = tmp_path / "spool"
    chance = random.Random(3)
    with LokiServer() as server:
        server.behave = lambda _request, _lines: chance.choice(["204", "500", "die_after"])
        kept = -1
        for _ in range(4):
            code = f"""
import json, sys, time
from watcher.clock import SystemClock
from watcher.report.loki import LokiSettings, LokiSink
from watcher.report.sinks import Line
class Quick(SystemClock):
    def wait(self, wake, timeout_s):
        return super().wait(wake, min(timeout_s, 0.005))
settings = LokiSettings({server.url!r}, host="box", spool_directory={str(spool)!r})
sink = LokiSink(settings, clock=Quick())
n = {kept + 1}
while True:
    data = json.dumps({{"path": f"/srv/{{n}}"}}).encode()
    sink.put(Line(time.time_ns(), "info", "log", data))
    if n % 20 == 0 and (sink.flush(0.05) or sink._queue.drained(30)):
        print(n, flush=True)
    n += 1
"""
            child = subprocess.Popen(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
            )
            assert child.stdout
            for _ in range(chance.randint(5, 30)):
                last = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
            child.stdout.close()
            child.wait(GENEROUS_S)
            kept = max(last, last_spooled(spool))
        server.behave = lambda _request, _lines: "204"
        settings = LokiSettings(server.url, host="box", spool_directory=str(spool))
        sink = LokiSink(settings, clock=QuickClock())
        assert sink.flush(GENEROUS_S) or sink.waiting == 0
        assert sink.close(GENEROUS_S)
    counted = tally(server, kept + 1)
    print(f"\nkilled four times: {counted}")  # noqa: T201 - as above
    assert (counted["lost"], counted["out_of_order"]) == (0, 0)


def last_spooled(spool: Path) -> int:
    """Give the number of the last whole record, which the next process must go on from."""
    records = b"".join(path.read_bytes() for path in sorted(spool.glob("*.spool"))).splitlines()
    numbers = [-1]
    for record in records:
        try:
            numbers.append(int(json.loads(json.loads(record)[2])["path"].removeprefix("/srv/")))
        except (ValueError, KeyError):
            continue
    return max(numbers)
