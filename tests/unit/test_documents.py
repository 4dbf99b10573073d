"""What the documents name exists, and what exists is named: commands, options, keys, files."""

import argparse
import configparser
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher import cli
from watcher.config import LATER, Camera, Config, Transcoding
from watcher.events import CATALOGUE
from watcher.settings import Logging, Loki

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (REPOSITORY / "watcher/ARCHITECTURE.md").read_text(encoding="utf-8")
EXAMPLE = (REPOSITORY / "etc/watcher.example.yaml").read_text(encoding="utf-8")
UNIT = (REPOSITORY / "etc/systemd/watcher.service").read_text(encoding="utf-8")
SYSCTL = (REPOSITORY / "etc/systemd/60-watcher-inotify.conf").read_text(encoding="utf-8")

KEYS = {
    *(set(Config.model_fields) - {"source"}),
    *(set(Camera.model_fields) - {"name"}),
    *Transcoding.model_fields,
    *Logging.model_fields,
    *Loki.model_fields,
}
FIELDS = {field for kind in CATALOGUE.values() for field in kind.fields}
WORD_OF_OURS = re.compile(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in cli._parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the parser has no commands")


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {
        each
        for action in parser._actions
        for each in action.option_strings
        if each.startswith("--") and each != "--help"
    }


def rows() -> Iterator[tuple[str, str]]:
    """The README's table of commands: each command's name and the row's first cell."""
    section = README.split("## Every command")[1].split("\n## ")[0]
    for line in section.splitlines():
        cell = re.match(r"\| (`[a-z].*?`) \|", line)
        if cell:
            for usage in re.findall(r"`([^`]+)`", cell[1]):
                yield usage.split()[0], usage.replace("\\|", "|")


def shell_lines() -> Iterator[str]:
    """Every `watcher …` that README and ARCHITECTURE tell a reader to type."""
    for text in (README, ARCHITECTURE):
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL):
            for line in re.split(r"\n|&&", block):
                words = re.sub(r"\s#.*", "", line).strip().removeprefix("$ ")
                words = words.removeprefix("sudo ")
                if re.match(r"(\S*/)?watcher ", words):
                    yield words


class TestCommands:
    def test_each_is_in_the_readme_and_each_of_the_readme_is_there(self) -> None:
        assert {name for name, _ in rows()} == set(commands())

    @pytest.mark.parametrize(("name", "usage"), list(rows()))
    def test_its_options_are_those_of_the_readme(self, name: str, usage: str) -> None:
        assert set(re.findall(r"--[a-z-]+", usage)) <= options(commands()[name])

    @pytest.mark.parametrize("name", sorted(commands()))
    def test_its_options_are_told_of_somewhere_in_the_readme(self, name: str) -> None:
        for option in options(commands()[name]):
            assert option in README, f"watcher {name} {option}"

    @pytest.mark.parametrize("line", sorted(set(shell_lines())))
    def test_what_a_reader_is_told_to_type_can_be_typed(self, line: str) -> None:
        assert callable(cli._parser().parse_args(shlex.split(line)[1:]).command)

    def test_every_command_says_what_it_does(self) -> None:
        assert all(parser.description for parser in commands().values())


class TestKeys:
    def test_every_key_stands_in_the_example_and_nothing_else_does(self) -> None:
        named = set(re.findall(r"^\s*(?:#\s+)?([a-z][a-z0-9_]*):(?:\s|$)", EXAMPLE, re.MULTILINE))
        assert named == KEYS | {"cam1", "cam2"}

    def test_what_comes_later_is_named_but_not_set(self) -> None:
        for place in LATER:
            assert re.search(rf"^\s*# {place[-1]}:.*later", EXAMPLE, re.MULTILINE)

    def test_every_word_of_ours_in_the_readme_exists(self) -> None:
        told = set(WORD_OF_OURS.findall(README))
        assert told - KEYS - set(CATALOGUE) - FIELDS - {"recorders_healthy"} == set()


class TestFiles:
    @pytest.mark.parametrize(
        "path", sorted(set(re.findall(r"(?<![\w/])etc/[\w./-]+\w", README + UNIT)))
    )
    def test_every_file_that_is_named_is_there(self, path: str) -> None:
        assert (REPOSITORY / path).exists()

    def test_every_tox_environment_that_is_named_is_there(self) -> None:
        tox = (REPOSITORY / "tox.ini").read_text(encoding="utf-8")
        for name in re.findall(r"tox -e ([a-z]+)", README + ARCHITECTURE):
            assert f"[testenv:{name}]" in tox


class TestTheUnit:
    """The unit gives the service the time and the places that its promises need."""

    @staticmethod
    def section(name: str) -> dict[str, str]:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign] # as its documentation says
        parser.read_string(UNIT)
        return dict(parser[name])

    def test_stopping_has_the_time_that_it_promises(self) -> None:
        service = self.section("Service")
        assert int(service["TimeoutStopSec"]) > Transcoding().stop_timeout_seconds
        assert service["KillMode"] == "mixed"

    def test_a_wrong_configuration_is_not_tried_again(self) -> None:
        service = self.section("Service")
        assert service["Restart"] == "on-failure"
        assert service["RestartPreventExitStatus"] == str(cli.USAGE)

    def test_it_stays_behind_everybody_else(self) -> None:
        service = self.section("Service")
        assert service["IOSchedulingClass"] == "idle"
        assert int(service["Nice"]) > 0

    def test_its_whole_cpu_group_is_idle_and_stands_at_the_top(self) -> None:
        """Below another slice it would make way only for what is in that one."""
        slice_ = self.section("Service")["Slice"]
        assert slice_.removesuffix(".slice").count("-") == 0
        text = (REPOSITORY / "etc/systemd" / slice_).read_text(encoding="utf-8")
        assert re.findall(r"^CPUWeight=(.*)$", text, re.MULTILINE) == ["idle"]
        assert f"etc/systemd/{slice_}" in README
        assert f"etc/systemd/{slice_}" in UNIT

    def test_its_state_directory_is_the_one_that_a_command_looks_in(self) -> None:
        service = self.section("Service")
        assert service["StateDirectory"] == "watcher"
        assert service["StateDirectoryMode"] == "2775"

    def test_it_runs_a_command_that_exists(self) -> None:
        service = self.section("Service")
        given = cli._parser().parse_args(shlex.split(service["ExecStart"])[1:])
        assert given.config == "/etc/watcher/watcher.yaml"
        assert service["ExecReload"].startswith("/bin/kill -HUP")

    def test_the_inotify_limits_are_those_that_the_readme_and_check_speak_of(self) -> None:
        assert "fs.inotify.max_user_watches = 1048576" in SYSCTL
        assert "fs.inotify.max_queued_events = 131072" in SYSCTL
