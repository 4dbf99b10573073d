"""Ready-made subjects, outcomes and fingerprints for tests of the ledger."""

from watcher.ledger.fingerprint import fingerprint
from watcher.ledger.ledger import Outcome, Subject
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
