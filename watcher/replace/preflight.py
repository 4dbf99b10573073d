"""Whether a directory's file system can do what the swap relies on, tried before hours are spent.

Two real hidden files are made there, under temporary names that any recovery sweeps up, and put
through every step that the swap will need. What was found good is not asked again for that
directory; what was not is tried again, because an administrator may have mended it.
"""

import errno
import threading
from dataclasses import dataclass
from enum import StrEnum

from watcher.errors import Refused
from watcher.replace.files import Directory, Handle
from watcher.replace.marker import temporary_name
from watcher.replace.steps import Policy, exchange_is_safe

_ONE, _OTHER = temporary_name("watcher-trial-1"), temporary_name("watcher-trial-2")
_JOURNAL = {True: "", False: " without a journal", None: ", whose journal can't be seen from here"}
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY}


class Method(StrEnum):
    """How the copy gets into its place."""

    EXCHANGE = "exchange"
    LINK = "link"  # the owner's allow_non_exchange, where the exchange can't be relied on


@dataclass(frozen=True, slots=True)
class Ability:
    """What a directory's file system can do."""

    method: Method
    leases: bool


class Preflight:
    """Remembers what each directory can do; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], Ability] = {}

    def ability(self, directory: Directory, policy: Policy) -> Ability:
        """Say what can be done there; raises `Refused` by name of what is missing, or OSError.

        Expects the directory's lock to be held.
        """
        here = directory.look(".")
        key = (directory.path, here and (here.inode, here.birth_ns), policy.allow_non_exchange)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = try_out(directory, policy)
            with self._lock:
                self._known[key] = known
        return known


def try_out(directory: Directory, policy: Policy) -> Ability:
    """Try everything with two hidden files, and leave none of them behind."""
    safe = exchange_is_safe(directory)
    if not safe and not policy.allow_non_exchange:
        kind, journal = directory.mount()
        without = "" if kind != "ext4" else _JOURNAL[journal]
        raise Refused(
            "exchange_unsafe",
            f"{directory.path} is on {kind or 'an unknown file system'}{without}, where replacing"
            " a file is not known to survive a power cut; allow_non_exchange: true allows it, and"
            " leaves a race with retention open",
            file_system=kind,
        )
    method = Method.EXCHANGE if safe else Method.LINK
    _sweep(directory)
    try:
        leases = _tried(directory, method)
    finally:
        _sweep(directory)
        directory.sync()
    if not leases and not policy.allow_non_exchange:
        raise _missing(directory, "leases", "tell that nobody writes to a file (leases)")
    return Ability(method, leases)


def _tried(directory: Directory, method: Method) -> bool:
    one = directory.create(_ONE)
    try:
        other = directory.create(_OTHER)
        try:
            return _steps(directory, method, one, other)
        finally:
            other.close()
    finally:
        one.close()


def _steps(directory: Directory, method: Method, one: Handle, other: Handle) -> bool:
    if not (one.try_lock() and other.try_lock()):
        raise _missing(directory, "locks", "lock a file")
    one.sync()
    if method is Method.EXCHANGE:
        _try_exchange(directory, one, other)
    else:
        _try_link(directory, one)
    directory.sync()
    try:
        leased = one.lease() and one.lease_holds()
        if leased:
            one.drop_lease()
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return leased


def _try_exchange(directory: Directory, one: Handle, other: Handle) -> None:
    try:
        directory.exchange(_ONE, _OTHER)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise _missing(directory, "exchange", "exchange two names") from error
        raise
    if not (
        one.look().same_inode(directory.look(_OTHER))
        and other.look().same_inode(directory.look(_ONE))
    ):
        raise _missing(directory, "inodes", "keep inode numbers when names change")
    try:
        directory.move(_ONE, _OTHER)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise _missing(directory, "noreplace", "rename without replacing") from error
        raise
    raise _missing(directory, "noreplace", "rename without replacing")


def _try_link(directory: Directory, one: Handle) -> None:
    directory.unlink(_OTHER)
    try:
        directory.link(_ONE, _OTHER)
    except OSError as error:
        if error.errno in _UNSUPPORTED | {errno.EPERM, errno.EMLINK}:
            raise _missing(directory, "links", "give a file two names") from error
        raise
    if not one.look().same_inode(directory.look(_OTHER)):
        raise _missing(directory, "inodes", "keep inode numbers when names change")
    directory.unlink(_OTHER)


def _sweep(directory: Directory) -> None:
    for name in (_ONE, _OTHER):
        look = directory.look(name)
        if look is not None and look.is_regular:
            directory.unlink(name)


def _missing(directory: Directory, what: str, does_not: str) -> Refused:
    return Refused(
        "file_system_lacks", f"the file system of {directory.path} does not {does_not}", lacks=what
    )
