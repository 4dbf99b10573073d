"""The commands: what a person types, what it exits with, and no traceback for bad input.

Exit codes: 0 done · 1 failed · 2 wrong usage or configuration · 3 refused for a reason that is no
fault. The commands themselves stand in `commands.py` (talking to the service, reading what is
there), `byhand.py` and `restoring.py` (work on recordings, now, in this process).
"""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from watcher import __version__, byhand, commands, restoring
from watcher.config import ConfigError
from watcher.errors import Refused, WatcherError

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3

_Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    # A command says in its own words what happened; only `run` has a log.
    logging.getLogger("watcher").addHandler(logging.NullHandler())
    with _interruptible():
        return _guarded(arguments.command, arguments)


def camera_recorder(argv: Sequence[str] | None = None) -> int:
    """Take the first design's spellings, and run the command that each has become."""
    parser = argparse.ArgumentParser(
        prog="camera-recorder", description="The first design's spellings of `watcher`."
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--transcode", choices=("enable", "disable"), help="watcher enable, disable")
    what.add_argument("--transcode-stats", action="store_true", help="watcher stats")
    what.add_argument("--transcode-file", metavar="PATH", help="watcher transcode PATH")
    what.add_argument("--transcode-all", action="store_true", help="watcher transcode-all")
    parser.add_argument("--force", action="store_true", help="with --transcode-all: now")
    given = parser.parse_args(argv)
    if given.force and not given.transcode_all:
        parser.error("--force goes with --transcode-all")
    return main([*(["--config", given.config] if given.config else []), *_translated(given)])


def _translated(given: argparse.Namespace) -> list[str]:
    if given.transcode:
        return [given.transcode]
    if given.transcode_stats:
        return ["stats"]
    if given.transcode_file is not None:
        return ["transcode", "--", given.transcode_file]
    return ["transcode-all", *(["--force"] if given.force else [])]


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Clean up after a kill, or a terminal that was lost, as after Ctrl-C; `run` has other ways."""
    ours = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGHUP) if ours else ()
    taken = [one for one in wanted if signal.getsignal(one) is signal.SIG_DFL]
    for one in taken:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)


def _guarded(command: _Command, arguments: argparse.Namespace) -> int:
    """Turn what a command raises into a sentence and an exit code."""
    try:
        code = command(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        for mistake in error.mistakes:
            _complain(str(mistake))
        _complain(f"watcher: {error.message}")
        return USAGE
    except WatcherError as error:
        _complain(f"watcher: {error.message}")
        return REFUSED if isinstance(error, Refused) else FAILED
    except KeyboardInterrupt:
        _complain("watcher: interrupted; what was half made has been removed")
        return 130
    except BrokenPipeError:
        _forget_output()  # whoever read it has gone
        return DONE
    except OSError as error:
        _complain(f"watcher: {error.filename or 'output'}: {error.strerror or error}")
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()
        return FAILED
    return code


def _forget_output() -> None:
    """Keep Python from complaining at exit of an output that takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(line: str) -> None:
    """Say *line* on standard error, whatever bytes a name in it holds."""
    with contextlib.suppress(OSError):
        sys.stderr.write(line.encode(errors="backslashreplace").decode() + "\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Name the mistake and where help is; exit code 2."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message} (`{self.prog} --help` tells more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="watcher",
        description="Turns last week's H.264 camera recordings into HEVC overnight.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused for a"
        " reason that is no fault.",
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration file")
    parser.add_argument("--version", action="version", version=f"watcher {__version__}")
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: _Command, about: str) -> argparse.ArgumentParser:
        sub = subs.add_parser(name, help=about, description=about)
        sub.set_defaults(command=command)
        return sub

    _add_service_commands(add)
    _add_reading_commands(add)
    _add_commands_by_hand(add)
    return parser


def _add_service_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    run = add("run", commands.run, "The service, in the foreground.")
    run.add_argument("directories", nargs="*", metavar="DIR", help="a camera each, no file needed")
    add("enable", commands.enable, "Switches the running service on, at once and for good.")
    add("disable", commands.disable, "Switches the running service off, at once and for good.")
    dump = add("dump", commands.dump, "Asks the running service for an index dump.")
    dump.add_argument(
        "--format", choices=("jsonl", "table"), default="jsonl", help="table: print it, readable"
    )


def _add_reading_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    check = add("check", commands.check, "What this machine can do, and how to mend what it can't.")
    check.add_argument("--json", action="store_true", help="for programs")
    stats = add("stats", commands.stats, "What was saved, what waits, how far back it reaches.")
    stats.add_argument("--json", action="store_true", help="for programs")
    why = add("why", commands.why, "A recording's state, and what it waits for.")
    why.add_argument("file", metavar="FILE")


def _add_commands_by_hand(add: Callable[..., argparse.ArgumentParser]) -> None:
    retry = add("retry", commands.retry, "Forgets the verdict on a file.")
    retry.add_argument("files", nargs="+", metavar="FILE")
    transcode = add("transcode", byhand.transcode, "Transcodes files by hand, now.")
    transcode.add_argument("files", nargs="+", metavar="FILE")
    transcode.add_argument("--force", action="store_true", help="set remembered verdicts aside")
    transcode.add_argument("--no-wait", action="store_true", help="exit 3 where a job runs")
    every = add("transcode-all", byhand.transcode_all, "Transcodes every candidate of age.")
    every.add_argument("--force", action="store_true", help="now, whatever the window")
    every.add_argument("--any-age", action="store_true", help="younger ones too")
    every.add_argument("--retry", action="store_true", help="set remembered verdicts aside")
    every.add_argument("--dry-run", action="store_true", help="say what would be done, do nothing")
    restore = add("restore", restoring.restore, "Puts originals back in their place.")
    restore.add_argument("files", nargs="+", metavar="FILE", help="or a glob, or a camera's name")
    cleanup = add("cleanup", byhand.cleanup, "Deletes originals whose safety period is over.")
    cleanup.add_argument(
        "files", nargs="*", metavar="FILE", help="only these, which `check` says are left over"
    )
    cleanup.add_argument(
        "--force", action="store_true", help="an orphan now, or what may be a recording's last"
    )
    demo = add("demo", commands.demo, "The whole road on a made-up box, with no set-up.")
    demo.add_argument("--directory", metavar="DIR", help="where to make it")
