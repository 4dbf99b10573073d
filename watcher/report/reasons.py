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


_RETRY = "`watcher retry FILE` has it looked at again"
_ITSELF = "none needed: tried again by itself"

REASONS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        # what the file is
        "already_hevc": Meaning("it is HEVC already"),
        "codec_not_listed": Meaning(
            "its codec is not in `source_codecs`", "add the codec to `transcoding.source_codecs`"
        ),
        "made_by_watcher": Meaning("Watcher made this file"),
        "interlaced": Meaning("it is interlaced, which a transcode would not carry over exactly"),
        "several_video": Meaning("it has several video tracks"),
        "no_video": Meaning("it has no video track"),
        "audio_not_carried": Meaning("its container can't carry its audio over unchanged"),
        "track_not_carried": Meaning("it has a track that its container can't carry over"),
        "pixel_format_not_carried": Meaning("no encoder here keeps its pixel format"),
        "dolby_vision": Meaning("it is Dolby Vision, which a transcode would lose"),
        # what is wrong with it
        "damaged_source": Meaning(
            "the recording itself is damaged and stays exactly as it is",
            "for cameras that always lose a little: `damaged_sources: convert`",
        ),
        "unreadable": Meaning("it could not be read as a video", _RETRY),
        "probe_crashed": Meaning("it crashed the parser (in its own process)", _RETRY),
        "probe_limit": Meaning("looking into it took more time or memory than allowed", _RETRY),
        # what came of the transcode
        "savings_too_small": Meaning(
            "HEVC saves less than `min_space_savings`",
            "lower `min_space_savings`, or a higher `quality` figure, has it tried again",
        ),
        "no_saving": Meaning("HEVC would not be smaller"),
        "projected": Meaning("after a quarter of it, the copy was not going to save enough"),
        "quality_too_low": Meaning(
            "the copy's VMAF is below `min_vmaf`",
            "a lower `quality` figure (better pictures) has it tried again",
        ),
        "restored": Meaning(
            "its original was restored by hand", "`watcher transcode --force FILE` sets that aside"
        ),
        # what stands around it
        "original_exists": Meaning(
            "an original or a marker of another transcode stands beside it",
            "`watcher check` lists it; `watcher restore FILE`, or move it away",
        ),
        "hard_link": Meaning("it has other names (hard links), which would keep the old content"),
        "open_for_writing": Meaning("somebody has it open for writing", _ITSELF),
        "immutable": Meaning("it is immutable or append-only", "`chattr -i -a FILE`"),
        "mounted": Meaning("something is mounted on it"),
        "attributes": Meaning(
            "its owner, mode or attributes could not be given to the copy",
            "let the service run as the recorder's user, or with CAP_CHOWN and CAP_FOWNER",
        ),
        "name_too_long": Meaning("its name leaves no room for `.transcoding` beside it"),
        "exchange_unsafe": Meaning(
            "its file system is not known to exchange two names safely",
            "`allow_non_exchange: true` accepts a race with retention; README says which",
        ),
        "file_system": Meaning("its file system lacks what a safe replacement needs"),
        "file_system_lacks": Meaning("its file system lacks what a safe replacement needs"),
        "directory_locked": Meaning("another process works in its directory", _ITSELF),
        "in_progress": Meaning("it is being worked on", _ITSELF),
        "unfinished": Meaning("a replacement of it is not finished; recovery ends it", _ITSELF),
        "vanished": Meaning("it was deleted meanwhile"),
        "no_file": Meaning("there is no such file"),
        "original_changed": Meaning("the recording changed while it was worked on", _ITSELF),
        "newer_recording": Meaning("a newer recording stands at its name and is not touched"),
        "retention_first": Meaning(
            "retention will delete it before its saving would count",
            "a lower `min_age_days`, or a longer retention in the recorder",
        ),
    }
)


def meaning(reason: str) -> Meaning:
    """Give what *reason* means; a reason that is not in the table speaks for itself."""
    return REASONS.get(reason) or Meaning(reason.replace("_", " "))
