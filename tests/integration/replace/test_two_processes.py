"""Two processes over one directory, each with a state directory of its own: both are safe.

Neither knows of the other. What they have in common is the directory's lock, the lock on an output
in the making, and the files that stand there (SWAP invariant 7). They are real processes, because
flock and leases are the kernel's to give; a stand-in writes the copies.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.swap_trials import COPY, ORIGINAL, Ground

from watcher.ledger.ledger import Ledger

NAMES = [f"{number}.mp4" for number in range(12)]

# Does what a service does between its start and its end, in the order in which it does it.
WATCHER = """
import json, os, sys
from support.emitted import Emitted
from support.filesystems import TrustedDirectory
from support.swap_trials import KEEP_S, stand_in_for_ffmpeg
from watcher.errors import WatcherError
from watcher.ledger.ledger import Ledger
from watcher.replace import swap
from watcher.replace.originals import Originals
from watcher.tending import KeepRules, Tender

root, state, deed, *names = sys.argv[1:]
emitted, said = Emitted(), []
ledger = Ledger(os.path.join(state, "ledger.sqlite"), emit=emitted)
tender = Tender(
    Originals(ledger, keep_original_s=KEEP_S, emit=emitted),
    remember=lambda *_: None, rules=KeepRules(), emit=emitted,
)

def transcode(name):
    with TrustedDirectory(root) as directory, swap.claim(directory, name) as claimed:
        with claimed.create_output() as output:
            stand_in_for_ffmpeg(output.path)
            output.seal()
            output.commit(report={}, encoder="x", settings={}, keep_original_s=KEEP_S)

def restore(name):
    with TrustedDirectory(root) as directory:
        if not swap.restore(directory, name, emit=emitted).changed:
            raise WatcherError("as_it_was", name)

def settle(name):
    tender.settle(root, [name])

with ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    for name in names:
        try:
            {"transcode": transcode, "restore": restore, "settle": settle}[deed](name)
            said.append([name, "done"])
        except WatcherError as error:
            said.append([name, error.reason])
print(json.dumps(said))
"""

Said = list[tuple[str, str]]


def _race(ground: Ground, tmp_path: Path, deeds: Sequence[str]) -> list[Said]:
    """Let one process for each deed go at all recordings at once; give what each said of each."""
    running = []
    for number, deed in enumerate(deeds):
        state = tmp_path / f"state-{number}-{deed}"
        state.mkdir(exist_ok=True)
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", WATCHER, str(ground.root), str(state), deed, *NAMES],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PYTHONPATH": ":".join(sys.path)},
                text=True,
            )
        )
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [process.communicate(timeout=240)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(running)
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [[(name, reason) for name, reason in json.loads(end)] for end in ends]


@pytest.fixture
def recordings(ground: Ground) -> Ground:
    for path in ground.root.iterdir():
        path.unlink()
    for name in NAMES:
        (ground.root / name).write_bytes(ORIGINAL)
    return ground


def _stands(ground: Ground) -> dict[str, bytes | None]:
    return {name: ground.contents(name) for name in ground.listing() if "transcoded" not in name}


def test_each_recording_is_converted_once_and_the_other_says_why_not(
    recordings: Ground, tmp_path: Path
) -> None:
    said = _race(recordings, tmp_path, ["transcode", "transcode", "settle"])
    done = sorted(name for one in said[:2] for name, reason in one if reason == "done")
    assert done == sorted(NAMES), said
    reasons = {reason for one in said[:2] for _, reason in one} - {"done"}
    assert reasons <= {"in_progress", "original_exists", "original_changed"}, said
    assert len(recordings.listing()) == 3 * len(NAMES), "nothing half made is left"
    everything = dict.fromkeys(NAMES, COPY) | {f"{name}.original": ORIGINAL for name in NAMES}
    assert _stands(recordings) == everything


def test_what_one_restores_the_other_does_not_delete_or_restore_again(
    recordings: Ground, tmp_path: Path
) -> None:
    assert {reason for _, reason in _race(recordings, tmp_path, ["transcode"])[0]} == {"done"}
    said = _race(recordings, tmp_path, ["restore", "restore", "settle"])
    done = sorted(name for one in said[:2] for name, reason in one if reason == "done")
    assert done == sorted(NAMES), said
    assert {reason for one in said[:2] for _, reason in one} <= {"done", "as_it_was"}, said
    assert _stands(recordings) == dict.fromkeys(NAMES, ORIGINAL)
    assert set(recordings.listing()) == set(NAMES)


def test_both_note_each_original_and_each_in_its_own_ledger(
    recordings: Ground, tmp_path: Path
) -> None:
    _race(recordings, tmp_path, ["transcode"])
    _race(recordings, tmp_path, ["settle", "settle"])
    for number in range(2):
        with Ledger(str(tmp_path / f"state-{number}-settle" / "ledger.sqlite")) as ledger:
            known = [ledger.watched(str(recordings.root / name)) for name in NAMES]
        assert None not in known
