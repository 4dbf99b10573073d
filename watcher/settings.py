"""The configuration's models: every key, its type and its default, in this one place.

Frozen, and validated at the door: what lies behind a `Config` needs no second check. How a file
becomes one is `config`'s business, what a value may be `values`'; what each key means to a person
stands in etc/watcher.example.yaml, which a test holds to this page.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from watcher.values import (
    AbsolutePath,
    Bytes,
    Days,
    Gigabytes,
    Labels,
    Limit,
    LongMinutes,
    LongSeconds,
    Minutes,
    OptionalAddress,
    OptionalCelsius,
    OptionalCommand,
    OptionalDays,
    OptionalGigabytes,
    OptionalPath,
    OptionalText,
    OptionalThreads,
    OptionalTimezone,
    Patterns,
    Percent,
    Quality,
    Savings,
    Schedule,
    Seconds,
    SegmentSeconds,
    ShortSeconds,
    SourceCodecs,
    Text,
    Truth,
    one_of,
)

SHORTEST_KEEP_S = 3600.0
"""No original goes sooner than this after its replacement, whatever is configured."""

Watch = Literal["inotify", "poll"]
Codec = Literal["hevc_qsv", "hevc_vaapi", "libx265", "libsvtav1", "auto", "hevc_nvenc", "av1_qsv"]
QsvMode = Literal["fast", "efficient"]
Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
]
Decode = Literal["full", "sampled"]
Damaged = Literal["skip", "convert"]
UserData = Literal["keep", "drop"]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console", "auto"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Camera(_Model):
    """One directory that a recorder writes segments into, at any depth below it."""

    name: Text
    path: AbsolutePath
    patterns: Patterns = ("*.mp4",)
    segment_seconds: SegmentSeconds = None
    health_command: OptionalCommand = None
    retention_days: OptionalDays = None
    watch: Annotated[Watch, one_of(Watch)] = "inotify"


class Transcoding(_Model):
    """When to work, at whose expense, with what, and what to keep."""

    enabled: Truth = True
    min_age_days: Days = 7
    run_schedule: Schedule = "02:00-06:00"
    timezone: OptionalTimezone = None
    overrun_minutes: Minutes = 10
    max_cpu_percent: Limit = 15
    max_io_wait: Limit = 5
    max_gpu_percent: Limit = 50
    max_temperature_c: OptionalCelsius = None
    max_pause_minutes: LongMinutes = 60
    stall_timeout_seconds: LongSeconds = 120
    stop_timeout_seconds: Seconds = 300
    max_threads: OptionalThreads = None
    codec: Annotated[Codec, one_of(Codec)] = "hevc_qsv"
    qsv_mode: Annotated[QsvMode, one_of(QsvMode)] = "fast"
    preset: Annotated[Preset, one_of(Preset)] = "medium"
    quality: Quality = 23
    target_vmaf: Percent = 95
    verify_quality: Truth = True
    min_vmaf: Percent = 80
    verify_decode: Annotated[Decode, one_of(Decode)] = "full"
    damaged_sources: Annotated[Damaged, one_of(Damaged)] = "skip"
    sei_user_data: Annotated[UserData, one_of(UserData)] = "keep"
    keep_original_days: Days = 1
    release_originals_early: Truth = True
    min_free_space_gb: OptionalGigabytes = None
    critical_free_space_gb: Gigabytes = 5
    max_held_gb: OptionalGigabytes = None
    allow_non_exchange: Truth = False
    target_space_savings: Percent = 40
    min_space_savings: Savings = 10
    source_codecs: SourceCodecs = ("h264",)
    ffmpeg: OptionalPath = None

    @property
    def keep_original_s(self) -> float:
        """Give the safety period in seconds; never under an hour."""
        return max(SHORTEST_KEEP_S, self.keep_original_days * 86400.0)


class Loki(_Model):
    """Where log lines are pushed to, if anywhere."""

    url: OptionalAddress = None
    labels: Labels = {"service_name": "watcher"}
    spool_bytes: Bytes = 64 * 2**20
    username: OptionalText = None
    password_file: OptionalPath = None
    token_file: OptionalPath = None
    tenant: OptionalText = None
    ca_file: OptionalPath = None
    use_proxy_environment: Truth = False
    timeout_seconds: ShortSeconds = 10


class Logging(_Model):
    """How the log is written."""

    level: Annotated[Level, one_of(Level)] = "info"
    format: Annotated[Format, one_of(Format)] = "auto"
    file: OptionalPath = None
    loki: Loki = Loki()


class Config(_Model):
    """A whole configuration; *source* is the file it came from, None where there was none."""

    recordings: dict[str, Camera]
    transcoding: Transcoding = Transcoding()
    state_dir: OptionalPath = None
    logging: Logging = Logging()
    source: str | None = None

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Give the cameras in the file's order."""
        return tuple(self.recordings.values())
