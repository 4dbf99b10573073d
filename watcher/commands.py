"""The commands that talk to the service, or read what there is. Work by hand is `byhand`'s."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from watcher import daemon
from watcher.answers import stats_without_service
from watcher.clock import SystemClock
from watcher.config import Config, config_for_directories, load_config, resolve_state_dir
from watcher.control import NoService, StateDirectory
from watcher.errors import WatcherError
from watcher.explain import why_without_service
from watcher.ledger.ledger import Ledger, fingerprint
from watcher.report import forms
from watcher.report.logs import configure_from, follow
from watcher.report.page import Activity, render_stats, stats_json
from watcher.report.why import render_why, why_json
from watcher.segments.segment import S_PER_DAY
from watcher.service import LEDGER, Service

DONE, FAILED = 0, 1
_ANSWER_S = 10.0
_DUMP_S = 120.0
_SWITCHED_S = 5.0


def say(text: str) -> None:
    """Print *text* whatever bytes a name in it holds."""
    sys.stdout.write(text.encode(errors="backslashreplace").decode())


def run(arguments: Namespace) -> int:
    """`run [DIR…]`: the service, in the foreground."""

    def load() -> Config:
        return load_config(arguments.config)

    given = arguments.directories
    config = config_for_directories(given) if given else load()
    state_dir = resolve_state_dir(config)
    log = configure_from(config, state_dir)
    service = Service(config)
    try:
        daemon.run(
            service,
            None if given else load,
            follow=lambda before, after: follow(log, before, after, state_dir),
        )
    finally:
        log.close()
        if service.left_behind:  # in the kernel's hands: no end of ours is to wait for them
            os._exit(FAILED)
    return DONE


def enable(arguments: Namespace) -> int:
    """`enable`: switch the running service on; say so where the configuration still says no."""
    config = load_config(arguments.config)
    code = _switch(config, on=True)
    if not config.transcoding.enabled:
        say(f"but {config.source} says `transcoding: {{enabled: false}}`: set it to true\n")
        return FAILED
    return code


def disable(arguments: Namespace) -> int:
    """`disable`: switch the running service off."""
    return _switch(load_config(arguments.config), on=False)


def _switch(config: Config, *, on: bool) -> int:
    state = StateDirectory(resolve_state_dir(config))
    if not state.service_lives():
        raise NoService(
            "no_service",
            f"no service is running with state directory {state.path}: nothing to switch",
        )
    state.switch(on=on)
    state.ask("stats", within_s=_SWITCHED_S)  # it answers when it has seen the flag
    say(f"transcoding is {'enabled' if on else 'disabled'}, across restarts too\n")
    return DONE


def stats(arguments: Namespace) -> int:
    """`stats [--json]`: from the running service, else from the ledger."""

    def alone(config: Config, ledger: Ledger) -> dict[str, Any]:
        now_s = SystemClock().wall_s()
        work = config.transcoding
        lives = StateDirectory(resolve_state_dir(config)).service_lives()
        page = stats_without_service(
            ledger,
            fingerprint(work),
            now_s,
            work.min_age_days,
            Activity.SILENT if lives else Activity.NOT_RUNNING,
        )
        return {"text": render_stats(page), "json": stats_json(page)}

    return _ask(arguments, "stats", alone)


def why(arguments: Namespace) -> int:
    """`why FILE`: from the running service, else from a look at the file and the ledger."""
    path = os.path.abspath(arguments.file)

    def alone(config: Config, ledger: Ledger) -> dict[str, Any]:
        found = why_without_service(
            path,
            config.cameras,
            ledger,
            fingerprint(config.transcoding),
            min_age_s=config.transcoding.min_age_days * S_PER_DAY,
            now_s=SystemClock().wall_s(),
        )
        return {"text": render_why(found), "json": why_json(found)}

    return _ask(arguments, "why", alone, path=os.fsencode(path).hex())


def _ask(
    arguments: Namespace,
    verb: str,
    alone: Callable[[Config, Ledger], dict[str, Any]],
    **about: object,
) -> int:
    config = load_config(arguments.config)
    state = StateDirectory(resolve_state_dir(config))
    try:
        reply = dict(state.ask(verb, within_s=_ANSWER_S, **about))
    except NoService:
        with Ledger(str(state.path / LEDGER)) as ledger:
            reply = alone(config, ledger)
    if "error" in reply:
        raise WatcherError("service", reply["error"])
    if getattr(arguments, "json", False):
        say(orjson.dumps(reply["json"], option=orjson.OPT_INDENT_2, default=str).decode() + "\n")
    else:
        say(reply["text"])
    return DONE


def dump(arguments: Namespace) -> int:
    """`dump`: ask the running service for an index dump; print its path, or it as a table."""
    config = load_config(arguments.config)
    state = StateDirectory(resolve_state_dir(config))
    reply = state.ask("dump", within_s=_DUMP_S)
    if "error" in reply:
        raise WatcherError("service", reply["error"])
    path = Path(os.fsdecode(bytes.fromhex(reply["path"])))
    if arguments.format == "jsonl":
        say(f"{path}\n")
        return DONE
    with path.open("rb") as lines:
        next(lines, None)
        say(f"{'state':<10} {'age':>8} {'size':>10}  {'camera':<12} path (reason)\n")
        for line in lines:
            row = orjson.loads(line)
            reason = f" ({row['reason']})" if row["reason"] else ""
            say(
                f"{row['state']:<10} {row['age_days']:>6.1f} d {forms.size(row['size_bytes']):>10}"
                f"  {row['camera']:<12} {forms.name(row['path'])}{reason}\n"
            )
    return DONE


def retry(arguments: Namespace) -> int:
    """`retry FILE…`: forget the verdicts, and tell a running service."""
    config = load_config(arguments.config)
    state = StateDirectory(resolve_state_dir(config))
    paths = [os.path.abspath(one) for one in arguments.files]
    code = DONE
    with Ledger(str(state.path / LEDGER)) as ledger:
        for path in paths:
            known = ledger.forget(path)
            if (trouble := ledger.trouble()) is not None:
                raise WatcherError("ledger", f"{state.path}: the ledger can't be used: {trouble}")
            if known:
                say(f"{forms.name(path)}: forgotten; it is looked at again\n")
            else:
                say(f"{forms.name(path)}: there was no verdict on it\n")
                code = code if os.path.lexists(path) else FAILED
    if state.service_lives():
        state.ask("retry", within_s=_ANSWER_S, paths=[os.fsencode(one).hex() for one in paths])
    return code


def check(arguments: Namespace) -> int:
    """`check [--json]`: what this machine can do; 1 where a row fails."""
    from watcher.check import examine  # noqa: PLC0415 - it loads every room
    from watcher.report.tables import render_rows, rows_json  # noqa: PLC0415 - for this alone

    rows = examine(load_config(arguments.config))
    if arguments.json:
        say(orjson.dumps(rows_json(rows), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        say(render_rows(rows))
    return FAILED if any(row.status == "fail" for row in rows) else DONE


def demo(arguments: Namespace) -> int:
    """`demo`: the whole road on a made-up box."""
    from watcher.demo import run_demo  # noqa: PLC0415 - nothing else needs it

    return run_demo(arguments.directory)
