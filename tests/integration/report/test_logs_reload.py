"""A running service takes a changed `logging:` up with SIGHUP."""

import json
import signal
from pathlib import Path

import yaml
from support.box import Box

PATIENCE_S = 120.0


def with_logging(box: Box, **logging: object) -> None:
    box.write_config()
    whole = yaml.safe_load(box.config_path.read_text(encoding="utf-8"))
    whole["logging"] = logging
    box.config_path.write_text(yaml.safe_dump(whole), encoding="utf-8")


def events(lines: list[str]) -> list[str]:
    return [json.loads(line)["event"] for line in lines]


def test_a_reload_moves_the_log_to_the_file_that_the_configuration_names(box: Box) -> None:
    file = Path(box.top / "watcher.log")
    with_logging(box, format="json")
    process = box.process("run")
    assert process.stdout
    told: list[str] = []
    while "window_opened" not in events(told):
        told.append(process.stdout.readline().decode())
    with_logging(box, format="json", file=str(file))
    process.send_signal(signal.SIGHUP)
    box.wait_until(lambda: file.exists() and "config_reloaded" in file.read_text("utf-8"))
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, b"")
    moved = file.read_text(encoding="utf-8").splitlines()
    assert "service_stopped" in events(moved)
    assert "service_stopped" not in events(rest.decode().splitlines())
