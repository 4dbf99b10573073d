"""A tracer of system calls in pure Python: ptrace(2) through ctypes, nothing to install.

`trace` forks, lets the child run a function, and stops it before and after every system call. A
*decide* function sees each call as it is entered and may let it pass, fail it with an errno
without its being made, or kill the child there and then. x86_64 and aarch64.
"""

import ctypes
import os
import platform
import signal
import struct
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TRACEME, _POKEUSER, _SYSCALL = 0, 6, 24
_GETREGSET, _SETREGSET, _SETOPTIONS, _GET_SYSCALL_INFO = 0x4204, 0x4205, 0x4200, 0x420E
_TRACESYSGOOD, _EXITKILL = 0x1, 0x100000
_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404
_ENTRY, _EXIT = 1, 2
_INFO = struct.Struct("<B3xIQQQ6Q")
_INFO_EXIT = struct.Struct("<B3xIQQqB")
_STOPPED_IN_CALL = signal.SIGTRAP | 0x80
_UNEXPECTED = 99
_MACHINE = platform.machine()

_X86_64 = {
    0: "read",
    1: "write",
    3: "close",
    5: "fstat",
    17: "pread64",
    18: "pwrite64",
    72: "fcntl",
    73: "flock",
    74: "fsync",
    75: "fdatasync",
    77: "ftruncate",
    82: "rename",
    87: "unlink",
    91: "fchmod",
    93: "fchown",
    190: "fsetxattr",
    193: "fgetxattr",
    196: "flistxattr",
    199: "fremovexattr",
    221: "fadvise64",
    257: "openat",
    262: "newfstatat",
    263: "unlinkat",
    264: "renameat",
    265: "linkat",
    277: "sync_file_range",
    280: "utimensat",
    316: "renameat2",
    332: "statx",
}
_AARCH64 = {
    7: "fsetxattr",
    10: "fgetxattr",
    13: "flistxattr",
    16: "fremovexattr",
    25: "fcntl",
    32: "flock",
    35: "unlinkat",
    37: "linkat",
    38: "renameat",
    46: "ftruncate",
    52: "fchmod",
    55: "fchown",
    56: "openat",
    57: "close",
    63: "read",
    64: "write",
    67: "pread64",
    68: "pwrite64",
    79: "newfstatat",
    80: "fstat",
    82: "fsync",
    83: "fdatasync",
    84: "sync_file_range",
    88: "utimensat",
    223: "fadvise64",
    276: "renameat2",
    291: "statx",
}
_NAMES = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(_MACHINE, {})
_PATHS = {  # which arguments are names in the directory whose descriptor stands before them
    "openat": (1,),
    "rename": (0, 1),
    "unlink": (0,),
    "unlinkat": (1,),
    "renameat": (1, 3),
    "renameat2": (1, 3),
    "linkat": (1, 3),
    "statx": (1,),
    "newfstatat": (1,),
}
_OF_DESCRIPTOR = {
    *("read", "write", "close", "fstat", "pread64", "pwrite64", "fcntl", "flock", "fsync"),
    *("fdatasync", "ftruncate", "fchmod", "fchown", "fsetxattr", "fgetxattr", "flistxattr"),
    *("fremovexattr", "fadvise64", "sync_file_range", "utimensat"),
}
O_CREAT = os.O_CREAT

CHANGING = frozenset(
    {
        *("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat"),
        *("renameat2", "linkat", "unlink", "unlinkat", "fchmod", "fchown", "fsetxattr"),
        *("fremovexattr", "utimensat"),
    }
)
"""Calls after which something is not as it was; `openat` is one where it creates."""

FILE_SYSTEM = CHANGING | {
    *("openat", "read", "pread64", "statx", "newfstatat", "fstat", "flock", "fgetxattr"),
    *("flistxattr", "fadvise64", "sync_file_range"),
}
"""Calls that a file system may fail."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@dataclass(frozen=True, slots=True)
class Call:
    """One system call as it is entered."""

    number: int
    name: str
    arguments: tuple[int, ...]
    paths: tuple[str, ...]  # the names it is given, or what its descriptor is open on

    @property
    def creates(self) -> bool:
        return self.name == "openat" and bool(self.arguments[2] & O_CREAT)

    @property
    def changes(self) -> bool:
        return self.name in CHANGING or self.creates


@dataclass(frozen=True, slots=True)
class Made:
    """One call and what came of it; None where the child did not live to see it."""

    call: Call
    result: int | None


@dataclass(frozen=True, slots=True)
class Kill:
    """End the child before the call is made."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Do not make the call: say that it failed."""

    errno: int


Verdict = Kill | Fail | None
Decide = Callable[[Call], Verdict]


@dataclass(frozen=True, slots=True)
class Traced:
    """What the child did. *status* is None where it was killed, else its exit code."""

    calls: tuple[Made, ...]
    status: int | None
    why: str


def can_trace() -> str:
    """Say why this machine can't trace; "" where it can."""
    if not _NAMES:
        return f"no table of system calls for {_MACHINE}"
    try:
        traced = trace(lambda: 0)
    except OSError as error:
        return f"ptrace: {error}"
    return "" if traced.status == 0 else f"ptrace: the child ended with {traced.status}"


def let_pass(_call: Call) -> Verdict:
    """Trace only."""
    return None


def trace(run: Callable[[], int], decide: Decide = let_pass) -> Traced:
    """Run *run* in a traced child; what it returns is the child's exit code."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_traced(run, writing)
    os.close(writing)
    try:
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            raise OSError(0, "the child can't be traced")
        _ptrace(_SETOPTIONS, child, 0, _TRACESYSGOOD | _EXITKILL)
        calls, ended = _Tracer(child, decide).run()
        with os.fdopen(reading, "rb", closefd=False) as pipe:
            why = pipe.read().decode(errors="replace")
    finally:
        os.close(reading)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return Traced(tuple(calls), ended, why)


def _be_traced(run: Callable[[], int], writing: int) -> None:
    status = _UNEXPECTED
    try:
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        status = run()
    except BaseException:  # noqa: BLE001 - told to the parent, which fails the test
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(status)


class _Tracer:
    def __init__(self, child: int, decide: Decide) -> None:
        self._child = child
        self._decide = decide
        self._made: list[Made] = []
        self._entered: Call | None = None
        self._failing: Fail | None = None
        self._memory = os.open(f"/proc/{child}/mem", os.O_RDONLY)

    def run(self) -> tuple[list[Made], int | None]:
        deliver = 0
        try:
            while True:
                _ptrace(_SYSCALL, self._child, 0, deliver)
                _, status = os.waitpid(self._child, 0)
                if os.WIFEXITED(status):
                    return self._made, os.WEXITSTATUS(status)
                if os.WIFSIGNALED(status):
                    self._unfinished()
                    return self._made, None
                deliver = 0
                if os.WSTOPSIG(status) != _STOPPED_IN_CALL:
                    deliver = os.WSTOPSIG(status)
                elif self._stopped():
                    return self._kill()
        finally:
            os.close(self._memory)

    def _kill(self) -> tuple[list[Made], None]:
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self._unfinished()
        return self._made, None

    def _stopped(self) -> bool:
        """Look at the call that is being entered or left; True where the child has to die."""
        raw = ctypes.create_string_buffer(128)
        _ptrace(_GET_SYSCALL_INFO, self._child, len(raw), ctypes.addressof(raw))
        if raw.raw[0] == _ENTRY:
            return self._enter(_INFO.unpack_from(raw.raw))
        if raw.raw[0] == _EXIT:
            self._leave(_INFO_EXIT.unpack_from(raw.raw)[4])
        return False

    def _enter(self, info: tuple[int, ...]) -> bool:
        number, arguments = info[4], info[5:]
        name = _NAMES.get(number, str(number))
        call = Call(number, name, arguments, self._paths(name, arguments))
        self._entered, self._failing = call, None
        verdict = self._decide(call)
        if isinstance(verdict, Kill):
            return True
        if isinstance(verdict, Fail):
            self._failing = verdict
            _skip_call(self._child)
        return False

    def _leave(self, result: int) -> None:
        if self._failing is not None:
            result = -self._failing.errno
            _set_result(self._child, result)
        if self._entered is not None:
            self._made.append(Made(self._entered, result))
        self._entered = self._failing = None

    def _unfinished(self) -> None:
        if self._entered is not None:
            self._made.append(Made(self._entered, None))

    def _paths(self, name: str, arguments: tuple[int, ...]) -> tuple[str, ...]:
        if name in _OF_DESCRIPTOR:
            with suppress(OSError):
                return (str(Path(f"/proc/{self._child}/fd/{arguments[0]}").readlink()),)
            return ()
        return tuple(self._string(arguments[index]) for index in _PATHS.get(name, ()))

    def _string(self, address: int) -> str:
        if not address:
            return ""
        with suppress(OSError):
            return os.fsdecode(os.pread(self._memory, 512, address).partition(b"\0")[0])
        return "?"


def _ptrace(request: int, child: int, address: int, data: int) -> None:
    if _libc.ptrace(request, child, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace request {request:#x}: {os.strerror(number)}")


def _skip_call(child: int) -> None:
    """Have the kernel make no call: -1 is the number of none."""
    if _MACHINE == "x86_64":
        _ptrace(_POKEUSER, child, 15 * 8, (1 << 64) - 1)
        return
    _set_registers(child, _NT_ARM_SYSTEM_CALL, struct.pack("<i", -1))


def _set_result(child: int, result: int) -> None:
    if _MACHINE == "x86_64":
        _ptrace(_POKEUSER, child, 10 * 8, result & ((1 << 64) - 1))
        return
    registers = ctypes.create_string_buffer(34 * 8)
    vector = _vector(registers)
    _ptrace(_GETREGSET, child, _NT_PRSTATUS, ctypes.addressof(vector))
    struct.pack_into("<q", registers, 0, result)
    _ptrace(_SETREGSET, child, _NT_PRSTATUS, ctypes.addressof(vector))


def _set_registers(child: int, kind: int, contents: bytes) -> None:
    buffer = ctypes.create_string_buffer(contents, len(contents))
    vector = _vector(buffer)
    _ptrace(_SETREGSET, child, kind, ctypes.addressof(vector))


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _vector(buffer: "ctypes.Array[ctypes.c_char]") -> _Vector:
    return _Vector(ctypes.addressof(buffer), len(buffer))
