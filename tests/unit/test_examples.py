"""Property tests play other examples each time, also where they run unattended."""

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def test_no_run_under_ci_replays_the_examples_of_the_last() -> None:
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(CONFTEST.parent)!r})\n"
        f"runpy.run_path({str(CONFTEST)!r})\n"
        f"from hypothesis import settings; print(settings.default.derandomize)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CI": "true"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
