"""A sound's sample entry: how many bytes its samples have, by each version that QuickTime knows."""

import struct

import pytest
from support.isobmff import box

from watcher.transcode.sound_entry import SoundEntry, sound_entry

RATE = 48_000


def entry(version: int, rest: bytes = b"", *, channels: int = 2, bits: int = 16) -> memoryview:
    """Give an entry's payload up to its rate, and what its version has behind that."""
    head = struct.pack(">6xHHHIHHHHI", 1, version, 0, 0, channels, bits, 0, 0, RATE << 16)
    return memoryview(head + rest)


def counted(samples: int, size: int) -> bytes:
    """What version 1 has: samples a packet, bytes a packet and channel, bytes a packet, a sample.

    Whose bytes count for both channels is the third.
    """
    return struct.pack(">IIII", samples, size // 2, size, 2)


def lpcm(size: int, samples: int) -> bytes:
    """What version 2 has."""
    return struct.pack(">IdIIIIII", 72, float(RATE), 2, 0x7F000000, 24, 12, size, samples)


@pytest.mark.parametrize(
    ("kind", "payload", "packet", "rate"),
    [
        (b"sowt", entry(0), (1, 4), RATE),
        (b"sowt", entry(0, bits=8, channels=1), (1, 1), RATE),
        (b"in24", entry(0), (1, 6), RATE),  # whatever its bits say
        (b"alaw", entry(0), (1, 2), RATE),
        (b"fl64", entry(0), (1, 16), RATE),
        (b"mp4a", entry(0), (1, 0), RATE),  # its samples have a size each
        (b"ima4", entry(1, counted(64, 68)), (64, 68), RATE),
        (b"sowt", entry(1, counted(1, 9)), (1, 4), RATE),  # one sample each: as version 0
        (b"lpcm", entry(2, lpcm(6, 1)), (1, 6), 0),
        (b"lpcm", entry(2, lpcm(1536, 256)), (256, 1536), 0),
        (b"lpcm", entry(2, lpcm(6, 0)), (1, 6), 0),
        (b"sowt", entry(0)[:27], (1, 0), 0),  # it ends inside its fields
    ],
)
def test_bytes_and_rate_are_read_by_the_entrys_version(
    kind: bytes, payload: memoryview, packet: tuple[int, int], rate: int
) -> None:
    assert sound_entry(kind, payload) == SoundEntry(packet, rate)


STRANGER = box(b"evil", bytes(8))
EACH = {0: b"", 1: counted(64, 68), 2: lpcm(6, 1)}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_box_of_no_known_kind_behind_the_entry_is_found(version: int) -> None:
    """A copy would lose it; where the boxes begin is the version's to say."""
    found = sound_entry(b"mp4a", entry(version, EACH[version] + STRANGER)).problems
    assert [problem.name for problem in found] == ["unknown_box"]
    known = sound_entry(b"mp4a", entry(version, EACH[version] + box(b"esds", bytes(8))))
    assert known.problems == ()


def test_what_quicktimes_older_entries_end_in_is_no_damage() -> None:
    assert sound_entry(b"mp4a", entry(0, b"\0\0\0\x09xx")).problems == ()
    assert sound_entry(b"mp4a", entry(3, STRANGER)).problems == ()  # of no version that is known
