"""The README's "Install for good", typed line by line on a Debian that systemd has booted.

It is made by debootstrap and booted by systemd-nspawn, with the unit, its slice and its hardening
as they come. `tox -e install`; needs root, the network and five minutes. Written as one story,
because each step stands on the one before.
"""

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip
from support.debian import Debian, booted

REPOSITORY = Path(__file__).parents[3]
CONFIG = """
recordings: {yard: /srv/recordings/yard}
transcoding:
  run_schedule: always
  codec: libx265
  preset: ultrafast
  max_cpu_percent: 100   # whoever runs this has other things to do as well
  max_io_wait: 100
  allow_non_exchange: true   # the scratch disk may be one without a journal
  critical_free_space_gb: 1
  min_free_space_gb: 1
"""
WEEK_S = 9 * 86_400

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with booted(tmp_path_factory.mktemp("install") / "debian") as running:
        yield running


def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> bool:
    wake = threading.Event()
    for _ in range(round(timeout_s / 0.5)):
        if condition():
            return True
        wake.wait(0.5)
    return False


def lines_of_the_readme() -> list[str]:
    section = (REPOSITORY / "README.md").read_text("utf-8").split("## Install for good")[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [line.partition("   #")[0] for line in block[1].splitlines()]


def events(debian: Debian, *names: str) -> list[dict[str, Any]]:
    said = debian.do("journalctl", "-u", "watcher", "-o", "cat", "--no-pager").splitlines()
    found = [json.loads(line) for line in said if line.startswith("{")]
    return [one for one in found if one["event"] in names]


def shown(debian: Debian, name: str) -> str:
    return debian.do("systemctl", "show", "-p", name, "--value", "watcher").strip()


def record(debian: Debian, name: str, seconds: float) -> Path:
    """What the recorder left behind nine days ago."""
    directory = debian.at("/srv/recordings/yard")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    shutil.copyfile(clip(seconds=seconds, crf=8), path)
    aged_s = path.stat().st_mtime - WEEK_S
    os.utime(path, (aged_s, aged_s))
    debian.do("chown", "-R", "watcher:watcher", "/srv/recordings")
    return path


def test_the_readmes_lines_install_a_service_that_keeps_its_promises(debian: Debian) -> None:
    install(debian)
    runs_in_its_slice(debian)
    transcodes(debian)
    is_switched_by_a_member_of_the_group(debian)
    survives_a_kill(debian)
    keeps_the_old_values_where_the_new_ones_are_wrong(debian)
    stops_and_says_so(debian)
    does_not_try_wrong_values_again(debian)


def install(debian: Debian) -> None:
    shutil.copytree(
        REPOSITORY,
        debian.at("/root/watcher"),
        ignore=shutil.ignore_patterns(".git", ".venv", ".tox", "__pycache__"),
    )
    for line in lines_of_the_readme():
        if "systemctl enable" in line:  # "then name your cameras in it"
            record(debian, "old.mp4", 4)
            debian.at("/etc/watcher/watcher.yaml").write_text(CONFIG, "utf-8")
        done = debian.ask("sh", "-c", f"cd /root/watcher && {line}", timeout_s=900)
        is_kernels = "sysctl --system" in line  # no container may set these
        assert done.returncode == 0 or is_kernels, f"{line}\n{done.stdout}\n{done.stderr}"
    assert shown(debian, "ActiveState") == "active"


def runs_in_its_slice(debian: Debian) -> None:
    group = shown(debian, "ControlGroup")
    assert group.endswith("/watcher.slice/watcher.service")
    idle = f"/sys/fs/cgroup{group}/../cpu.idle"
    told = debian.ask("cat", idle)
    if told.returncode:
        print("\nNOT SHOWN HERE: version 1 of control groups has the CPU controller")  # noqa: T201 - the proof
    else:
        assert told.stdout.strip() == "1"
    uid = debian.do("stat", "-c", "%U", f"/proc/{shown(debian, 'MainPID')}").strip()
    assert uid == "watcher"


def transcodes(debian: Debian) -> None:
    assert until(lambda: bool(events(debian, "transcode_finished")))
    (done,) = events(debian, "transcode_finished")
    assert done["path"] == "/srv/recordings/yard/old.mp4"
    owners = debian.do("sh", "-c", "stat -c '%U %n' /srv/recordings/yard/*").splitlines()
    assert owners == [
        "watcher /srv/recordings/yard/old.mp4",
        "watcher /srv/recordings/yard/old.mp4.original",
        "watcher /srv/recordings/yard/old.mp4.transcoded",
    ]
    assert "Files transcoded: 1" in debian.do("/opt/watcher/bin/watcher", "stats")


def is_switched_by_a_member_of_the_group(debian: Debian) -> None:
    debian.do("useradd", "--groups", "watcher", "person")
    for word in ("disable", "enable"):
        debian.do("sudo", "-u", "person", "/opt/watcher/bin/watcher", word)
        assert until(
            lambda word=word: events(debian, "switched")[-1]["enabled"] is (word == "enable")  # type: ignore[misc]  # bound now
        )


def survives_a_kill(debian: Debian) -> None:
    path = record(debian, "killed.mp4", 60)
    whole = path.read_bytes()
    assert until(lambda: len(events(debian, "transcode_started")) > 1)
    debian.do("systemctl", "kill", "-s", str(int(signal.SIGKILL)), "watcher")
    assert path.read_bytes() == whole
    assert until(lambda: shown(debian, "ActiveState") != "active", 10)
    assert until(lambda: len(events(debian, "service_started")) > 1)  # RestartSec=30
    assert until(lambda: len(events(debian, "transcode_finished")) > 1)
    left = sorted(one.name for one in path.parent.iterdir() if one.name.startswith("."))
    assert left == []
    assert path.with_name("killed.mp4.original").read_bytes() == whole


def keeps_the_old_values_where_the_new_ones_are_wrong(debian: Debian) -> None:
    config = debian.at("/etc/watcher/watcher.yaml")
    config.write_text(CONFIG.replace("always", "2am"), "utf-8")
    debian.do("systemctl", "reload", "watcher")
    assert until(lambda: bool(events(debian, "config_refused")))
    config.write_text(CONFIG.replace("ultrafast", "superfast"), "utf-8")
    debian.do("systemctl", "reload", "watcher")
    assert until(lambda: bool(events(debian, "config_reloaded")))
    assert shown(debian, "ActiveState") == "active"


def stops_and_says_so(debian: Debian) -> None:
    debian.do("systemctl", "stop", "watcher")
    assert (shown(debian, "Result"), shown(debian, "ExecMainStatus")) == ("success", "0")
    assert events(debian, "service_stopped")


def does_not_try_wrong_values_again(debian: Debian) -> None:
    debian.at("/etc/watcher/watcher.yaml").write_text("recordings: 7\n", "utf-8")
    debian.ask("systemctl", "start", "watcher")
    assert until(lambda: shown(debian, "ActiveState") == "failed", 60)
    assert (shown(debian, "ExecMainStatus"), shown(debian, "NRestarts")) == ("2", "0")
