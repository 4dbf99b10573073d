"""Whole files read so that nobody waits for it: a job for the directory, or a writer for a copy.

A job that has encoded for hours may want the directory's lock while a restore reads an original
(`Output.commit`). That is read before, and is right under the lock as well, if a look shows that
nothing at all was done to it since. Changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from watcher.errors import Retryable
from watcher.replace.files import Check, Look
from watcher.replace.recovery import Thing, classify
from watcher.replace.steps import Site, digest_from_disk, read_marker

_BEGINNING_BYTES = 1 << 20
"""So far no two recordings are alike: pictures come long before that."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a file gave when it was read from the disk, and the look that knows it again."""

    look: Look
    sha256: str


def original_ahead(site: Site) -> Read | None:
    """Read the original of what may be restored; None where it has to be looked at more closely.

    A look that fails is told of under the lock, where everything is looked at again.
    """
    look = None
    with suppress(OSError):
        look = _unread(site)
    if look is None:
        return None
    with suppress(FileNotFoundError):
        sha256 = digest_from_disk(site.directory, site.original, look, site.check)
        return Read(look, sha256) if sha256 else None
    return None


def original_digest(site: Site, look: Look, ahead: Read | None) -> str | None:
    """Give the digest of the original that *look* shows: as it was read, or read now."""
    if ahead is not None and ahead.look.unchanged(look):
        return ahead.sha256
    return digest_from_disk(site.directory, site.original, look, site.check)


@contextmanager
def giving_way(site: Site, nobody_came: Callable[[], bool]) -> Iterator[Check]:
    """Give the check of a read that ends as soon as a writer comes, be it that it stands still.

    The lease would keep him for most of a minute.
    """

    def look() -> None:
        if not nobody_came():
            raise Retryable("open_for_writing", "somebody came who writes to the copy")

    def checked() -> None:
        site.check()
        look()

    with site.meanwhile(look):
        yield checked


def _unread(site: Site) -> Look | None:
    """Look for an original that may be put back, as far as looks alone tell."""
    directory = site.directory
    _, marker, _, _ = read_marker(directory, site.name)
    look, name = directory.look(site.original), directory.look(site.name)
    is_original = classify(look, None, marker) is Thing.O
    may_go_back = classify(name, None, marker) in {Thing.N, Thing.NOTHING}
    return look if is_original and may_go_back else None


def begins_as_the_original(site: Site, name: Look | None) -> bool:
    """Whether a file at the name is no newer recording: put back by hand, say, and cut short.

    Zeros are nothing: so long as its bytes are not on the disk, a power cut leaves them for those.
    """
    if name is None or not name.is_regular:
        return False
    written = _beginning(site, site.name).rstrip(b"\0")
    return _beginning(site, site.original).startswith(written)


def _beginning(site: Site, name: str) -> bytes:
    handle = site.directory.open(name)
    try:
        return handle.read(_BEGINNING_BYTES)
    finally:
        handle.close()
