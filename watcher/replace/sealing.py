"""Seal a finished copy (SWAP, step 3): complete, durable, dressed like its original, known again.

After it nobody can write to the copy unseen. What was sealed is what the proof judges, and nothing
else may be put in the recording's place: that is held against `Sealed` at every later step.
"""

from dataclasses import dataclass

from watcher.errors import Refused, Retryable
from watcher.replace.files import Check, Handle, Look
from watcher.replace.fitness import Noted, dress
from watcher.replace.preflight import Ability
from watcher.replace.steps import Site


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the output was when it was sealed, and both digests."""

    look: Look
    sha256: str
    original_sha256: str


def seal(
    site: Site, output: Handle, original: Handle, noted: Noted, ability: Ability, *, check: Check
) -> Sealed:
    """Seal *output*, which has to stand at *site*'s temporary name; see `Output.seal`."""
    look, path = output.look(), site.directory.path_of(site.temporary)
    if not look.same_inode(site.directory.look(site.temporary)) or not look.size:
        raise Retryable("output_replaced", f"{path} is not the file that was created")
    if look.size >= noted.look.size:
        raise Refused("no_saving", f"{site.path}: the copy is no smaller", new_size_bytes=look.size)
    if ability.leases and not output.lease():
        raise Retryable("output_in_use", f"{path}: somebody has it open for writing")
    dress(output, noted.attributes, site.path)
    output.sync()
    output.drop_cache()
    return Sealed(output.look(), output.digest(check), original.digest(check))
