"""The real service's log to a Loki that misbehaves, over a stop, a kill and an outage of Loki."""

import json
import random
import signal
import threading
from collections import Counter

import yaml
from support.box import Box
from support.log_lines import problems
from support.loki_server import LokiServer

from watcher.report.loki import LokiSettings, LokiSink

PATIENCE_S = 120.0
WRONGS = ["204", "204", "400", "401", "413", "429", "500", "503", "die_mid", "die_after"]


class Run:
    """One run of `watcher run`, its lines as they come."""

    def __init__(self, box: Box) -> None:
        self.process = box.process("run")
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.decode().rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, event: str, times: int = 1) -> None:
        def came() -> bool:
            return [json.loads(line)["event"] for line in self.lines].count(event) >= times

        with self._changed:
            assert self._changed.wait_for(came, PATIENCE_S), self.lines

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def spooled(box: Box) -> str:
    spool = box.state / "loki-spool"
    return "".join(path.read_text(encoding="utf-8") for path in sorted(spool.glob("*.spool")))


def configure(box: Box, server: LokiServer) -> None:
    box.write_config()
    whole = yaml.safe_load(box.config_path.read_text(encoding="utf-8"))
    whole["logging"] = {"format": "json", "loki": {"url": server.url}}
    box.config_path.write_text(yaml.safe_dump(whole), encoding="utf-8")


def test_every_line_of_a_real_night_reaches_loki(box: Box) -> None:
    chance = random.Random(5)

    def behave(_request: int, lines: int) -> str:
        wrong = chance.choice(WRONGS)
        return "500" if wrong == "413" and lines == 1 else wrong

    server = LokiServer(behave).start()
    configure(box, server)
    for number in range(2):
        box.record("cam1", f"{number}.mp4", age_days=9 + number)
    (box.top / "cam2" / "no video.mp4").write_bytes(b"text")
    first = Run(box)
    first.wait_for("transcode_finished", 2)
    server.stop()
    assert first.end(signal.SIGTERM) == 0
    assert "service_stopped" in spooled(box)
    second = Run(box)
    second.wait_for("window_opened")
    box.wait_until(lambda: spooled(box).count("window_opened") >= 1)
    box.wait_until(lambda: all(json.loads(line)["ts"] in spooled(box) for line in second.lines))
    assert second.end(signal.SIGKILL) == -9
    server.behave = lambda _request, _lines: "204"
    with server:
        third = Run(box)
        third.wait_for("window_opened")
        assert third.end(signal.SIGTERM) == 0
        spool = str(box.state / "loki-spool")
        rest = LokiSink(LokiSettings(server.url, spool_directory=spool))
        box.wait_until(lambda: any('"service_stopped"' in line for line in server.lines[-3:]))
        assert rest.close(PATIENCE_S)
    written = first.lines + second.lines + third.lines
    arrived = list(dict.fromkeys(server.lines))
    tally = {
        "emitted": len(written),
        "received": len(server.stored),
        "lost": len(set(written) - set(arrived)),
        "repeated": len(server.stored) - len(arrived),
        "answers": dict(Counter(behaviour for behaviour, _ in server.requests)),
    }
    print(f"\na real night: {tally}")  # noqa: T201 - the tally is for whoever asks with -s
    assert [line for line in arrived if line in set(written)] == written
    assert problems(written) == []
    assert server.problems == []
    finished = [one for one in server.stored if '"event":"transcode_finished"' in one.line]
    assert {"camera", "job", "level"} <= set(dict(finished[0].metadata))
