"""Service and commands reach one another through the state directory, and through nothing else."""

import contextlib
import os
import threading
from pathlib import Path

import pytest
from support.clock import ManualClock

from watcher.control import REQUESTS, NoService, Request, StateDirectory
from watcher.errors import Halt
from watcher.gate.asking import NoAnswer


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    return directory


def test_the_switch_outlives_the_service_and_is_on_where_nobody_touched_it(
    state: StateDirectory,
) -> None:
    assert state.enabled()
    state.switch(on=False)
    assert not StateDirectory(state.path).enabled()
    state.switch(on=True)
    assert StateDirectory(state.path).enabled()


def test_a_disk_that_hangs_is_not_waited_for_and_switches_nothing(state: StateDirectory) -> None:
    """The switch is asked for at every look at a running job, which has to stand still in time."""
    hangs = False

    def exists(path: str) -> bool:
        if hangs:
            raise NoAnswer(1.0, 3)
        return os.path.exists(path)

    asked = StateDirectory(state.path, exists=exists)
    said = []
    for on in (True, False):
        state.switch(on=on)
        hangs = False
        said.append(asked.enabled())
        state.switch(on=not on)
        hangs = True
        said.append(asked.enabled())
    assert said == [True, True, False, False]


@pytest.mark.parametrize("on", [True, False])
def test_a_disk_that_is_slow_after_a_start_switches_nothing_either(
    state: StateDirectory, on: bool
) -> None:
    """A machine that boots is busy, and what was switched off is not to work for a moment."""
    state.switch(on=on)

    def mute(_path: str) -> bool:
        raise NoAnswer(0.25, 1)

    asked = StateDirectory(state.path, exists=mute)
    assert not asked.enabled()  # never looked at: silence is no consent
    asked.prepare()
    assert asked.enabled() is on


def test_one_service_a_state_directory(state: StateDirectory) -> None:
    with state.service_lock():
        assert StateDirectory(state.path).service_lives()
        with (
            pytest.raises(Halt, match=f"pid {os.getpid()}"),
            StateDirectory(state.path).service_lock(),
        ):
            pass
    assert not state.service_lives()


def test_a_lock_is_for_the_whole_group_whoever_makes_it_and_under_whatever_umask(
    state: StateDirectory,
) -> None:
    with contextlib.suppress(PermissionError):  # only root can give a directory away
        os.chown(state.path, 1234, 5678)
    house, before = state.path.stat(), os.umask(0o077)
    try:
        with state.service_lock(), state.job_lock("/r/a.mp4", wait=False):
            locks = [path.stat() for path in state.path.glob("*.lock")]
    finally:
        os.umask(before)
    assert {(one.st_mode & 0o777, one.st_uid, one.st_gid) for one in locks} == {
        (0o664, house.st_uid, house.st_gid)
    }


def test_a_busy_job_lock_names_the_recording_and_refuses_without_wait(
    state: StateDirectory,
) -> None:
    told: list[str] = []
    with state.job_lock("/cam/\udcff-seg.mp4", wait=False) as first:
        assert first
        other = StateDirectory(state.path)
        with other.job_lock("/cam/b.mp4", wait=False, on_busy=told.append) as second:
            assert not second
        assert other.job_holder() == "/cam/\udcff-seg.mp4"
    assert told == ["/cam/\udcff-seg.mp4"]
    assert state.job_holder() is None


def test_waiting_for_a_busy_job_ends_when_it_is_done(state: StateDirectory) -> None:
    busy, let_go, done = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with state.job_lock("/cam/a.mp4", wait=True):
            busy.set()
            let_go.wait(60)

    def second() -> None:
        other = StateDirectory(state.path)
        with other.job_lock("/cam/b.mp4", wait=True, on_busy=lambda _: let_go.set()) as got:
            assert got
            done.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert busy.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert done.is_set()


def test_a_question_is_answered_once_and_leaves_nothing_behind(state: StateDirectory) -> None:
    replies: list[object] = []

    def service() -> None:
        with state.service_lock():
            up.set()
            while not replies:
                request = state.take(REQUESTS[0])
                if request is not None:
                    state.answer(request, {"said": request.arguments["word"]})
                    replies.append(request.verb)

    up = threading.Event()
    thread = threading.Thread(target=service)
    thread.start()
    assert up.wait(60)
    assert StateDirectory(state.path).ask("echo", within_s=60, word="hm") == {"said": "hm"}
    thread.join(60)
    assert replies == ["echo"]
    assert not [path for path in state.path.iterdir() if path.suffix in (".request", ".answer")]


def test_an_answer_to_somebody_who_has_gone_is_nobodys_elses(state: StateDirectory) -> None:
    state.answer(Request(REQUESTS[0], "another", "echo", {}), {"said": "old"})
    with state.service_lock(), pytest.raises(NoService, match="did not answer"):
        StateDirectory(state.path, ManualClock()).ask("echo", within_s=1, word="new")


def test_a_request_that_is_torn_is_no_request(state: StateDirectory) -> None:
    (state.path / REQUESTS[1]).write_bytes(b'{"verb": "du')
    assert state.take(REQUESTS[1]) is None
    assert state.take(REQUESTS[2]) is None


def test_without_a_service_a_question_says_so(state: StateDirectory) -> None:
    with pytest.raises(NoService, match="no service is running"):
        state.ask("dump", within_s=1)


def test_a_status_file_that_is_torn_is_no_status(state: StateDirectory) -> None:
    state.publish({"enabled": True})
    assert state.status() == {"enabled": True}
    (state.path / "status.json").write_bytes(b'{"enab')
    assert not state.status()


def test_a_state_directory_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Halt, match="state_dir"):
        StateDirectory(tmp_path / "file" / "state").prepare()


NOT_UTF8 = os.fsdecode(b"caf\xe9.mp4")


def test_a_name_that_is_not_utf_8_keeps_no_news_back(state: StateDirectory) -> None:
    state.publish({"halted": f"{NOT_UTF8}: Input/output error", "long": "x" * 60_000})
    said = state.status()
    assert said["halted"] == r"caf\xe9.mp4: Input/output error"
    assert len(said["long"]) == 60_000


def test_a_name_that_is_not_utf_8_keeps_no_answer_back(state: StateDirectory) -> None:
    replies: list[object] = []

    def give() -> None:
        while (request := state.take(REQUESTS[0])) is None:
            threading.Event().wait(0.01)
        state.answer(request, {"text": NOT_UTF8, "json": {NOT_UTF8: [NOT_UTF8]}})

    with state.service_lock():
        service = threading.Thread(target=give)
        service.start()
        replies.append(state.ask("why", within_s=60.0, of=NOT_UTF8))
        service.join()
    shown = r"caf\xe9.mp4"
    assert replies == [{"text": shown, "json": {shown: [shown]}}]
