"""`watcher restore`: originals back in their places, by file, glob, directory or camera.

What a person names means a recording, whether its copy, its original or its marker is still there.
That nothing is kept is said only where that was seen; what could not be looked at, and what
Watcher can't tell for sure, is named, with what to do.
"""

import glob
import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator

from watcher.bench import Bench, open_bench
from watcher.byhand import AT_WORK, code_of, left_out, opened, worst
from watcher.commands import DONE, FAILED, say
from watcher.config import load_config
from watcher.errors import Retryable, WatcherError
from watcher.ledger.ledger import Subject
from watcher.replace.marker import marker_name, original_name, recording_of
from watcher.replace.swap import LinuxDirectory, Restored
from watcher.replace.swap import restore as put_back
from watcher.report import forms
from watcher.transcode.probe import Prober

_LONGEST_S = 600.0
_WAITS = "somebody is at work in its directory: waiting for them"
_FORGETFUL = (
    "the ledger could not be written, so Watcher may transcode it again (`watcher check` says what"
    " is wrong with the ledger)"
)


def restore(arguments: Namespace) -> int:
    """`restore FILE…`: the original back in its place; a glob, a directory, a camera's name too."""
    config = load_config(arguments.config)
    codes: list[int] = []
    with open_bench(config) as bench:
        for one in arguments.files:
            top = config.recordings[one].path if one in config.recordings else os.path.abspath(one)
            codes += (
                _restore_below(bench, top) if os.path.isdir(top) else _restore_named(bench, one)
            )
        bench.tell_service()
    return worst(codes)


def _restore_named(bench: Bench, given: str) -> Iterator[int]:
    """Restore what is meant by a file's name or a glob."""
    meant = [given] if _stands(given) else _matching(given) or [given]
    for path in dict.fromkeys(map(_recording, meant)):
        yield _restore(bench, path)


def _restore_below(bench: Bench, top: str) -> Iterator[int]:
    """Restore every recording below *top* whose original is kept; name all that stand in doubt."""
    bench.walk(any_age=True, heed_verdicts=True)
    yield from left_out(bench)
    held = _below(top, [waiting.path for waiting in bench.tender.originals.all()])
    unseen = _below(top, bench.unsettled)
    doubtful = [one for one in _below(top, bench.beside) if one not in {*held, *unseen}]
    for path in held:
        yield _restore(bench, path)
    for path in unseen:
        say(f"{forms.name(path)}: {AT_WORK}\n")
        yield FAILED
    for path in doubtful:
        said = _in_doubt(path)
        if said:
            say(f"{forms.name(path)}: {said}\n")
            yield FAILED
    if not (held or unseen or doubtful):
        say(f"{forms.name(top)}: no original is kept there\n")


def _restore(bench: Bench, path: str) -> int:
    directory, name = os.path.split(path)
    remembered = []

    def remember(path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        subject = Subject(path, size_bytes, mtime_ns, "")
        remembered.append(bench.ledger.remember_restored(subject, reason))

    def act(where: LinuxDirectory) -> Restored:
        return put_back(where, name, policy=bench.policy, remember=remember)

    try:
        done = patiently(directory or "/", act, lambda: say(f"{forms.name(path)}: {_WAITS}\n"))
    except WatcherError as error:
        say(f"{forms.name(path)}: {error.message}\n")
        return code_of(error)
    if not done.changed:
        copy = _known_copy(bench, path)
        say(f"{forms.name(path)}: {copy or 'it is its original'}\n")
        return FAILED if copy else DONE
    bench.tender.originals.discard(path)  # where no service runs, nobody else would
    what = "the original" if done.proven else f"what was {original_name(name)}"
    doubt = "" if done.proven else "; whether that is the original, no marker tells"
    say(f"{forms.name(path)}: {what} ({forms.size(done.size_bytes)}) is back in its place{doubt}\n")
    if all(remembered):
        return DONE
    say(f"{forms.name(path)}: {_FORGETFUL}\n")
    return FAILED


def patiently(
    directory: str,
    act: Callable[[LinuxDirectory], Restored],
    on_busy: Callable[[], None],
    *,
    soon_s: float = 2.0,
) -> Restored:
    """Act in a directory, and wait long for its lock: a deletion reads a whole copy under it."""
    try:
        with opened(directory, soon_s) as where:
            return act(where)
    except Retryable as busy:
        if busy.reason != "directory_locked":
            raise
    on_busy()
    with opened(directory, _LONGEST_S) as where:
        return act(where)


def _known_copy(bench: Bench, path: str) -> str | None:
    """Say so where what has no original beside it is a copy: its original can't come back."""
    made, gone = bench.ledger.outcome_of(path), "was deleted and can't come back"
    try:
        if made is not None and os.lstat(path).st_size == made.new_size:
            when = forms.time(made.finished_at_s)
            return f"its original {gone}: this is the copy that was made {when}"
        with Prober(clock=bench.clock) as prober:
            is_copy = prober.probe(path, packets=False).made_by_watcher
    except (OSError, WatcherError):
        return None
    return f"its original {gone}: this is a copy that Watcher made" if is_copy else None


def _in_doubt(path: str) -> str | None:
    """Say what is to be done about an original that no rule covers; None where it has gone."""
    if not os.path.lexists(os.path.join(os.path.dirname(path), original_name(_name(path)))):
        return None
    quoted = shlex.quote(path)
    if os.path.lexists(path):
        return (
            f"{original_name(_name(path))} stands beside it, and no marker tells whether that is"
            " its original: look at both; where it is, move the recording away, then `watcher"
            f" restore {quoted}`"
        )
    return (
        f"{original_name(_name(path))} stands there without its marker: look at it; `watcher"
        f" restore {quoted}` puts it in its place"
    )


def _stands(given: str) -> bool:
    """Say whether *given* names something by its very letters: it, or what we keep beside it."""
    directory, name = os.path.split(_recording(given))
    names = (name, original_name(name), marker_name(name))
    return os.path.lexists(given) or any(os.path.lexists(os.path.join(directory, n)) for n in names)


def _matching(pattern: str) -> list[str]:
    """Give what *pattern* means, recordings whose copies were deleted included."""
    return sorted({*glob.glob(pattern), *glob.glob(original_name(pattern))})


def _recording(given: str) -> str:
    directory, name = os.path.split(os.path.abspath(given))
    return os.path.join(directory, recording_of(name) or name)


def _name(path: str) -> str:
    return os.path.basename(path)


def _below(top: str, paths: list[str]) -> list[str]:
    return [path for path in paths if path.startswith(top.rstrip("/") + "/")]
