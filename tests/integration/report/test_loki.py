"""Every line reaches Loki, in order, whatever happens to Loki, to Watcher or to the disk."""

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.loki_server import CERTIFICATE, LokiServer, script

from watcher.config import Config, parse_config
from watcher.events import emit
from watcher.report.logs import configure, configure_from, follow
from watcher.report.loki import LokiSettings, LokiSink, reach, remedy_for
from watcher.report.push import Meaning
from watcher.report.sinks import Line

GENEROUS_S = 60.0
SHORT_S = 3.0  # how long a client waits for an answer that never comes
NOW_NS = time.time_ns()


class LiveClock(ManualClock):
    """True wall time, so that what is sent is not too old; waits return at once."""

    def __init__(self) -> None:
        super().__init__(NOW_NS / 1e9)


class Patient(LiveClock):
    """Sits a pause out until somebody ends it; gathering a batch takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[bool] = []

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        if timeout_s == 1.0:
            return wake.is_set()
        self.ended.append(wake.wait(GENEROUS_S))
        return self.ended[-1]


def line(number: int, event: str = "log", **more: object) -> Line:
    data = json.dumps({"event": event, "n": number, **more}, separators=(",", ":")).encode()
    return Line(NOW_NS + number * 1000, "info", event, data, camera=f"cam{number % 2}", job="j1")


def numbers(texts: Sequence[str]) -> list[int]:
    return [json.loads(text)["n"] for text in texts]


def settings(server: LokiServer, spool: Path | None = None, **more: object) -> LokiSettings:
    base = LokiSettings(
        server.url,
        host="box",
        spool_directory=None if spool is None else str(spool),
    )
    return replace(base, **more)  # type: ignore[arg-type] # by name


def sink_to(settings: LokiSettings, emitted: Emitted | None = None) -> LokiSink:
    return LokiSink(settings, clock=LiveClock(), emit=emitted or Emitted())


def check_tally(server: LokiServer, emitted: int) -> None:
    """Every line, in order, none against Loki's limits, twice only where an answer was lost."""
    assert server.problems == []
    firsts = list(dict.fromkeys(numbers(server.lines)))
    assert firsts == list(range(emitted))
    seen: dict[tuple[int, str], list[bool]] = {}
    for one in server.stored:
        seen.setdefault((one.ts_ns, one.line), []).append(one.answer_lost)
    assert len(seen) == emitted, "sent again under another time: Loki would keep both"
    for answers in seen.values():
        assert all(answers[:-1]), "sent again although its answer had arrived"


def test_a_line_arrives_with_labels_and_structured_metadata(tmp_path: Path) -> None:
    with LokiServer() as server:
        sink = sink_to(settings(server, tmp_path / "spool", labels={"site": "barn"}))
        sink.put(line(0))
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    (stored,) = server.stored
    assert stored.line == line(0).data.decode()
    assert stored.ts_ns == line(0).ts_ns
    assert stored.metadata == (("camera", "cam0"), ("job", "j1"), ("level", "info"))
    assert server.labels == [{"service_name": "watcher", "host": "box", "site": "barn"}]
    assert server.paths == ["/loki/api/v1/push"]
    assert server.headers[0]["Content-Encoding"] == "gzip"
    assert server.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("seed", range(6))
def test_a_loki_that_does_everything_wrong_gets_every_line_once_and_in_order(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    wrongs = ["204", "204", "400", "401", "413", "429", "500", "die_mid", "die_after"]
    stalls = {3: "stall", 6: "stall_after"} if seed == 0 else {}  # each costs the time-out

    def behave(request: int, lines: int) -> str:
        if request > 60:
            return "204"
        wrong = stalls.get(request) or chance.choice(wrongs)
        return "500" if wrong == "413" and lines == 1 else wrong

    with LokiServer(behave) as server:
        emitted = Emitted()
        sink = sink_to(settings(server, tmp_path / "spool", timeout_seconds=SHORT_S), emitted)
        number = 0
        while number < 400:
            for _ in range(chance.randint(1, 40)):
                sink.put(line(number))
                number += 1
            if chance.random() < 0.5:
                sink.flush(0.02)
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    check_tally(server, number)
    refused = sum(lines for behaviour, lines in server.requests if behaviour == "400")
    assert sink.drops.total == refused, "a 400 is counted, the good entries being stored"


def test_a_loki_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    server = LokiServer().start()
    clock, emitted = LiveClock(), Emitted()
    sink = LokiSink(settings(server, tmp_path / "spool"), clock=clock, emit=emitted)
    for number in range(5):
        sink.put(line(number))
    assert sink.flush(GENEROUS_S)
    server.stop()
    clock.waits.clear()
    for number in range(5, 15):
        sink.put(line(number))
    until(lambda: len(clock.waits) > 12)
    with server:
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    check_tally(server, 15)
    pauses = [wait for wait in clock.waits if wait is not None and wait != 1.0]
    assert 0.25 <= pauses[0] <= 0.5
    assert 15.0 <= max(pauses) <= 30.0
    assert [event for event, _ in emitted.events] == ["log_delayed", "log_caught_up"]
    (delayed,) = emitted.named("log_delayed")
    assert (delayed["reason"], delayed["kept"]) == ("unreachable", "disk")
    (caught_up,) = emitted.named("log_caught_up")
    assert caught_up["lines"] == 10


def until(true: Callable[[], bool]) -> None:
    """Wait for a thread of the sink; a failure of this is a hang."""
    end = time.monotonic() + GENEROUS_S
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


def spooled(directory: Path) -> list[int]:
    """Read the spool as a person would."""
    records = b"".join(path.read_bytes() for path in sorted(directory.glob("*.spool")))
    return [json.loads(json.loads(record)[2])["n"] for record in records.splitlines()]


def test_a_restart_of_watcher_and_of_loki_in_mid_outage_loses_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    server = LokiServer(script(["204"], then="500"))
    with server:
        first = sink_to(settings(server, spool))
        first.put(line(0))
        assert first.flush(GENEROUS_S)
        for number in range(1, 50):
            first.put(line(number))
        assert first.close(GENEROUS_S) is False
    assert spooled(spool)[-49:] == list(range(1, 50))
    second = sink_to(settings(server, spool))  # nobody listens at all
    for number in range(50, 80):
        second.put(line(number))
    assert second.close(GENEROUS_S) is False
    assert spooled(spool)[-79:] == list(range(1, 80))
    server.behave = script([])
    with server:
        third = sink_to(settings(server, spool))
        third.put(line(80))
        assert third.flush(GENEROUS_S)
        assert third.close(GENEROUS_S)
    check_tally(server, 81)
    assert sink_to(settings(server, spool)).close(GENEROUS_S), "nothing is left to send"


def test_a_killed_watcher_leaves_its_lines_to_the_next_one(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    server = LokiServer().start()
    server.stop()
    code = f"""
import os, signal, time
from watcher.report.loki import LokiSettings, LokiSink
from watcher.report.sinks import Line
sink = LokiSink(LokiSettings({server.url!r}, host="box", spool_directory={str(spool)!r}))
for n in range(100):
    sink.put(Line(time.time_ns(), "info", "log", b'{{"n":%d}}' % n))
assert sink._queue.drained(30)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    with server:
        sink = sink_to(settings(server, spool))
        sink.put(line(100))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    check_tally(server, 101)


def test_a_stop_ends_a_wait_at_once_and_a_stalled_request_soon(tmp_path: Path) -> None:
    with LokiServer(script([], then="stall")) as server:
        slow = settings(server, tmp_path / "spool", timeout_seconds=60.0)
        sink = LokiSink(slow, emit=Emitted())
        sink.put(line(0))
        until(lambda: bool(server.requests))
        assert sink.close(0.3) is False
    assert spooled(tmp_path / "spool") == [0]
    with LokiServer(script([], then="500")) as server:
        clock = Patient()
        sink = LokiSink(settings(server, tmp_path / "other"), clock=clock, emit=Emitted())
        sink.put(line(0))
        until(lambda: bool(server.requests))
        assert sink.close(GENEROUS_S) is False
        assert clock.ended == [True], "the wait after the failure, ended by the stop"


def test_a_refusal_is_counted_said_once_and_never_sent_again(tmp_path: Path) -> None:
    with LokiServer(script(["400", "400"])) as server:
        emitted = Emitted()
        sink = sink_to(settings(server, tmp_path / "spool"), emitted)
        sink.put(line(0))
        assert sink.flush(GENEROUS_S)
        until(lambda: bool(emitted.named("log_dropped")))
        sink.put(line(1, event="log_dropped"))  # as the receiver would bring it back
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    assert server.requests == [("400", 1), ("400", 1)]
    assert emitted.named("log_dropped") == [
        {"where": "loki", "reason": "status_400", "count": 1, "detail": "loki says 400"}
    ]


def test_drops_that_were_not_said_yet_are_said_to_loki_at_the_stop(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with LokiServer(script(["400", "204", "400"])) as server, out.open("w") as stream:
        sink = LokiSink(settings(server, tmp_path / "spool"), clock=LiveClock())
        log = configure(stream=stream, further=[sink])
        for _ in range(3):  # refused and said; the saying; refused within the same minute
            emit("segment_closed", size_bytes=1)
            until(lambda: sink.waiting == 0 and bool(server.requests))
            assert log.flush(GENEROUS_S)
        until(lambda: len(server.requests) >= 3)
        assert log.close(GENEROUS_S)
    written = out.read_text(encoding="utf-8").splitlines()
    assert sum('"log_dropped"' in line for line in written) >= 2
    assert set(server.lines) == set(written)


def test_a_refusal_counts_what_loki_says_that_it_did_not_store(tmp_path: Path) -> None:
    says = "entry ignored, reason: 'entry too far behind', user 'fake', total ignored: 2 out of 9"
    with LokiServer(script(["400"]), says=says) as server:
        emitted = Emitted()
        sink = sink_to(settings(server, tmp_path / "spool"), emitted)
        for number in range(9):
            sink.put(line(number))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    requests = [lines for _, lines in server.requests]
    (dropped,) = emitted.named("log_dropped")
    assert dropped["count"] == min(2, requests[0])


def test_what_is_too_large_is_halved_until_it_is_taken(tmp_path: Path) -> None:
    with LokiServer(lambda _request, lines: "413" if lines > 10 else "204") as server:
        sink = sink_to(settings(server, tmp_path / "spool"))
        for number in range(100):
            sink.put(line(number))
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    check_tally(server, 100)
    assert sink.drops.total == 0


def test_a_line_that_is_always_too_large_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with LokiServer() as server:
        server.behave = script(["413"] * 3)
        emitted = Emitted()
        sink = sink_to(settings(server, tmp_path / "spool"), emitted)
        sink.put(line(0))
        assert sink.flush(GENEROUS_S)
        sink.put(line(1))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    assert numbers(server.lines) == [1]
    assert emitted.named("log_dropped")[0]["reason"] == "status_413"


def test_credentials_are_sent_mended_without_a_restart_and_never_told(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("wrong-hunter2\n", encoding="utf-8")
    emitted = Emitted()
    server = LokiServer()

    def behave(_request: int, _lines: int) -> str:
        return "204" if server.headers[-1]["Authorization"] == "Bearer right" else "401"

    server.behave = behave
    with server:
        sink = sink_to(
            settings(server, tmp_path / "spool", token_file=str(secret), tenant="farm"), emitted
        )
        sink.put(line(0))
        until(lambda: bool(emitted.named("log_delayed")))
        secret.write_text("right\n", encoding="utf-8")
        assert sink.flush(GENEROUS_S)
        secret.unlink()
        sink.put(line(1))
        until(lambda: len(emitted.named("log_delayed")) == 2)
        secret.write_text("right\n", encoding="utf-8")
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    check_tally(server, 2)
    assert server.headers[-1]["X-Scope-OrgID"] == "farm"
    first, second = emitted.named("log_delayed")
    assert (first["reason"], second["reason"]) == ("status_401", "settings")
    assert "token_file" in str(first["remedy"])
    told = repr(emitted.events).encode() + b"".join(
        path.read_bytes() for path in (tmp_path / "spool").iterdir()
    )
    assert b"hunter2" not in told


def test_basic_authentication_and_a_password_that_the_answer_repeats(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("500", encoding="utf-8")
    emitted = Emitted()
    with LokiServer(script(["404"])) as server:
        sink = sink_to(settings(server, username="watcher", password_file=str(password)), emitted)
        sink.put(line(0))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    assert server.headers[0]["Authorization"] == "Basic d2F0Y2hlcjo1MDA="
    assert "logging.loki.url" in str(emitted.named("log_delayed")[0]["remedy"])


def test_its_own_authority_and_no_other_is_trusted(tmp_path: Path) -> None:
    with LokiServer(tls=True) as server:
        emitted = Emitted()
        strict = sink_to(settings(server, tmp_path / "spool"), emitted)
        strict.put(line(0))
        until(lambda: bool(emitted.named("log_delayed")))
        assert strict.close(GENEROUS_S) is False
        sink = sink_to(settings(server, tmp_path / "spool", ca_file=str(CERTIFICATE)))
        assert sink.flush(GENEROUS_S)
        until(lambda: sink.waiting == 0 and bool(server.stored))
        sink.close(GENEROUS_S)
    check_tally(server, 1)
    assert "CERTIFICATE" in str(emitted.named("log_delayed")[0]["detail"]).upper()


def test_proxies_of_the_environment_are_used_only_when_asked_for() -> None:
    with LokiServer() as proxy, LokiServer() as server:
        environment = {name: v for name, v in os.environ.items() if "proxy" not in name.lower()}
        for asked, url in ((False, server.url), (True, "http://loki.invalid")):
            code = f"""
from watcher.report.loki import LokiSettings, LokiSink
from watcher.report.sinks import Line
import time
sink = LokiSink(LokiSettings({url!r}, host="box", use_proxy_environment={asked}))
sink.put(Line(time.time_ns(), "info", "log", b'{{"n":0}}'))
assert sink.flush(30)
sink.close(5)
"""
            subprocess.run(
                [sys.executable, "-c", code],
                check=True,
                timeout=60,
                env={**environment, "HTTP_PROXY": proxy.url},
            )
    assert server.paths == ["/loki/api/v1/push"]
    assert proxy.paths == ["http://loki.invalid/loki/api/v1/push"]


def test_the_spool_keeps_its_bound_and_says_what_went(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    server = LokiServer(script([], then="500"))
    with server:
        emitted = Emitted()
        bound = 64 * 1024
        sink = sink_to(settings(server, spool, spool_bytes=bound), emitted)
        for number in range(2000):
            sink.put(line(number, fill="x" * 200))
        assert sink._queue.drained(GENEROUS_S)
        assert sum(path.stat().st_size for path in spool.iterdir()) <= bound + 70 * 1024
        server.behave = script([])
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    arrived = numbers(server.lines)
    assert arrived == sorted(set(arrived))
    assert arrived[-1] == 1999
    assert len(arrived) + sink.drops.total == 2000
    assert {one["reason"] for one in emitted.named("log_dropped")} == {"spool_full"}
    assert sum(int(str(one["count"])) for one in emitted.named("log_dropped")) == sink.drops.total


def test_without_a_disk_the_lines_wait_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with LokiServer(script(["500"] * 5)) as server:
        sink = sink_to(settings(server, tmp_path / "file" / "spool"))
        for number in range(20):
            sink.put(line(number))
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    check_tally(server, 20)


def test_what_a_stop_finds_in_memory_alone_is_counted_and_said() -> None:
    with LokiServer(script([], then="500")) as server:
        emitted = Emitted()
        sink = sink_to(settings(server), emitted)
        for number in range(20):
            sink.put(line(number))
        assert sink.close(GENEROUS_S) is False
    assert emitted.named("log_dropped") == [{"where": "loki", "reason": "stopped", "count": 20}]


def test_a_second_process_leaves_the_spool_to_the_first(tmp_path: Path) -> None:
    with LokiServer() as server:
        service = sink_to(settings(server, tmp_path / "spool"))
        service.put(line(0))
        assert service.flush(GENEROUS_S)
        command = sink_to(settings(server, tmp_path / "spool"))
        command.put(line(1))
        assert command.flush(GENEROUS_S)
        assert command.close(GENEROUS_S)
        service.put(line(2))
        assert service.flush(GENEROUS_S)
        assert service.close(GENEROUS_S)
    check_tally(server, 3)


def test_what_a_command_left_beside_the_service_is_sent_by_the_next_service(tmp_path: Path) -> None:
    server = LokiServer(script([], then="500"))
    with server:
        service = sink_to(settings(server, tmp_path / "spool"))
        service.put(line(0))
        until(lambda: spooled(tmp_path / "spool") == [0])
        command = sink_to(settings(server, tmp_path / "spool"))
        command.put(line(1))
        assert command.close(GENEROUS_S) is False
        assert service.close(GENEROUS_S) is False
    assert spooled(tmp_path / "spool-2") == [1]
    server.behave = script([])
    with server:
        again = sink_to(settings(server, tmp_path / "spool"))
        until(lambda: len(server.stored) == 2)
        assert again.flush(GENEROUS_S)
        assert again.close(GENEROUS_S)
    check_tally(server, 2)
    assert spooled(tmp_path / "spool-2") == []


def test_what_loki_would_refuse_for_its_age_is_dropped_and_counted(tmp_path: Path) -> None:
    with LokiServer() as server:
        emitted = Emitted()
        sink = sink_to(settings(server, tmp_path / "spool"), emitted)
        old = line(0)
        sink.put(replace(old, ts_ns=old.ts_ns - 8 * 86_400 * 10**9))
        sink.put(line(1))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    assert numbers(server.lines) == [1]
    assert server.problems == []
    assert emitted.named("log_dropped") == [{"where": "loki", "reason": "too_old", "count": 1}]


def test_a_clock_that_is_set_back_and_forth_breaks_no_limit(tmp_path: Path) -> None:
    chance = random.Random(7)
    with LokiServer() as server:
        sink = sink_to(settings(server, tmp_path / "spool"))
        for number in range(200):
            step_ns = chance.choice([0, 0, -1, 1, -600, 300, -4000, -90_000]) * 10**9
            sink.put(replace(line(number), ts_ns=NOW_NS + step_ns))
            if number % 20 == 0:
                assert sink.flush(GENEROUS_S)
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    check_tally(server, 200)


def test_times_that_loki_refused_bend_no_later_ones(tmp_path: Path) -> None:
    """A clock ten hours ahead: Loki refuses. Once it is right, true times are sent."""
    ahead_ns = 10 * 3600 * 10**9
    with LokiServer(script(["400"])) as server:
        server.limits.now_ns = lambda: NOW_NS
        clock = LiveClock()
        clock.set_wall((NOW_NS + ahead_ns) / 1e9)
        sink = LokiSink(settings(server, tmp_path / "spool"), clock=clock, emit=Emitted())
        sink.put(replace(line(0), ts_ns=NOW_NS + ahead_ns))
        assert sink.flush(GENEROUS_S)
        clock.set_wall(NOW_NS / 1e9)
        sink.put(line(1))
        assert sink.flush(GENEROUS_S)
        sink.close(GENEROUS_S)
    assert [one.ts_ns for one in server.stored] == [line(1).ts_ns]


def test_lines_of_many_threads_keep_distinct_times(tmp_path: Path) -> None:
    with LokiServer() as server:
        sink = sink_to(settings(server, tmp_path / "spool"))

        def put_some(first: int) -> None:
            for number in range(first, first + 50):
                sink.put(replace(line(number), ts_ns=NOW_NS))

        threads = [threading.Thread(target=put_some, args=(50 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sink.flush(GENEROUS_S)
        assert sink.close(GENEROUS_S)
    stamps = [one.ts_ns for one in server.stored]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    assert sorted(numbers(server.lines)) == list(range(200))


@pytest.mark.parametrize(
    ("behaviour", "meaning", "reason"),
    [
        ("204", Meaning.TAKEN, "status_204"),
        ("400", Meaning.TAKEN, "status_400"),
        ("401", Meaning.MISCONFIGURED, "status_401"),
        ("503", Meaning.LATER, "status_503"),
        ("stall", Meaning.LATER, "timeout"),
    ],
)
def test_a_look_at_loki_sends_nothing(behaviour: str, meaning: Meaning, reason: str) -> None:
    with LokiServer(script([behaviour])) as server:
        answer = reach(settings(server, timeout_seconds=0.5 if behaviour == "stall" else 10.0))
    assert (answer.meaning, answer.reason) == (meaning, reason)
    assert server.stored == []
    assert remedy_for(answer)
    assert reach(settings(server)).reason == "unreachable"


def test_a_changed_loki_gets_what_the_old_one_had_not_taken(tmp_path: Path) -> None:
    def told(server: LokiServer) -> Config:
        logging = {"loki": {"url": server.url, "timeout_seconds": 5}}
        return parse_config(
            json.dumps({"recordings": {"cam1": "/srv/cam1"}, "logging": logging}), "test.yaml"
        )

    with (tmp_path / "out").open("w") as stream, LokiServer() as new:
        with LokiServer(script([], then="500")) as old:
            log = configure_from(told(old), str(tmp_path), stream=stream)
            emit("segment_closed", size_bytes=1)
            until(lambda: bool(old.requests))
            follow(log, told(old), told(new), str(tmp_path))
            emit("segment_closed", size_bytes=2)
            follow(log, told(new), told(new), str(tmp_path))
            until(lambda: len(new.stored) >= 2)
        assert log.close(GENEROUS_S)
    assert sorted(json.loads(line)["size_bytes"] for line in new.lines) == [1, 2]
    assert not (tmp_path / "loki-spool-2").exists()


def test_the_whole_way_from_an_event_to_loki(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with LokiServer() as server, out.open("w", encoding="utf-8") as stream:
        log = configure(stream=stream, further=[LokiSink(settings(server, tmp_path / "spool"))])
        emit("segment_closed", camera="cam1", path="/a\udcff.mp4", size_bytes=1)
        emit("service_stopped", reason="test", uptime_s=1.0)
        assert log.close()
    assert server.lines == out.read_text(encoding="utf-8").splitlines()
    assert [dict(one.metadata) for one in server.stored] == [
        {"camera": "cam1", "level": "info"},
        {"level": "info"},
    ]
