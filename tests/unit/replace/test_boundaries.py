"""Only one place changes recordings' names or makes them durable: read from the code itself."""

import ast
from pathlib import Path

import watcher

ROOT = Path(watcher.__file__).parent

FORBIDDEN = {
    *("rename", "renames", "replace", "link", "symlink", "unlink", "remove", "rmtree", "move"),
    *("fsync", "fdatasync", "truncate", "hardlink_to", "symlink_to", "removedirs", "rmdir"),
    *("exchange", "move_over", "renameat2", "syncfs", "sync"),
}

THE_PLACE = {
    f"replace/{name}.py"
    for name in (
        *("directory", "linux", "preflight", "swap", "sealing", "steps", "mend", "upkeep"),
        "leftovers",
    )
}
"""What may change a recording's names, or make a copy durable; see replace/directory.py."""

STATE_FILES = {
    "control.py": "flags, questions and answers in the state directory",
    "segments/dump.py": "index-dump.jsonl in the state directory",
    "ledger/sqlitefile.py": "a ledger that is set aside",
    "transcode/trial.py": "its own trial clips, in a temporary directory",
    "report/outlets.py": "the log file's rotation",
    "report/spool.py": "the spool of lines that Loki has not taken yet",
}
"""Who touches other files, and which. None of these may touch a recording."""


def _calls(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in FORBIDDEN and not _is_harmless(node):
                found.append((node.lineno, name))
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}:
            found += [(node.lineno, alias.name) for alias in node.names if alias.name in FORBIDDEN]
    return found


def _is_harmless(call: ast.Call) -> bool:
    """str.replace has two arguments, dataclasses' and datetime's only keywords or a value first;
    what removes or moves is of os or shutil, or nothing on a disk (list, set, handlers)."""
    assert isinstance(call.func, ast.Attribute)
    name, arguments = call.func.attr, call.args
    of_module = isinstance(call.func.value, ast.Name) and call.func.value.id in {"os", "shutil"}
    if of_module:
        return False
    if name == "replace":
        return len(arguments) != 1 or bool(call.keywords)
    return name in {"move", "remove"}


def test_no_other_module_changes_recordings() -> None:
    """rename, link, unlink, fsync: in the one place, or on files that are named here."""
    strangers = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = str(path.relative_to(ROOT))
        if module in THE_PLACE | STATE_FILES.keys():
            continue
        calls = _calls(ast.parse(path.read_text(encoding="utf-8")))
        if calls:
            strangers[module] = calls
    assert strangers == {}


def test_the_test_itself_sees_them(tmp_path: Path) -> None:
    """A checker that finds nothing because it looks wrongly would hold everything."""
    source = "import os\nfrom os import rename\nos.unlink(p)\nPath(p).replace(q)\nfd.sync()\n"
    source += "name.replace('a', 'b')\nthings.remove(one)\nos.remove(p)\n"
    (tmp_path / "bad.py").write_text(source, encoding="utf-8")
    found = {line for line, _ in _calls(ast.parse(source))}
    assert found == {2, 3, 4, 5, 8}


def test_nobody_else_calls_the_primitive_operations() -> None:
    """LinuxDirectory is opened elsewhere, and handed to this room; never acted upon."""
    for path in sorted(ROOT.rglob("*.py")):
        module = str(path.relative_to(ROOT))
        if not module.startswith("replace/"):
            text = path.read_text(encoding="utf-8")
            assert "replace.linux" not in text, module
            assert "replace.steps import" not in text or "rewrite_marker" not in text, module


def test_the_list_of_exceptions_is_no_longer_than_it_has_to_be() -> None:
    """Whoever is named here does touch files; who no longer does is taken off."""
    idle = {
        module
        for module in STATE_FILES
        if not (ROOT / module).exists()
        or not _calls(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    }
    assert idle == set()
