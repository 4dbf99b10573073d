"""An ffmpeg with the hardware that this machine lacks.

It takes the same argv as the real one and holds every option of a hardware encoder to ffmpeg's
captured help. Then a rule of the test's decides: it replays a message with its exit code, stands
still, writes garbage; or, where no rule fits, it encodes for real, by libx265 in the hardware's
place. What asks about software goes to the real ffmpeg as it is.

`install(directory, rules…)` gives the path of an executable; `calls(path)` tells what it was
asked. The executable is this file, run with its rules beside it.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

STANDING = "standing.pid"  # beside the executable: who stands still
HARDWARE = ("hevc_qsv", "hevc_vaapi", "hevc_nvenc", "av1_qsv")


@dataclass(frozen=True)
class Rule:
    """What happens where all words of *when* are in the argv, in this order.

    *action*: replay (stderr and exit code), hang (progress stops), garbage (other pictures),
    deaf (ignores SIGTERM, makes no progress).
    """

    when: tuple[str, ...] = ()
    action: str = "replay"
    stderr: str = ""
    exit_code: int = 1
    unless: tuple[str, ...] = ()


def install(directory: Path, *rules: Rule) -> str:
    """Put an executable into *directory* that follows *rules*; give its path."""
    from support.clips import bundled_ffmpeg  # noqa: PLC0415 - this file runs without it, too

    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "ffmpeg"
    setting = {"real": bundled_ffmpeg(), "rules": [asdict(rule) for rule in rules]}
    (directory / "rules.json").write_text(json.dumps(setting), "utf-8")
    (directory / "calls.jsonl").write_text("", "utf-8")
    start = f'exec {sys.executable} -S -E {Path(__file__).resolve()} "$0" "$@"'
    path.write_text(f"#!/bin/sh\n{start}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def calls(path: str) -> list[list[str]]:
    """Give every argv that encoded something by hardware, in order."""
    lines = (Path(path).parent / "calls.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def stands(path: str) -> bool:
    """Say whether one lives that stands still."""
    try:
        os.kill(int((Path(path).parent / STANDING).read_text("ascii")), 0)
    except (OSError, ValueError):  # none yet, or not written yet, or it has ended
        return False
    return True


def main(argv: list[str]) -> None:
    """Be ffmpeg."""
    here = Path(argv[0]).parent
    setting = json.loads((here / "rules.json").read_text("utf-8"))
    if not any(word in HARDWARE for word in argv):
        os.execv(setting["real"], [setting["real"], *argv[1:]])
    with (here / "calls.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(argv) + "\n")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from support.ffmpeg_help import problems  # noqa: PLC0415 - only now is it on the path

    wrong = problems(argv)
    if wrong:
        sys.stderr.write("\n".join(wrong) + "\n")
        sys.exit(8)
    rule = next((r for r in setting["rules"] if _fits(r, argv)), None)
    if rule is None or rule["action"] == "garbage":
        words = in_software(argv, garbage=rule is not None)
        os.execv(setting["real"], [setting["real"], *words])
    sys.stderr.write(rule["stderr"])
    sys.stderr.flush()
    if rule["action"] == "replay":
        sys.exit(rule["exit_code"])
    _stand_still(here, deaf=rule["action"] == "deaf")


def in_software(argv: Sequence[str], *, garbage: bool = False) -> list[str]:
    """Give *argv*'s words with libx265 in the place of the hardware, the rest as it is."""
    from support.ffmpeg_help import encoder_options, options  # noqa: PLC0415 - see `main`

    encoder = next(word for word in argv if word in HARDWARE)
    dropped = encoder_options(encoder) | {
        *["init_hw_device", "filter_hw_device", "hwaccel", "hwaccel_device", "vf"],
        *["hwaccel_output_format", "q", "global_quality", "i_qfactor", "i_qoffset"],
        *["b_qfactor", "b_qoffset", "b", "maxrate", "bufsize"],
    }
    words: list[str] = []
    for name, value in options(argv):
        if name == "c:v:0":
            words += ["-c:v:0", "libx265", "-preset", "ultrafast"]
            words += ["-x265-params", "log-level=error:pools=1:min-keyint=1:open-gop=0"]
            words += ["-vf", "negate"] if garbage else []
        elif name.split(":")[0] not in dropped or name == "tag:v:0":
            words += [f"-{name}", *([] if value is None else [value])]
    return [*words, argv[-1]]


def _fits(rule: dict[str, list[str]], argv: Sequence[str]) -> bool:
    said = " ".join(argv)
    return all(one in said for one in rule["when"]) and not any(
        one in said for one in rule["unless"]
    )


def _stand_still(here: Path, *, deaf: bool) -> None:
    import signal  # noqa: PLC0415 - seldom needed

    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("frame=1\ntotal_size=100\nprogress=continue\n")
    sys.stdout.flush()
    (here / STANDING).write_text(str(os.getpid()), "ascii")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
