"""A sound's sample entry in an MP4 or MOV file: its size by QuickTime's version of it. Pure."""

from dataclasses import dataclass
from typing import Final

from watcher.transcode.findings import Malformed, Problem, u32
from watcher.transcode.names import AUDIO_ENTRY, entry_strangers

_LPCM_VERSION: Final = 2
_PCM_OF_ANY_WIDTH: Final = frozenset({b"raw ", b"NONE", b"twos", b"sowt"})
_PCM_BITS: Final = {b"alaw": 8, b"ulaw": 8, b"in24": 24, b"in32": 32, b"fl32": 32, b"fl64": 64}
_ENTRY_BYTES: Final = {0: 28, 1: 44, 2: 64}


@dataclass(frozen=True, slots=True)
class SoundEntry:
    """What one entry says: *packet* is (samples, their bytes), where QuickTime counts so."""

    packet: tuple[int, int]
    rate: int = 0  # samples each second; 0: not said here
    problems: tuple[Problem, ...] = ()


def sound_entry(kind: bytes, payload: memoryview) -> SoundEntry:
    """Read the entry *kind* of a sound's track."""
    if len(payload) < _ENTRY_BYTES[0]:
        return SoundEntry((1, 0))
    version = u32(payload, 8) >> 16
    rate = 0 if version == _LPCM_VERSION else u32(payload, 24) >> 16
    return SoundEntry(_packet(kind, payload, version), rate, _strangers(kind, payload, version))


def _strangers(kind: bytes, payload: memoryview, version: int) -> tuple[Problem, ...]:
    rest = payload[_ENTRY_BYTES.get(version, len(payload)) :]
    try:
        return tuple(entry_strangers(kind, AUDIO_ENTRY, rest))
    except Malformed:
        return ()  # QuickTime's older entries end in other things


def _packet(kind: bytes, entry: memoryview, version: int) -> tuple[int, int]:
    channels = u32(entry, 16) >> 16
    if version == 1 and (samples := u32(entry, 28)) > 1:
        return samples, u32(entry, 36)
    if version == _LPCM_VERSION:
        return max(1, u32(entry, 60)), u32(entry, 56)
    bits = _PCM_BITS.get(kind, u32(entry, 16) & 0xFFFF if kind in _PCM_OF_ANY_WIDTH else 0)
    return 1, channels * bits // 8
