"""Everything that every job works with: the encoder that was chosen, the tools, the settings.

Opened once a shift (and by each command that works on recordings), closed at its end. Opening it
tries encoders for real, which is why it can fail: with `Halt` (encoder_unavailable, no_ffmpeg) and
what would help.
"""

from dataclasses import dataclass, field
from typing import Self

from watcher.clock import Clock, SystemClock
from watcher.events import Emit, emit
from watcher.ledger.ledger import Fingerprint, Ledger, Subject, fingerprint
from watcher.replace.swap import Policy, Preflight
from watcher.settings import Transcoding
from watcher.transcode import ffmpeg as ffmpegs
from watcher.transcode.encoders import Settings
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.tools import VerifySettings
from watcher.transcode.trial import Choice, Chooser

__all__ = ["Workshop", "encode_settings", "open_workshop"]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a job works with; `close` ends the probe worker."""

    settings: Transcoding
    choice: Choice
    ledger: Ledger
    prober: Prober
    fingerprint: Fingerprint
    preflight: Preflight = field(default_factory=Preflight)
    clock: Clock = field(default_factory=SystemClock)
    emit: Emit = emit

    @property
    def encoder(self) -> str:
        """The encoder's label, under which the ledger measures speeds."""
        return self.choice.rung.label

    @property
    def encode_settings(self) -> Settings:
        """What the configuration says about an encode."""
        return encode_settings(self.settings)

    @property
    def verify(self) -> VerifySettings:
        """What the configuration says about the proof."""
        return VerifySettings.of(self.settings)

    @property
    def policy(self) -> Policy:
        """What the owner allows the swap."""
        return Policy(allow_non_exchange=self.settings.allow_non_exchange)

    def remember_restored(self, path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        """Keep a verdict of the swap's: its owner wants this file as it is."""
        self.ledger.remember_restored(Subject(path, size_bytes, mtime_ns, ""), reason)

    def close(self) -> None:
        """End the probe worker."""
        self.prober.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_workshop(
    settings: Transcoding,
    ledger: Ledger,
    chooser: Chooser,
    *,
    leash: Leash | None = None,
    clock: Clock | None = None,
    emit: Emit = emit,
) -> Workshop:
    """Find an ffmpeg and the encoder that works here; raise `Halt` where there is none."""
    clock = clock or SystemClock()
    found = ffmpegs.find(settings.ffmpeg)
    choice = chooser.choose(
        found, settings.codec, encode_settings(settings), qsv_mode=settings.qsv_mode, leash=leash
    )
    emit(
        "encoder_chosen",
        encoder=choice.rung.label,
        ffmpeg=choice.ffmpeg.path,
        rung=choice.rung.name,
        speed=round(choice.trial.speed, 2) if choice.trial.speed else None,
        rate_control=choice.trial.rate_control,
    )
    build = choice.ffmpeg.version
    return Workshop(
        settings=settings,
        choice=choice,
        ledger=ledger,
        prober=Prober(clock=clock),
        fingerprint=fingerprint(settings, encoder=choice.rung.label, ffmpeg_build=build),
        clock=clock,
        emit=emit,
    )


def encode_settings(settings: Transcoding) -> Settings:
    """Translate the configuration for the encoder room."""
    return Settings(
        quality=settings.quality,
        preset=settings.preset,
        max_threads=settings.max_threads,
        min_space_savings=settings.min_space_savings,
        stall_timeout_s=settings.stall_timeout_seconds,
        tolerate_damage=settings.damaged_sources == "convert",
        keep_user_data=settings.sei_user_data == "keep",
    )
