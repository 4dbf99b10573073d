"""The house as ARCHITECTURE.md draws it: who may import whom, who may touch what."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import watcher

HOUSE = Path(watcher.__file__).parent
REPOSITORY = Path(__file__).parents[2]
ARCHITECTURE = (HOUSE / "ARCHITECTURE.md").read_text(encoding="utf-8")

ROOMS = ("segments", "gate", "transcode", "replace", "ledger", "report")
"""In the order in which data flows through them: a room imports no later one."""
HALLWAY = frozenset(
    {
        "clock",
        "config",
        "errors",
        "events",
        "mistakes",
        "priority",
        "schedule",
        "settings",
        "values",
        "yamlfile",
    }
)
PURE = frozenset(
    {
        "gate.gate",
        "gate.window",
        "ledger.stats",
        "replace.marker",
        "replace.recovery",
        "segments.index",
        "segments.segment",
        "transcode.encoders",
    }
)
"""Values in, values out, by DESIGN section 2; so is every module that says "Pure." of itself."""
SAYS_PURE = re.compile(r"\bPure\b(?!,? but)")
IMPURE_LIBRARIES = frozenset(
    {
        "asyncio",
        "ctypes",
        "fcntl",
        "glob",
        "httpx",
        "imageio_ffmpeg",
        "io",
        "logging",
        "multiprocessing",
        "pathlib",
        "psutil",
        "resource",
        "select",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "structlog",
        "subprocess",
        "tempfile",
        "time",
        "urllib",
        "watchdog",
    }
)
PURE_OF_OS = frozenset({"PathLike", "fspath", "fsdecode", "fsencode", "path", "sep", "strerror"})
PURE_OF_OS_PATH = frozenset({"basename", "commonpath", "dirname", "join", "normpath", "split"})

CLOCK_CALLS = frozenset(
    {
        "datetime.now",
        "datetime.today",
        "datetime.utcnow",
        "date.today",
        "time.time",
        "time.time_ns",
        "time.sleep",
        "time.monotonic",
        "time.monotonic_ns",
    }
)
CHANGES_NAMES = frozenset(
    [
        "fsync",
        "hardlink_to",
        "link",
        "rename",
        "renames",
        "rmdir",
        "rmtree",
        "symlink",
        "symlink_to",
        "truncate",
        "unlink",
    ]
)
OWN_FILES = {
    "control": "flags, questions and answers in the state directory",
    "ledger.sqlitefile": "a damaged ledger is set aside",
    "report.spool": "log lines that wait for Loki",
    "segments.dump": "the index dump",
    "transcode.trial": "a temporary directory",
}
"""Who beside `replace` makes and removes files, and which: none of them stands by a recording."""

LONGEST_MODULE = 500  # from 400 on, a person looks hard at it; this is where a test says no
LONGEST_FUNCTION = 60


@cache
def tree(module: str) -> ast.Module:
    path = HOUSE.joinpath(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(source.read_text(encoding="utf-8"))


def modules() -> list[str]:
    found = sorted(HOUSE.rglob("*.py"))
    return [".".join(path.relative_to(HOUSE).with_suffix("").parts) for path in found]


def pure() -> list[str]:
    says = {each for each in modules() if SAYS_PURE.search(ast.get_docstring(tree(each)) or "")}
    return sorted(PURE | says)


def imported(module: str) -> Iterator[str]:
    """Every module of the house that *module* imports, anywhere in it, by its dotted name."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively; say whose module it is"
            for each in node.names:
                yield f"{node.module}.{each.name}"


def of_the_house(module: str) -> Iterator[str]:
    for name in imported(module):
        parts = name.split(".")
        if parts[0] == "watcher" and len(parts) > 1 and not parts[1].startswith("__"):
            yield parts[1]


def libraries(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)} - {"watcher"}


def impure_names(module: str) -> set[str]:
    """What it takes from the hallway's two impure modules, but for functions of values alone."""
    taken = {name for name in imported(module) if name.startswith(("watcher.clock.", "watcher.ev"))}
    return taken - {"watcher.clock.utc", "watcher.events.CATALOGUE"}


def called(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


class TestRooms:
    def test_every_module_stands_in_a_room_or_is_named_in_the_plan_of_the_house(self) -> None:
        outside = {each.split(".")[0] for each in modules()} - set(ROOMS)
        plan = set(re.findall(r"`(\w+)`", ARCHITECTURE))
        assert {each for each in outside if not each.startswith("__")} <= plan
        assert plan >= HALLWAY

    @pytest.mark.parametrize("room", ROOMS)
    def test_a_room_imports_no_later_one_and_not_the_shell(self, room: str) -> None:
        allowed = {*HALLWAY, *ROOMS[: ROOMS.index(room) + 1]}
        wrong = {
            f"{module} imports {name}"
            for module in modules()
            if module.split(".")[0] == room
            for name in of_the_house(module)
            if name not in allowed
        }
        assert not wrong

    @pytest.mark.parametrize("module", sorted(HALLWAY))
    def test_the_hallway_imports_no_room(self, module: str) -> None:
        assert set(of_the_house(module)) <= HALLWAY

    def test_nothing_imports_the_commands_but_the_commands(self) -> None:
        front = {"__main__", "byhand", "check", "cli", "commands", "demo", "restoring"}
        wrong = {
            f"{module} imports {name}"
            for module in modules()
            for name in of_the_house(module)
            if name in front and module not in front
        }
        assert not wrong


class TestWhoMayDoWhat:
    def test_the_clock_alone_asks_what_time_it_is(self) -> None:
        wrong = {
            f"{module}:{line} calls {name}"
            for module in modules()
            if module != "clock"
            for name, line in called(module)
            if ".".join(name.split(".")[-2:]) in CLOCK_CALLS
        }
        assert not wrong

    @pytest.mark.parametrize("module", pure())
    def test_a_pure_module_takes_values_and_gives_values(self, module: str) -> None:
        assert not libraries(module) & IMPURE_LIBRARIES
        assert not impure_names(module)
        assert "open" not in {name for name, _ in called(module)}
        for node in ast.walk(tree(module)):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            parts = name.split(".")
            if parts[0] == "os":
                assert parts[1] in PURE_OF_OS, f"{module} uses {name}"
                assert parts[1:2] != ["path"] or set(parts[2:]) <= PURE_OF_OS_PATH, name

    def test_children_are_started_in_few_places(self) -> None:
        starters = {
            module
            for module in modules()
            for name, _ in called(module)
            if name.split(".")[-1] in {"Popen", "check_output", "check_call", "posix_spawn"}
            or name in {"subprocess.run", "os.system", "os.fork"}
        }
        assert starters <= {"transcode.child", "gate.health", "demo", "demo_box"}

    def test_one_module_changes_what_stands_beside_recordings(self) -> None:
        changed = {
            module: name
            for module in modules()
            for name, _ in called(module)
            if name.split(".")[-1] in CHANGES_NAMES or name == "os.remove"
        }
        by_system_call = {each for each, name in changed.items() if name.startswith("os.")}
        in_replace = {each for each in changed if each.startswith("replace.")}
        assert by_system_call & in_replace <= {"replace.directory"}
        assert set(changed) - in_replace <= set(OWN_FILES)

    def test_no_shell_and_no_eval(self) -> None:
        wrong = {
            f"{module}:{node.lineno}"
            for module in modules()
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Call)
            and (
                any(word.arg == "shell" for word in node.keywords)
                or ast.unparse(node.func) in {"eval", "exec", "pickle.loads"}
            )
        }
        assert not wrong


class TestForm:
    @pytest.mark.parametrize("module", modules())
    def test_a_module_says_what_it_is_for_and_is_read_in_one_go(self, module: str) -> None:
        path = HOUSE.joinpath(*module.split(".")).with_suffix(".py")
        assert ast.get_docstring(tree(module.removesuffix(".__init__"))), module
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST_MODULE, f"{module} has {lines} lines"

    def test_no_function_is_longer_than_a_page(self) -> None:
        long = {
            f"{module}.{node.name}: {length}"
            for module in modules()
            for node in ast.walk(tree(module))
            if isinstance(node, ast.FunctionDef)
            and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
        }
        assert not long


class TestRepository:
    def test_nothing_else_stands_at_the_top(self) -> None:
        git = shutil.which("git")
        if git is None or not (REPOSITORY / ".git").exists():
            pytest.skip("not a git checkout: what belongs to the repository can't be told")
        command = [git, "-C", str(REPOSITORY), "ls-files", "-z"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        top = {path.split("/")[0] for path in listed.split("\0") if path}
        ours = {"watcher", "tests", "etc", "pyproject.toml", "README.md", "tox.ini"}
        assert {each for each in top if not each.startswith(".")} <= ours
