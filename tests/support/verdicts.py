"""Ready-made subjects, outcomes and fingerprints for tests of the ledger."""

import os
from collections.abc import Iterable

from watcher.ledger.fingerprint import fingerprint
from watcher.ledger.ledger import Ledger, Outcome, Subject
from watcher.settings import Transcoding

PRINT = fingerprint(Transcoding(), encoder="libx265", ffmpeg_build="9.0")
"""What decides by default."""


def subject(number: int = 0, camera: str = "cam1") -> Subject:
    """One of many files."""
    return Subject(f"/cams/{camera}/{number:06d}.mp4", 1000 + number, 10**18 + number, camera)


def outcome(number: int = 0, camera: str = "cam1", encoder: str = "libx265") -> Outcome:
    """What became of it: 100 bytes became 40, in ten seconds' work."""
    return Outcome(
        path=subject(number, camera).path,
        camera=camera,
        encoder=encoder,
        finished_at_s=1_700_000_000.0 + number,
        original_size=100,
        new_size=40,
        media_s=60.0,
        encode_s=8.0,
        verify_s=2.0,
        paused_s=5.0,
        vmaf=95.5,
    )


def remember_hevc(
    path: str, files: Iterable[tuple[str, int, int]], detail: str = "it is HEVC already"
) -> None:
    """Refuse *files* in the ledger at *path* as it does itself, but many to a transaction.

    Each is a path, a size and an mtime.
    """
    rows = ((os.fsencode(name), size, mtime_ns, detail) for name, size, mtime_ns in files)
    ground = PRINT.of("already_hevc")
    with Ledger(path) as ledger:
        database = ledger._database
        database.read(
            lambda c: c.execute("INSERT INTO grounds (id, text) VALUES (1, ?)", (ground,)), None
        )
        database.write(
            lambda c: c.executemany(  # type: ignore[arg-type] # the cursor is dropped
                "INSERT INTO verdicts VALUES (?, ?, ?, 'refused', 'already_hevc', 1, NULL, 1, 1,"
                " 'cam1', 1.7e9, ?)",
                rows,
            )
        )
