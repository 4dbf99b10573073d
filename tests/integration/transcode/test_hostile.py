"""Files that want something else opened: playlists, scripts, session descriptions, references.

Each names a file and a host that we watch; whatever is done with the file, neither is touched.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clips import clip
from support.corpus import CONCAT, PLAYLIST, SDP
from support.damage import Bend, bent
from support.proving import STRUCTURE, encode_that, proven, the_ffmpeg, tools
from support.trap import Trap

from watcher.errors import Refused, WatcherError
from watcher.transcode.decode import decode, decode_words, input_words
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.verify import judge_source


def test_the_trap_works(trap: Trap) -> None:
    assert trap.touched() == []
    trap.secret.read_bytes()
    socket.create_connection(("127.0.0.1", trap.port)).close()
    assert trap.touched() == ["file", "port"]


def refers_to(target: bytes) -> Bend:
    """Put a reference to another file into the first track of an MP4 that ends with its index."""

    def bend(data: bytearray) -> None:
        at = data.index(b"url ") - 4
        reference = struct.pack(">I4sI", 12 + len(target) + 1, b"url ", 0) + target + b"\0"
        data[at : at + 12] = reference
        for kind in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
            length_at = data.rindex(kind, 0, at) - 4
            (length,) = struct.unpack(">I", data[length_at : length_at + 4])
            data[length_at : length_at + 4] = struct.pack(">I", length + len(reference) - 12)

    return bend


def baits(trap: Trap, directory: Path) -> Iterator[Path]:
    """Give files that would have the trap touched by a trusting reader."""
    local, remote = os.fsencode(trap.secret), b"http://127.0.0.1:%d/x.ts" % trap.port
    contents = {
        "playlist": PLAYLIST % local,
        "remote playlist": PLAYLIST % remote,
        "concat": CONCAT % local,
        "remote concat": CONCAT % remote,
        "sdp": SDP % str(trap.port).encode("ascii"),
        "dash": b"<?xml version='1.0'?><MPD><BaseURL>%s</BaseURL></MPD>" % remote,
    }
    for name, content in contents.items():
        path = directory / f"{name}.mp4"
        path.write_bytes(content)
        yield path
    for name, target in (("reference", local), ("remote reference", remote)):
        yield bent(clip(seconds=1), directory / f"{name}.mp4", refers_to(target))


def test_nothing_that_a_file_names_is_opened(trap: Trap, tmp_path: Path) -> None:
    """Neither by the probe, nor by the walk, nor by ffmpeg told to read it as any container."""
    directory = tmp_path / "cam"
    directory.mkdir()
    with Prober() as prober:
        for path in baits(trap, directory):
            with pytest.raises(Refused):
                judge_source(prober.probe(os.fspath(path)), STRUCTURE, tools(prober))
            for container in ("mp4", "matroska", "mpegts"):
                words = decode_words(os.fspath(path), container)
                with contextlib.suppress(WatcherError):
                    decode(the_ffmpeg().path, os.fspath(path), words, Leash())
            with contextlib.suppress(WatcherError):
                proven(prober, clip(seconds=1), path, encoded=encode_that())
            assert trap.touched() == [], path.name


def test_a_container_that_nobody_reads_here_is_not_guessed() -> None:
    with pytest.raises(Refused):
        input_words("/x", "hls")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_what_is_opened_is_the_file_alone(trap: Trap, tmp_path: Path) -> None:
    """The kernel's own word for it: every open and connect of all children, VMAF's too."""
    directory = tmp_path / "cam"
    directory.mkdir()
    paths = [os.fspath(path) for path in baits(trap, directory)]
    trace = tmp_path / "trace"
    words = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "4096"]
    words += ["-e", "trace=open,openat,connect,socket"]
    tests = Path(__file__).parents[2]
    script = tests / "support" / "bait_reader.py"
    done = subprocess.run(
        [*words, "-o", trace, sys.executable, script, *paths],
        check=False,
        timeout=240,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    seen = trace.read_text("utf-8", "replace")
    assert "remote reference.mp4" in seen
    tried = done.stdout.split()  # what only refers to a file has its own frames compared
    assert (len(tried), set(tried)) == (len(paths), {b"vmaf_failed", b"measured"})
    assert os.fspath(trap.secret) not in seen
    assert "AF_INET" not in seen
