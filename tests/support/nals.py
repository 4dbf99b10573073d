"""H.264 streams with something between their pictures: what cameras write and encoders drop."""

from collections.abc import Callable
from pathlib import Path

import av

from watcher.transcode.nalunits import header_units, plain

Change = Callable[[int, bytes], bytes]
"""(number of the packet in the file, its content) → the content that it is to have."""

NOTE = bytes.fromhex("3a8a0f4c5e1d4b0f9c4f1b2a3c4d5e6f") + b"gate 2, 07:31:05"
"""A camera's own message: a UUID of its maker, and what it says."""

CAPTION = bytes.fromhex("b5003147413934") + b"\x03\xc2\xff" + b"\xfc\x94\x2c\xfc\x41\x42" + b"\xff"
"""Two of ATSC's caption words."""


def rewritten(source: Path, target: Path, change: Change) -> Path:
    """Write *source* anew with each packet of its video changed; give *target*."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        number = 0
        for packet in old.demux():
            if packet.dts is None:
                continue
            stream = streams[packet.stream.index]
            if packet.stream.type == "video":
                fresh = av.Packet(change(number, bytes(packet)))
                fresh.pts, fresh.dts, fresh.duration = packet.pts, packet.dts, packet.duration
                fresh.time_base, fresh.is_keyframe = packet.time_base, packet.is_keyframe
                packet, number = fresh, number + 1  # noqa: PLW2901
            packet.stream = stream
            new.mux(packet)
    return target


def sei(kind: int, payload: bytes) -> bytes:
    """Give a unit with one message."""
    body = bytearray([6])
    for number in (kind, len(payload)):
        body += b"\xff" * (number // 255) + bytes([number % 255])
    return escaped(bytes(body) + payload + b"\x80")


def escaped(unit: bytes) -> bytes:
    """Keep start codes out of a unit."""
    made, zeros = bytearray(), 0
    for byte in unit:
        if zeros == 2 and byte <= 3:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(made)


def with_units(*units: bytes, at: Callable[[int], bool] = lambda _: True) -> Change:
    """Put *units* before the pictures of those packets that *at* names."""
    prefix = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    return lambda number, content: prefix + content if at(number) else content


def parameter_sets(path: Path) -> tuple[bytes, bytes]:
    """Give the parameter sets, of the sequence and of its pictures, in the header of *path*."""
    with av.open(str(path)) as container:
        sequence, picture = header_units(
            bytes(container.streams.video[0].codec_context.extradata or b""), "h264"
        )
    return sequence, picture


def without_clock(sequence: bytes, ticks: tuple[int, int] = (1, 50)) -> bytes:
    """Set the clock of a sequence's parameter set to 0, whose ticks are *ticks*."""
    bits = "".join(f"{byte:08b}" for byte in plain(sequence))
    clock = "".join(f"{number:032b}" for number in ticks)
    assert bits.count(clock) == 1
    bits = bits.replace(clock, "0" * 64)
    return escaped(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)))


def renumbered(picture: bytes) -> bytes:
    """Give a picture's parameter set of number 0 as one of number 1."""
    bits = "".join(f"{byte:08b}" for byte in plain(picture)[1:]).rstrip("0")
    assert bits[0] == "1"
    bits = "010" + bits[1:]
    bits += "0" * (-len(bits) % 8)
    return escaped(picture[:1] + int(bits, 2).to_bytes(len(bits) // 8, "big"))
