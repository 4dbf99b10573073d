"""What judging a file needs: the tools it works with, and what the configuration says of it."""

from dataclasses import dataclass, field
from typing import Literal, Self

from watcher.clock import Clock
from watcher.settings import Transcoding
from watcher.transcode.child import Leash
from watcher.transcode.ffmpeg import Ffmpeg, bundled, inspect
from watcher.transcode.probe import Prober
from watcher.transcode.quality import QualitySettings

_VMAF = "libvmaf"


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """What the configuration says about proving a copy.

    *quality* None leaves out VMAF alone (`verify_quality: false`), never the structural proof.
    """

    min_space_savings: float = 10.0
    decode: Literal["full", "sampled"] = "full"
    damaged_sources: Literal["skip", "convert"] = "skip"
    user_data: Literal["keep", "drop"] = "keep"
    quality: QualitySettings | None = field(default_factory=QualitySettings)
    max_threads: int | None = None
    stall_timeout_s: float = 120.0

    @classmethod
    def of(cls, configured: Transcoding) -> Self:
        """Take what concerns verification out of the configuration."""
        quality = QualitySettings(
            min_vmaf=configured.min_vmaf,
            max_threads=configured.max_threads,
            stall_timeout_s=configured.stall_timeout_seconds,
        )
        return cls(
            min_space_savings=configured.min_space_savings,
            decode=configured.verify_decode,
            damaged_sources=configured.damaged_sources,
            user_data=configured.sei_user_data,
            quality=quality if configured.verify_quality else None,
            max_threads=configured.max_threads,
            stall_timeout_s=configured.stall_timeout_seconds,
        )


@dataclass(frozen=True, slots=True)
class Tools:
    """What one job verifies with."""

    ffmpeg: Ffmpeg
    prober: Prober
    leash: Leash
    clock: Clock | None = None

    @property
    def vmaf_ffmpeg(self) -> str | None:
        """Name an ffmpeg that has libvmaf: the one that encodes, else the bundled one."""
        if _VMAF in self.ffmpeg.filters:
            return self.ffmpeg.path
        other = bundled()
        found = inspect(other) if other else None
        return found.path if found and _VMAF in found.filters else None
