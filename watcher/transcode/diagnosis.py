"""What ffmpeg's last words mean, whose fault they are, and what helps.

Pure. ffmpeg says the same for a missing node, a missing permission and a missing driver, so a look
at the device node comes first (`DeviceLook`, taken by `ffmpeg.look_at_device`). The rows are what
real machines have said; what is in no row is unknown, and said so.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What went wrong."""

    NO_GPU = "no_gpu"
    PERMISSION = "permission"
    KERNEL_DRIVER = "kernel_driver"
    LIBVA = "libva"
    DRIVER = "driver"
    RUNTIME = "runtime"
    OLD_FFMPEG = "old_ffmpeg"
    RATE_CONTROL = "rate_control"
    ENTRYPOINT = "entrypoint"
    HANG = "hang"
    FORMATS = "formats"
    DECODER = "decoder"
    NO_NVIDIA = "no_nvidia"
    DISK_FULL = "disk_full"
    WRITE_ERROR = "write_error"
    READ_ERROR = "read_error"
    GONE = "gone"
    MEMORY = "memory"
    SOURCE = "source"
    ORDER = "order"
    UNKNOWN = "unknown"


HARDWARE_KINDS: Final = frozenset(
    {
        Kind.NO_GPU,
        Kind.PERMISSION,
        Kind.KERNEL_DRIVER,
        Kind.LIBVA,
        Kind.DRIVER,
        Kind.RUNTIME,
        Kind.OLD_FFMPEG,
        Kind.RATE_CONTROL,
        Kind.ENTRYPOINT,
        Kind.HANG,
        Kind.FORMATS,
        Kind.DECODER,
        Kind.NO_NVIDIA,
    }
)
"""What is the machine's fault, not the recording's."""


class Look(StrEnum):
    """What opening the device node said."""

    OPENS = "opens"
    ABSENT = "absent"
    FORBIDDEN = "forbidden"
    NO_DRIVER = "no_driver"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class DeviceLook:
    """A render node, and what opening it said. *driver*: the VAAPI driver to name; None: none."""

    path: str | None
    look: Look
    driver: str | None = "iHD"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, in a person's words, and what to do about it."""

    kind: Kind
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class _Row:
    pattern: re.Pattern[str]
    diagnosis: Diagnosis


def _row(pattern: str, kind: Kind, cause: str, remedy: str) -> _Row:
    return _Row(re.compile(pattern), Diagnosis(kind, cause, remedy))


_RUNTIME_REMEDY = (
    "install the VPL runtime: libmfx-gen1.2 (Debian, Ubuntu), onevpl-intel-gpu or vpl-gpu-rt"
)
_DRIVER_REMEDY = (
    "install a newer intel-media-va-driver (non-free where there is one); LIBVA_DRIVER_NAME=iHD"
)

# The order is the order of asking: a hang prints many lines, of which some are in other rows too.
ROWS: Final = (
    _row(
        r"No space left on device|Disk quota exceeded",
        Kind.DISK_FULL,
        "the disk, or the user's quota on it, is full",
        "make room on the recordings' file system",
    ),
    _row(
        r"Error (?:writing|muxing|closing)[^\n]*Input/output error",
        Kind.WRITE_ERROR,
        "the disk reports an I/O error on writing",
        "look at the kernel log and the disk's health",
    ),
    _row(
        r"(?:demuxing|reading|\[in#)[^\n]*Input/output error",
        Kind.READ_ERROR,
        "the disk reports an I/O error on reading",
        "look at the kernel log and the disk's health",
    ),
    _row(
        r"Error opening output[^\n]*(?:Permission denied|Read-only file system|No such file)",
        Kind.WRITE_ERROR,
        "the copy can't be written beside the recording",
        "the service's user must be able to write into the recordings' directories",
    ),
    _row(
        r"\[in#0[^\n]*No such file or directory",
        Kind.GONE,
        "the recording went away",
        "",
    ),
    _row(
        r"\[in#0[^\n]*(?:Permission denied|Operation not permitted|Stale file handle)",
        Kind.READ_ERROR,
        "the recording can't be read",
        "the service's user must be able to read the recordings",
    ),
    _row(
        r"GPU Hang|device failed \(-17\)|Invalid FrameType:0\.|GPU HANG",
        Kind.HANG,
        "the GPU hung or was reset",
        "look at the kernel log; newer kernel, firmware and driver; hardware stays off meanwhile",
    ),
    _row(
        r"libva-drm\.so\.2: failed to load|libva\.so\.2: failed to load"
        r"|implib-gen: \S+: failed to load",
        Kind.LIBVA,
        "the host's libva is not installed",
        "install libva2, libva-drm2 and libdrm2",
    ),
    _row(
        r"Could not load the requested plugin",
        Kind.OLD_FFMPEG,
        "this ffmpeg is an old libmfx build beside a VPL runtime",
        "use a newer ffmpeg: jellyfin-ffmpeg7, or the bundled one",
    ),
    _row(
        r"Error setting child device handle: -17|implementation version is 1\.35|API version 1\.35",
        Kind.RUNTIME,
        "the legacy Media SDK was taken for the runtime",
        "install libmfx-gen1.2 and remove libmfxhw64",
    ),
    _row(
        r"Error creating a MFX session: -9|Device creation failed: -1313558101"
        r"|Error initializing an internal MFX session: unsupported \(-3\)",
        Kind.RUNTIME,
        "no VPL runtime is installed",
        _RUNTIME_REMEDY,
    ),
    _row(
        r"Failed to initialise VAAPI connection: -1",
        Kind.DRIVER,
        "the iHD driver is missing, too old, or another is named",
        _DRIVER_REMEDY,
    ),
    _row(
        r"No usable encoding entrypoint found",
        Kind.ENTRYPOINT,
        "this driver has no such entry point",
        "the other low_power setting is tried",
    ),
    _row(
        r"supported modes: CQP|Driver does not support [^\n]*RC mode",
        Kind.RATE_CONTROL,
        "low power without HuC knows constant quality alone",
        "-rc_mode CQP is tried; for bitrate modes HuC: kernel 6.2 or newer",
    ),
    _row(
        r"(?:Current [^\n]* is unsupported[^\n]*\n[^\n]*){2,}",
        Kind.ENTRYPOINT,
        "the driver has no such encoder (the list of complaints is not to be read literally)",
        "low power with constant quality is tried; vainfo shows the entry points",
    ),
    _row(
        r"Selected ratecontrol mode is unsupported|invalid video parameters \(-15\)",
        Kind.RATE_CONTROL,
        "this driver does not have the rate control asked for",
        "the next rung is tried; for bitrate modes HuC: kernel 6.2 or newer",
    ),
    _row(
        r"Impossible to convert between the formats supported by the filter",
        Kind.FORMATS,
        "a software filter met hardware frames",
        "software decoding is tried",
    ),
    _row(
        r"_(?:qsv|cuvid) @ [^\n]*Error decoding header|Error decoding header",
        Kind.DECODER,
        "the hardware decoder does not take this stream",
        "software decoding is tried",
    ),
    _row(
        r"Cannot load libcuda\.so\.1",
        Kind.NO_NVIDIA,
        "there is no NVIDIA driver",
        "choose another codec",
    ),
    _row(
        r"No VA display found for device|Device creation failed: -542398533"
        r"|No device available for decoder|Failed to open [^\n]*/dev/dri|Device creation failed",
        Kind.DRIVER,
        "the device could not be opened, though its node is there",
        _DRIVER_REMEDY,
    ),
    _row(
        r"Cannot allocate memory|std::bad_alloc|malloc of size",
        Kind.MEMORY,
        "it needed more memory than a child may have",
        "a smaller max_threads, or more memory",
    ),
    _row(
        # Of what is copied, or comes from an encoder in software: it has the times of the source.
        r"\[(?:[as]ost#|vost#\d+:\d+/lib)[^\n]*Non-monotonic DTS",
        Kind.ORDER,
        "its frames, or its sound, come at times that contradict their order",
        "",
    ),
)

_BY_LOOK = {
    Look.ABSENT: Diagnosis(
        Kind.NO_GPU,
        "there is no /dev/dri/renderD*: no GPU, its kernel driver is off, or it is not mapped "
        "into the container",
        "map /dev/dri into the container, load i915 or xe, or choose codec: libx265",
    ),
    Look.FORBIDDEN: Diagnosis(
        Kind.PERMISSION,
        "the render node may not be opened by this user",
        "add the service's user to the group that owns it: usermod -aG render watcher",
    ),
    Look.NO_DRIVER: Diagnosis(
        Kind.KERNEL_DRIVER,
        "the render node is there but no kernel driver answers",
        "load i915 or xe, look at the kernel log; firmware-misc-nonfree",
    ),
    Look.BROKEN: Diagnosis(
        Kind.KERNEL_DRIVER,
        "the render node can't be opened",
        "look at the kernel log",
    ),
}

_OF_DEVICE = frozenset({Kind.DRIVER, Kind.RUNTIME, Kind.ENTRYPOINT})

# what ffmpeg's own (software) decoders and demuxers say of the source; `-loglevel level` marks it
_SOURCE_LINE = re.compile(
    r"^\[(?:in#0|vist#|aist#|mov,mp4|matroska|mpegts|(?:h264|hevc|mpeg4|mjpeg|aac)(?: @|\]))"
    r"[^\n]*\[(?:error|fatal|panic)\]",
    re.MULTILINE,
)
# ... and what says that the run ended over it: decoders grumble about much that they can mend
_ENDED_BY_SOURCE = re.compile(
    r"^(?:\[(?:in#0|vist#|aist#|dec:)[^\n]*|\[error\] )"
    r"(?:corrupt (?:decoded frame|input packet)|Invalid data found|moov atom not found"
    r"|Error (?:submitting|processing) packet|Error while decoding stream)",
    re.MULTILINE,
)
_CHANGED = re.compile(r"filter context - w: [^\n]*incoming frame - w: (\d+) h: (\d+)")
_SILENT = "it said nothing"


def diagnose(stderr: str, device: DeviceLook | None = None) -> Diagnosis:
    """Say what *stderr* means; *device* is the look at the node, for hardware encoders."""
    found = next((row.diagnosis for row in ROWS if row.pattern.search(stderr)), None)
    if device is not None and device.look is not Look.OPENS and _may_be_the_node(found):
        return _BY_LOOK[device.look]
    if found is not None:
        return found
    if source_errors(stderr) and _ENDED_BY_SOURCE.search(stderr):
        return Diagnosis(Kind.SOURCE, "the recording does not decode cleanly", "")
    return Diagnosis(Kind.UNKNOWN, last_words(stderr), "")


def before(device: DeviceLook) -> Diagnosis | None:
    """Say what the node alone says is wrong; None where it opens."""
    return _BY_LOOK.get(device.look)


def source_errors(stderr: str) -> int:
    """Count the lines in which a decoder or demuxer complains of the source."""
    return len(_SOURCE_LINE.findall(stderr))


def changed_frames(stderr: str) -> tuple[int, int] | None:
    """Give the size of frames that are not like the first one (`-reinit_filter 0` tells).

    Left to itself, ffmpeg scales them to the first one's size without a word.
    """
    found = _CHANGED.search(stderr)
    return (int(found[1]), int(found[2])) if found else None


def last_words(stderr: str) -> str:
    """Give the last line that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "Conversion failed" not in line]
    return (telling or lines or [_SILENT])[-1][:300]


def _may_be_the_node(found: Diagnosis | None) -> bool:
    return found is None or found.kind in _OF_DEVICE
