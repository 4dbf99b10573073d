"""What decided a verdict: a pure function of the settings, by reason.

A verdict stands as long as what decided it does. "Saves too little" was decided by encoder, quality
and limit: another quality voids it. "Already HEVC" was decided by the list of source codecs alone:
no new encoder makes it worth another look. A failure may have been the ffmpeg build's.

A ground is a line of JSON, kept with the verdict, so that `why` can name what it was decided with.
A value that was or is unknown (the encoder, before the first opening) voids nothing.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RULES: Final = 1
"""Raised when Watcher itself learns to judge differently: every verdict of old rules is void."""

_ENCODING: Final = ("codec", "encoder", "quality", "preset", "qsv_mode")
_SAVING: Final = (*_ENCODING, "min_space_savings")
_QUALITY: Final = (*_SAVING, "min_vmaf", "verify_quality")
_COPY: Final = (*_ENCODING, "ffmpeg_build", "verify_decode")
_USER_DATA: Final = (*_ENCODING, "ffmpeg_build", "sei_user_data")
_WORK: Final = (*_ENCODING, "ffmpeg_build", "max_threads", "verify_decode", "verify_quality")
_SCHEDULE: Final = ("run_schedule", "overrun_minutes")
_FAILURE: Final = ("codec", "encoder", "qsv_mode", "ffmpeg_build")

_BY_GROUND: Final[Mapping[tuple[str, ...], str]] = MappingProxyType(
    {
        # the file itself, or what stands around it
        (): "made_by_watcher restored interlaced several_video no_video audio_not_carried"
        " track_not_carried metadata_not_carried container_not_carried dolby_vision spatial"
        " not_a_recording encrypted"
        " hidden_frames format_changes external_data attributes hard_link immutable"
        " mounted name_too_long file_system_lacks original_exists no_file"
        " layers_not_carried sei_not_carried",
        # the file, as the settings judge it
        ("source_codecs",): "already_hevc codec_not_listed",
        ("damaged_sources",): "damaged_source",
        ("allow_non_exchange",): "exchange_unsafe",
        ("keep_original_days",): "retention_first",
        # how long the work takes, and how long a night is
        _WORK: "cut_short",
        (*_WORK, *_SCHEDULE): "too_slow",
        # what came of a copy
        _ENCODING: "pixel_format_not_carried codec_not_carried",
        _USER_DATA: "user_data_not_carried user_data_differs",
        _SAVING: "savings_too_small no_saving projected",
        _QUALITY: "quality_too_low",
        _COPY: "chapters_differ codec_differs container_differs copy_damaged end_differs"
        " frames_differ keyframes_differ index_not_first metadata_differs offset_differs"
        " packets_differ picture_differs streams_differ timestamps_differ",
    }
)
GROUNDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {reason: names for names, reasons in _BY_GROUND.items() for reason in reasons.split()}
)
"""Reason → the settings that decide it. A reason that is not here rests on all but the schedule."""

_A_PERSONS: Final = frozenset({"restored"})  # no change of ours voids what a person decided


class Fingerprint:
    """The settings that decide now."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self._settings = json.loads(json.dumps(dict(settings)))
        self._upheld: dict[str, bool] = {}

    def of(self, reason: str, *, failure: bool = False) -> str:
        """Give the ground of a verdict for *reason*; not in the table: all but the schedule."""
        if failure:
            names = GROUNDS.get(reason, _FAILURE) + _FAILURE
        else:
            everything = tuple(name for name in self._settings if name not in _SCHEDULE)
            names = GROUNDS.get(reason, everything)
        ground = {name: self._settings.get(name) for name in names}
        if reason not in _A_PERSONS:
            ground["rules"] = RULES
        return json.dumps(ground, sort_keys=True, separators=(",", ":"))

    def upholds(self, ground: str) -> bool:
        """Say whether a verdict of that *ground* would be the same today."""
        known = self._upheld.get(ground)
        if known is None:
            known = self._upheld[ground] = not self.differences(ground)
        return known

    def differences(self, ground: str) -> dict[str, tuple[object, object]]:
        """Name what changed since: setting → (then, now); {"ground": …} where it can't be read."""
        try:
            then = json.loads(ground)
        except (ValueError, RecursionError):
            return {"ground": (ground, None)}
        if not isinstance(then, dict):
            return {"ground": (ground, None)}
        now = {**self._settings, "rules": RULES}
        return {
            str(name): (value, now.get(name))
            for name, value in then.items()
            if name not in now or (None not in (value, now[name]) and value != now[name])
        }


def fingerprint(
    settings: object, *, encoder: str | None = None, ffmpeg_build: str | None = None
) -> Fingerprint:
    """Take the fingerprint of *settings*, the `transcoding` section that is in force.

    *encoder* is the one that was chosen (None until one was), *ffmpeg_build* the version line of
    the ffmpeg that encodes.
    """
    names = {name for ground in GROUNDS.values() for name in ground} | set(_FAILURE)
    asked_elsewhere = {"encoder": encoder, "ffmpeg_build": ffmpeg_build}
    configured = {name: getattr(settings, name) for name in sorted(names - set(asked_elsewhere))}
    return Fingerprint({**configured, **asked_elsewhere})
