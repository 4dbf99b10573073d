"""Matroska files put together byte by byte, so that a test can bend any one of them."""

import struct


def ebml(ident: str, payload: bytes, *, unknown: bool = False) -> bytes:
    """Give an element by its id in hexadecimal."""
    size = b"\x01\xff\xff\xff\xff\xff\xff\xff" if unknown else struct.pack(">Q", len(payload))
    return bytes.fromhex(ident) + (size if unknown else b"\x01" + size[1:]) + payload


HEAD = ebml("1A45DFA3", b"\x42\x82\x88matroska")
BLOCK = ebml("A3", b"\x81\0\0\x80" + bytes(46))
CLUSTER = ebml("1F43B675", ebml("E7", b"\0") + BLOCK)
TRACKS = ebml("1654AE6B", ebml("AE", ebml("D7", b"\1")))
MKV = HEAD + ebml("18538067", TRACKS + CLUSTER + CLUSTER)
