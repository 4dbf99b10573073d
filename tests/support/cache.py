"""How much of a file the kernel keeps in memory, by mincore(2)."""

import ctypes
import mmap
import os
from pathlib import Path

_PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)


def cached_bytes(path: Path) -> int:
    """Say how many bytes of the file at *path* are in the page cache, reading none of it."""
    size = path.stat().st_size
    fd = os.open(path, os.O_RDONLY)
    try:
        at = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        pages = ctypes.create_string_buffer(-(-size // _PAGE))
        try:
            if _libc.mincore(at, size, pages):
                raise OSError(ctypes.get_errno(), "mincore")
        finally:
            _libc.munmap(at, size)
    finally:
        os.close(fd)
    return _PAGE * sum(byte & 1 for byte in pages.raw)


def uncache(path: Path) -> None:
    """Have the kernel forget the file at *path*, as after a week."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
