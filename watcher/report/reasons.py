"""Every reason why a file or the whole service waits, in a person's words, with the remedy.

One table. A test holds it to the code: each reason with which something is raised or kept has its
row. A reason that is not here (an older ledger, a later version) is shown as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means, and what a person can do; no remedy where nothing is wrong."""

    sentence: str
    remedy: str | None = None


_ITSELF: Final = "nothing: it is tried again by itself"
_RETRY: Final = "`watcher retry FILE` has it tried at once"
_REPORT: Final = "nothing is lost; a bug report with the recording's first seconds helps"
_ENCODER: Final = "`watcher check` tries each encoder and says what is missing"
_OWNER: Final = "let the service run as the recorder's user, or as root"

_FILE: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "already_hevc": Meaning("it is HEVC already"),
        "codec_not_listed": Meaning(
            "its codec is not in `source_codecs`", "add the codec to `transcoding.source_codecs`"
        ),
        "made_by_watcher": Meaning("Watcher made this file"),
        "symbolic_link": Meaning("it is a symbolic link", "name the file itself"),
        "not_regular": Meaning("it is not a regular file"),
        "ours": Meaning("Watcher made it, beside a recording"),
        "not_a_recording": Meaning("it is no video that Watcher knows"),
        "no_video": Meaning("it has no video track"),
        "several_video": Meaning("it has several video tracks"),
        "interlaced": Meaning("it is interlaced, which a transcode would not keep exactly"),
        "dolby_vision": Meaning("it is Dolby Vision, which a transcode would lose"),
        "spatial": Meaning("it is a 360° or 3D picture, which a transcode would no longer say"),
        "layers_not_carried": Meaning("it has a second view or layer, which a copy would lose"),
        "sei_not_carried": Meaning("its stream says how to show its pictures; a copy would not"),
        "user_data_not_carried": Meaning(
            "it has captions or a camera's notes that the encoder can't carry",
            "`codec: libx265` carries captions; `sei_user_data: drop` lets all of them go",
        ),
        "encrypted": Meaning("it is encrypted"),
        "external_data": Meaning("part of it is kept in another file"),
        "hidden_frames": Meaning("its edit list hides frames, which a copy could lose or show"),
        "format_changes": Meaning("its format changes in the middle"),
        "audio_not_carried": Meaning("its container can't carry its sound over unchanged"),
        "track_not_carried": Meaning("it has a track that can't be carried over"),
        "metadata_not_carried": Meaning("its maker has noted something that a copy would lose"),
        "container_not_carried": Meaning("its container is one that is not converted"),
        "pixel_format_not_carried": Meaning("the encoder can't keep its pixel format"),
        "codec_not_carried": Meaning(
            "its container can't hold what the encoder makes", "an encoder of HEVC in `codec`"
        ),
    }
)
_DAMAGE: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "damaged_source": Meaning(
            "the recording itself is damaged and stays exactly as it is",
            "for a camera that always loses a little: `damaged_sources: convert`",
        ),
        "unreadable": Meaning("it could not be read", _RETRY),
        "read_error": Meaning(
            "the disk gave an error while it was read", "look at the kernel's log and at the disk"
        ),
        "probe_crashed": Meaning("it crashed the parser, in a process of its own", _RETRY),
        "probe_limit": Meaning("looking into it took more time or memory than allowed", _RETRY),
        "probe_timeout": Meaning("looking into it took too long", _RETRY),
    }
)
_COPY: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "savings_too_small": Meaning(
            "HEVC saves less than `min_space_savings`",
            "a lower `min_space_savings` or a higher `quality` figure has it tried again",
        ),
        "no_saving": Meaning("HEVC would be no smaller"),
        "projected": Meaning("a quarter of it showed that the copy would not save enough"),
        "quality_too_low": Meaning(
            "the copy's VMAF is below `min_vmaf`, or its colour or light is off",
            "a lower `quality` figure (better pictures) has it tried again",
        ),
        "unverifiable": Meaning("its copy can't be proven to be as good; so it stays", _REPORT),
        "copy_damaged": Meaning("the copy was damaged and was thrown away", _RETRY),
        "chapters_differ": Meaning("the copy's chapters differed", _REPORT),
        "codec_differs": Meaning("the copy was of another codec", _REPORT),
        "container_differs": Meaning("the copy's container differed", _REPORT),
        "frames_differ": Meaning("the copy had another number of frames", _REPORT),
        "keyframes_differ": Meaning("the copy had too few key frames to be sought in", _REPORT),
        "index_not_first": Meaning("the copy's index was not at its beginning", _REPORT),
        "metadata_differs": Meaning("the copy's metadata differed", _REPORT),
        "offset_differs": Meaning("the copy's sound was shifted", _REPORT),
        "packets_differ": Meaning("the copy's sound or data differed", _REPORT),
        "picture_differs": Meaning("the copy's size, colour or rotation differed", _REPORT),
        "streams_differ": Meaning("the copy's tracks differed", _REPORT),
        "timestamps_differ": Meaning("the copy's frames came at other times", _REPORT),
        "end_differs": Meaning(
            "the copy's last frame, its sound or a text would end at another time", _REPORT
        ),
        "user_data_differs": Meaning(
            "the copy's captions or camera's notes differed",
            "`sei_user_data: drop` lets them go; " + _REPORT,
        ),
        "restored": Meaning(
            "its original was restored by hand", "`watcher transcode --force FILE` sets that aside"
        ),
    }
)
_AROUND: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "original_exists": Meaning(
            "an original or a marker stands beside it already",
            "`watcher check` lists it; `watcher restore FILE`, or move it away",
        ),
        "hard_link": Meaning("it has other names (hard links), which would keep the old content"),
        "open_for_writing": Meaning("somebody has it open for writing", _ITSELF),
        "not_owner": Meaning("it belongs to another user: who writes to it can't be told", _OWNER),
        "immutable": Meaning("it, or its directory, is immutable or append-only", "`chattr -i -a`"),
        "mounted": Meaning("something is mounted on it"),
        "attributes": Meaning("a copy can't be given its owner, mode or attributes", _OWNER),
        "name_too_long": Meaning("its name leaves no room for the names beside it"),
        "exchange_unsafe": Meaning(
            "its file system is not known to exchange two names safely",
            "`allow_non_exchange: true` accepts a race with retention; the README says which",
        ),
        "file_system": Meaning("its file system gave an error", _ITSELF),
        "file_system_lacks": Meaning("its file system lacks what a safe replacement needs"),
        "directory_locked": Meaning("another process works in its directory", _ITSELF),
        "in_progress": Meaning("somebody is transcoding it", _ITSELF),
        "output_in_use": Meaning("somebody had the copy open for writing", _ITSELF),
        "output_replaced": Meaning("somebody replaced the copy in the making", _ITSELF),
        "original_changed": Meaning("it changed while it was worked on", _ITSELF),
        "vanished": Meaning("it was deleted or moved meanwhile"),
        "gone": Meaning("it was deleted or moved meanwhile"),
        "no_file": Meaning("it is no regular file"),
        "held": Meaning("it belongs to an original in its safety period"),
        "orphan": Meaning(
            "its recording was deleted or made anew, and it follows by itself",
            "`watcher restore FILE` brings it back",
        ),
        "only_copy": Meaning(
            "it may be all that is left of its recording", "`watcher restore FILE` brings it back"
        ),
        "not_ours": Meaning("it has none of Watcher's own names"),
        "not_removable": Meaning("it is a directory", "look into it, and remove it by hand"),
        "changed": Meaning("it changed while it was looked at", "try again"),
        "copy_changed": Meaning(
            "its copy was changed in place; the original is kept",
            "move the copy away and `watcher restore FILE`, or `watcher cleanup --force` its"
            " original",
        ),
        "newer_recording": Meaning("a newer recording has its name, and is not touched"),
        "original_damaged": Meaning("its original does not read back as it was"),
        "original_gone": Meaning("there is neither a recording nor an original"),
        "not_restorable": Meaning("which file is its original can't be told for sure"),
        "cut_short": Meaning(
            "it was begun, and could not be finished; others go first",
            "a wider `run_schedule`; `watcher transcode FILE` does it now, by hand",
        ),
        "too_slow": Meaning(
            "it takes longer than any window is open",
            "a wider `run_schedule` or a faster `preset`; `watcher transcode FILE` does it now",
        ),
        "retention_first": Meaning(
            "retention will delete it before its saving would count",
            "a lower `min_age_days` or `keep_original_days`, or a longer retention in the recorder",
        ),
    }
)
_MACHINE: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "no_process": Meaning("a child process could not be started", _RETRY),
        "child_stuck": Meaning(
            "a killed process does not end: a disk, a share or the GPU hangs",
            "look at the kernel's log; a reboot, if it stays so",
        ),
        "job_stuck": Meaning(
            "a job was told to end and does not: a disk or a network share hangs",
            "look at the kernel's log; a reboot, if it stays so",
        ),
        "stalled": Meaning("the encoder made no progress and was stopped", _RETRY),
        "encoder_failed": Meaning("the encoder failed", _RETRY),
        "device_failed": Meaning("the GPU, or its driver, failed", _ENCODER),
        "encoder_broken": Meaning("the encoder failed on several files running", _ENCODER),
        "encoder_unavailable": Meaning("no configured encoder works here", _ENCODER),
        "no_ffmpeg": Meaning("there is no ffmpeg that runs", _ENCODER),
        "probe_broken": Meaning(
            "the prober can't be started",
            "install Watcher's dependencies again (PyAV among them) for this Python",
        ),
        "no_vmaf": Meaning(
            "no ffmpeg here can measure VMAF",
            "install the imageio-ffmpeg package, or set `verify_quality: false`",
        ),
        "vmaf_failed": Meaning("VMAF could not be measured", _RETRY),
        "disk_full": Meaning("the disk is full", "free space; originals go by themselves in time"),
        "no_room": Meaning(
            "there is no room for another copy above the floor",
            "free space, or lower `min_free_space_gb`",
        ),
        "io_error": Meaning("the disk gives errors", "look at the kernel's log and at the disk"),
        "write_error": Meaning("the copy can't be written", "look at the disk and its permissions"),
        "read_only": Meaning("the file system is read-only", "mount it writable"),
        "permission": Meaning("Watcher may not work there", _OWNER),
        "state_directory": Meaning(
            "the state directory can't be used", "make it writable for the service"
        ),
        "state_dir": Meaning("another `state_dir` needs a restart", "restart the service"),
        "service_running": Meaning("another service uses the same state directory"),
        "unexpected": Meaning(
            "something went wrong that Watcher did not foresee", "a bug report with the log helps"
        ),
        "unfinished": Meaning("a replacement is not finished; recovery ends it", _ITSELF),
        "not_sealed": Meaning("an output was not sealed; nothing was replaced", _REPORT),
        # why a hardware decoder failed while a copy was verified (transcode.diagnosis)
        "no_gpu": Meaning("there is no GPU that Watcher can see", _ENCODER),
        "kernel_driver": Meaning("the GPU's kernel driver is missing", _ENCODER),
        "libva": Meaning("libva is missing or too old", _ENCODER),
        "driver": Meaning("the GPU's driver can't do it", _ENCODER),
        "runtime": Meaning("the GPU's runtime is missing", _ENCODER),
        "old_ffmpeg": Meaning("this ffmpeg is too old for the GPU", _ENCODER),
        "rate_control": Meaning("the driver lacks this rate control", _ENCODER),
        "entrypoint": Meaning("the driver can't encode this", _ENCODER),
        "hang": Meaning("the GPU hung", "a reboot, if it stays so; " + _ENCODER),
        "formats": Meaning("the GPU can't take this pixel format", _ENCODER),
        "decoder": Meaning("the hardware decoder failed", _RETRY),
        "no_nvidia": Meaning("there is no NVIDIA driver", _ENCODER),
        "memory": Meaning("memory ran out", "give the service more memory, or fewer threads"),
        "source": Meaning("the decoder complained about the recording", _RETRY),
        "order": Meaning("its frames, or its sound, come at times that contradict their order"),
        "unknown": Meaning("ffmpeg failed for a reason that is not known", _RETRY),
    }
)

REASONS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {**_FILE, **_DAMAGE, **_COPY, **_AROUND, **_MACHINE}
)


def meaning(reason: str) -> Meaning:
    """Give what *reason* means; a reason that is not in the table speaks for itself."""
    return REASONS.get(reason) or Meaning(reason.replace("_", " "))
