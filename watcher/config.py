"""From the YAML file to a `Config`, or to every mistake in it.

Promises: a `Config` is whole and possible; or a `ConfigError` lists all mistakes at once, each with
its line, its value and what would be right. Any text gives one or the other. Whether the
directories exist and the encoder works is for `check` to find out: a camera's disk may be mounted
later. The models themselves, and every default, stand in `settings`.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from threading import Thread
from typing import Any

from pydantic import BaseModel, ValidationError

from watcher.clock import SystemClock
from watcher.mistakes import (
    ConfigError,
    KeyPath,
    Mistake,
    dotted,
    from_pydantic,
    line_of,
    shown,
    unknown_key,
)
from watcher.settings import SHORTEST_KEEP_S, Camera, Config, Logging, Loki, Transcoding
from watcher.yamlfile import Tree, read_yaml

__all__ = [
    "LATER",
    "SHORTEST_KEEP_S",
    "Camera",
    "Config",
    "ConfigError",
    "Logging",
    "Loki",
    "Mistake",
    "Transcoding",
    "changed_keys",
    "config_for_directories",
    "load_config",
    "parse_config",
    "resolve_state_dir",
]

LATER: Mapping[KeyPath, str] = {
    ("transcoding", "target_vmaf"): "comes with `quality: auto`, in a later version",
}
"""Keys that have their place but no effect yet: refused, never accepted and ignored."""

_LONGEST_FILE = 2_000_000
_ANSWERS_WITHIN_S = 2.0
_HOST_STATE = "/var/lib/watcher"
_GIVE_RECORDINGS = "give `recordings:` and below it `cam1: /path/of/its/recordings`"


def load_config(
    path: str | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    cwd: str | None = None,
) -> Config:
    """Read the file at *path*, or the first that is found where they are looked for."""
    found = path or _find(env, cwd or os.getcwd())
    if found is None:
        places = ", ".join(_places(env, cwd or os.getcwd()))
        remedy = "write one (etc/watcher.example.yaml shows every key), or `watcher run DIR…`"
        raise ConfigError("configuration", [Mistake(None, "FILE", "", f"none of {places}", remedy)])
    try:
        with open(found, "rb") as file:
            raw = file.read(_LONGEST_FILE)
        content = raw.decode("utf-8-sig")
    except OSError as error:
        problem = f"can't be read: {error.strerror or error}"
        mistake = Mistake(None, "FILE", shown(found), problem, "name a readable file")
        raise ConfigError(shown(found), [mistake]) from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        mistake = Mistake(line, "FILE", "", "is not UTF-8", "save it as UTF-8")
        raise ConfigError(shown(found), [mistake]) from error
    config = parse_config(content, shown(found))
    return config.model_copy(update={"source": os.path.abspath(found)})


def parse_config(content: str, name: str = "configuration") -> Config:
    """Read *content*; raise ConfigError with every mistake in it. *name* is for the message."""
    tree = read_yaml(content)
    if not tree.lines or tree.value is None:
        empty = Mistake(1, "recordings", "", "nothing is configured", _GIVE_RECORDINGS)
        raise ConfigError(name, tree.mistakes or [empty])
    if not isinstance(tree.value, dict):
        raise ConfigError(
            name, [Mistake(1, "YAML", "", "is no mapping", "give `key: value` lines")]
        )
    mistakes = list(tree.mistakes)
    dropped = set(tree.broken)
    config, found = _validate(_document(tree, tree.value, mistakes), tree.lines, dropped)
    mistakes += found
    if config is not None:
        mistakes += _contradictions(config, tree.lines, dropped)
    if mistakes or config is None:
        raise ConfigError(name, mistakes)
    return config


def config_for_directories(directories: Iterable[str], *, cwd: str | None = None) -> Config:
    """Make a configuration of nothing but camera directories, every default in force."""
    base = cwd or os.getcwd()
    cameras: dict[str, Camera] = {}
    mistakes = []
    for directory in directories:
        path = os.path.normpath(os.path.join(base, directory))
        if not os.path.isdir(path):
            problem, remedy = "is no directory", "name directories with recordings"
            mistakes.append(Mistake(None, "DIR", shown(directory), problem, remedy))
        name = _unique(shown(os.path.basename(path)) or "root", cameras)
        cameras[name] = Camera(name=name, path=path)
    if not cameras:
        mistakes.append(Mistake(None, "DIR", "", "none is given", "name directories"))
    config = Config(recordings=cameras)
    mistakes += _contradictions(config, {})
    if mistakes:
        raise ConfigError("directories", mistakes)
    return config


def resolve_state_dir(
    config: Config, env: Mapping[str, str] = os.environ, *, host: str = _HOST_STATE
) -> str:
    """Give the directory for ledger, flags and dumps: configured, systemd's, the host's, or ours.

    It may not exist yet. A person's command and the service reach the same one as long as both
    read the same file, or /var/lib/watcher exists.
    """
    if config.state_dir is not None:
        return config.state_dir
    by_systemd = env.get("STATE_DIRECTORY", "").split(":")[0]
    if by_systemd:
        return by_systemd
    if os.path.isdir(host):
        return host
    home = env.get("XDG_STATE_HOME") or os.path.join(_home(env), ".local/state")
    return os.path.join(home, "watcher")


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """Name every key whose value differs, for the log of a reload."""
    before, after = _leaves(old.model_dump()), _leaves(new.model_dump())
    paths = {path for path in before | after if before.get(path, ...) != after.get(path, ...)}
    return tuple(sorted(dotted(path) for path in paths if path != ("source",)))


def _places(env: Mapping[str, str], cwd: str) -> list[str]:
    named = env.get("WATCHER_CONFIG")
    if named:  # named means meant: never the next one instead
        return [os.path.join(cwd, named)]
    config_home = env.get("XDG_CONFIG_HOME") or os.path.join(_home(env), ".config")
    return [
        os.path.join(cwd, "watcher.yaml"),
        os.path.join(config_home, "watcher", "watcher.yaml"),
        "/etc/watcher/watcher.yaml",
    ]


def _find(env: Mapping[str, str], cwd: str) -> str | None:
    places = _places(env, cwd)
    if len(places) == 1:
        return places[0]
    return next((place for place in places if os.path.exists(place)), None)


def _home(env: Mapping[str, str]) -> str:
    return env.get("HOME") or os.path.expanduser("~")


def _document(tree: Tree, root: dict[str, Any], mistakes: list[Mistake]) -> dict[str, Any]:
    """Bring the file's form into the models': short cameras, their names; refuse what is later."""
    document = _without(root, tree.broken)
    if document.pop("source", None) is not None:
        mistakes.append(unknown_key(("source",), tree.lines, _KEYS))
    found = document.get("recordings")
    cameras: dict[str, Any] = found if isinstance(found, dict) else {}
    for name, camera in cameras.items():
        if isinstance(camera, str):
            cameras[name] = {"path": camera, "name": name}
        elif isinstance(camera, dict):
            if "name" in camera:
                mistakes.append(unknown_key(("recordings", name, "name"), tree.lines, _KEYS))
            camera["name"] = name
    for place, why in LATER.items():
        if place in tree.lines:
            line = tree.lines[place]
            mistakes.append(Mistake(line, dotted(place), "", why, "leave the key out"))
    return _without(document, LATER)


def _validate(
    document: dict[str, Any], lines: Mapping[KeyPath, int], dropped: set[KeyPath]
) -> tuple[Config | None, list[Mistake]]:
    """Make the model; where that fails, make it of what is right, to find what else is wrong.

    The places that had to go are added to *dropped*: they have their defaults in the model.
    """
    mistakes: list[Mistake] = []
    while True:
        try:
            return Config.model_validate(document), mistakes
        except ValidationError as error:
            details = error.errors()
        findings = [from_pydantic(detail, lines, _KEYS) for detail in details]
        for (mistake, _), detail in zip(findings, details, strict=True):
            if detail["loc"] not in dropped:  # what had to go is missing now: that is no news
                mistakes.append(mistake)
        places = {place for _, place in findings}
        remaining = _without(document, places)
        remaining.setdefault("recordings", {})
        if remaining == document:
            return None, mistakes
        dropped |= places | {detail["loc"] for detail in details}
        document = remaining


def _contradictions(
    config: Config, lines: Mapping[KeyPath, int], dropped: Iterable[KeyPath] = ()
) -> list[Mistake]:
    """Find what is wrong between keys; those in *dropped* are wrong in themselves already."""
    mistakes = _camera_contradictions(config, lines)
    if not config.recordings and not any(place[:1] == ("recordings",) for place in dropped):
        mistakes.append(_mistake(("recordings",), "", "names no camera", _GIVE_RECORDINGS, lines))
    work = config.transcoding
    pairs = (
        ("critical_free_space_gb", "min_free_space_gb", work.min_free_space_gb),
        ("min_space_savings", "target_space_savings", work.target_space_savings),
    )
    for low_key, high_key, high in pairs:
        low = getattr(work, low_key)
        places: set[KeyPath] = {("transcoding", low_key), ("transcoding", high_key)}
        if high is not None and low > high and not places & set(dropped):
            place = max(places, key=lambda each: lines.get(each, 0))
            mistakes.append(
                _mistake(
                    place,
                    shown(getattr(work, str(place[-1]))),
                    f"{low_key} ({low:g}) is above {high_key} ({high:g})",
                    f"give {low_key} of at most {high_key}",
                    lines,
                )
            )
    mistakes += _loki_contradictions(config.logging.loki, lines)
    if work.ffmpeg is not None and not os.access(work.ffmpeg, os.X_OK):
        remedy = "name an ffmpeg that can be run, or null: one is bundled"
        place = ("transcoding", "ffmpeg")
        mistakes.append(_mistake(place, work.ffmpeg, "is no program", remedy, lines))
    return mistakes


def _loki_contradictions(loki: Loki, lines: Mapping[KeyPath, int]) -> list[Mistake]:
    mistakes = []
    if loki.token_file is not None and loki.username is not None:
        problem = "stands beside a username: Loki is told one or the other"
        place: KeyPath = ("logging", "loki", "token_file")
        mistakes.append(_mistake(place, loki.token_file, problem, "leave one of them out", lines))
    if (loki.username is None) != (loki.password_file is None):
        present, absent = "username", "password_file"
        if loki.username is None:
            present, absent = absent, present
        place = ("logging", "loki", present)
        value = str(getattr(loki, present))
        mistakes.append(_mistake(place, value, f"has no {absent}", f"give {absent} too", lines))
    return mistakes


def _camera_contradictions(config: Config, lines: Mapping[KeyPath, int]) -> list[Mistake]:
    mistakes = []
    places = _looked(camera.path for camera in config.cameras)
    real = {camera.name: places[camera.path].real for camera in config.cameras}
    for first, second in combinations(config.cameras, 2):
        place: KeyPath = ("recordings", second.name, "path")
        one, other = real[first.name], real[second.name]
        if one == other:
            problem = f"is the directory of {shown(first.name)} too"
        elif _within(one, other) or _within(other, one):
            problem = f"and that of {shown(first.name)} ({shown(first.path)}): one is in the other"
        else:
            continue
        remedy = "give each camera a directory of its own"
        mistakes.append(_mistake(place, second.path, problem, remedy, lines))
    ours = {("state_dir",): config.state_dir, ("logging", "file"): config.logging.file}
    for key, path in ours.items():
        for name, directory in real.items():
            if path is not None and _within(directory, os.path.realpath(path)):
                problem = f"lies in the recordings of {shown(name)}"
                mistakes.append(_mistake(key, path, problem, "keep it elsewhere", lines))
    for camera in config.cameras:
        place = ("recordings", camera.name, "path")
        if places[camera.path].is_no_directory:
            problem, remedy = "is no directory", "name the directory that the recorder writes to"
            mistakes.append(_mistake(place, camera.path, problem, remedy, lines))
    return mistakes


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path leads, and whether something else than a directory is there."""

    real: str
    is_no_directory: bool = False


def _look(path: str) -> _Place:
    return _Place(os.path.realpath(path), os.path.exists(path) and not os.path.isdir(path))


def _looked(paths: Iterable[str], look: Callable[[str], _Place] = _look) -> dict[str, _Place]:
    """Look where *paths* lead; a share that hangs is not waited for, and taken by its name."""
    places = {path: _Place(os.path.normpath(path)) for path in paths}
    found: dict[str, _Place] = {}

    def ask(path: str) -> None:
        found[path] = look(path)

    threads = [Thread(target=ask, args=(path,), daemon=True) for path in places]
    for thread in threads:
        thread.start()
    clock = SystemClock()
    until_s = clock.monotonic_s() + _ANSWERS_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, until_s - clock.monotonic_s()))
    return {path: found.get(path, place) for path, place in places.items()}


def _mistake(
    place: KeyPath, value: str, problem: str, remedy: str, lines: Mapping[KeyPath, int]
) -> Mistake:
    return Mistake(
        line_of(place, lines) if lines else None, dotted(place), shown(value), problem, remedy
    )


def _within(directory: str, path: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _without(value: dict[str, Any], places: Iterable[KeyPath]) -> dict[str, Any]:
    """Copy *value* without what stands at *places*; of a list with a bad item nothing is kept."""
    gone = {tuple(itertools.takewhile(lambda part: isinstance(part, str), p)) for p in places}
    copied: dict[str, Any] = _copy(value, (), gone)
    return copied


def _copy(value: Any, path: KeyPath, gone: set[KeyPath]) -> Any:  # noqa: ANN401 - any YAML value
    if not isinstance(value, dict):
        return value
    return {
        key: _copy(inner, (*path, key), gone)
        for key, inner in value.items()
        if (*path, key) not in gone
    }


def _unique(name: str, taken: Iterable[str]) -> str:
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in set(taken))


def _leaves(value: Any, path: KeyPath = ()) -> dict[KeyPath, object]:  # noqa: ANN401 - any value
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {
        place: leaf
        for key, inner in value.items()
        for place, leaf in _leaves(inner, (*path, key)).items()
    }


def _fields(model: type[BaseModel], *but: str) -> tuple[str, ...]:
    return tuple(key for key in model.model_fields if key not in but)


_KEYS: Mapping[KeyPath, tuple[str, ...]] = {
    (): _fields(Config, "source"),
    ("recordings", "*"): _fields(Camera, "name"),
    ("transcoding",): _fields(Transcoding),
    ("logging",): _fields(Logging),
    ("logging", "loki"): _fields(Loki),
}
