"""Put a proven copy in a recording's place: claim, create the output, seal, commit.

The steps are numbered as in SWAP.md and keep its invariants. A claim holds a descriptor of the
original from the probe on; an output is discarded unless it was committed. Together with
`directory` (the primitive operations), `steps`, `preflight` and `upkeep` (recovery, restoring and
deletion, offered from here too) this is the one place that changes recordings' names.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Retryable, WatcherError
from watcher.replace.directory import LinuxDirectory
from watcher.replace.files import Check, Directory, Handle, Look, never
from watcher.replace.fitness import (
    Noted,
    dress,
    make_room,
    note,
    open_recording,
    refuse_neighbours,
)
from watcher.replace.marker import Held, Marker, State
from watcher.replace.mend import Recovered, recover, recover_locked
from watcher.replace.preflight import Ability, Method, Preflight
from watcher.replace.recovery import Standing, identity_of
from watcher.replace.sealing import Sealed, seal
from watcher.replace.steps import (
    Policy,
    Remember,
    Site,
    came_out,
    create_marker,
    forget,
    rewrite_marker,
    told,
)
from watcher.replace.upkeep import (
    Deletion,
    Outcome,
    Restored,
    delete_original,
    delete_orphan,
    restore,
)

__all__ = [
    "Claim",
    "Deletion",
    "LinuxDirectory",
    "Outcome",
    "Output",
    "Policy",
    "Preflight",
    "Recovered",
    "Remember",
    "Restored",
    "Standing",
    "claim",
    "delete_original",
    "delete_orphan",
    "recover",
    "restore",
]


def claim(
    directory: Directory,
    name: str,
    *,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    preflight: Preflight | None = None,
    remember: Remember = forget,
    clock: Clock | None = None,
) -> "Claim":
    """Claim a recording before anything is spent on it (SWAP, Before and step 1).

    Raises `Refused` for what will not change by itself (hard_link, original_exists, immutable,
    mounted, no_file, name_too_long, attributes, exchange_unsafe, file_system_lacks), `Retryable`
    for what may (vanished, original_changed, open_for_writing, not_owner, directory_locked),
    `Halt` where the file system fails. The claim does not close *directory*; use it as a context
    manager.
    """
    site = Site(directory, name, policy, remember, clock=clock or SystemClock())
    handle: Handle | None = None
    try:
        handle = open_recording(directory, name)
        with directory.locked():
            noted = note(directory, name, handle)
            ability = (preflight or Preflight()).ability(directory, policy)
            claimed = Claim(site, handle, noted, ability)
            claimed.ensure_no_writer()
            handle.drop_lease()
    except BaseException as error:
        if handle is not None:
            handle.close()
        if isinstance(error, OSError):
            raise told(error, site.path) from error
        raise
    return claimed


class Claim:
    """A recording that is going to be replaced: its open original and all that was noted of it."""

    def __init__(self, site: Site, handle: Handle, noted: Noted, ability: Ability) -> None:
        self.site = site
        self.path = site.path
        self.handle = handle
        self.noted = noted
        self.ability = ability

    def ensure_unchanged(self) -> None:
        """Raise `Retryable` if the recording is not what it was when it was claimed."""
        noted, site = self.noted.look, self.site
        try:
            same = noted.unchanged(self.handle.look()) and noted.unchanged(
                site.directory.look(site.name)
            )
        except OSError as error:
            raise told(error, self.path) from error
        if not same:
            raise Retryable("original_changed", f"{self.path} was changed, renamed or deleted")

    def ensure_no_writer(self) -> None:
        """Take a lease on the original, or raise `Retryable` where somebody writes to it."""
        try:
            free = not self.ability.leases or self.handle.lease()
        except PermissionError as error:  # leases are the owner's to take, not the group's
            raise Retryable(
                "not_owner",
                f"{self.path} belongs to another user; Watcher has to run as the one who owns it",
            ) from error
        if not free:
            raise Retryable("open_for_writing", f"{self.path}: somebody has it open for writing")

    def untouched_at(self, name: str) -> bool:
        """Say whether the original stands at *name*, and no writer asked for it under the lease."""
        there = self.site.directory.look(name)
        return self.noted.look.same_contents(there) and (
            not self.ability.leases or self.handle.lease_holds()
        )

    def create_output(self) -> "Output":
        """Create the hidden file that the copy is written into (step 2).

        Before that it is rehearsed on another whether it can take all the attributes, so that no
        night's encode is refused for them.
        """
        try:
            with self.site.directory.locked():
                make_room(self.site)
                self._rehearse()
                return Output(self, self._create())
        except OSError as error:
            raise told(error, self.path) from error

    def close(self) -> None:
        """Let go of the original, and of what was read of it: the cache is the recorder's."""
        with suppress(OSError):
            self.handle.drop_cache()
        self.handle.close()

    def __enter__(self) -> Self:
        """Give the claim."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Let go of it."""
        self.close()

    def _rehearse(self) -> None:
        handle = self._create()
        try:
            dress(handle, self.noted.attributes, self.path)
        finally:
            try:
                self.site.directory.unlink(self.site.temporary)
            finally:
                handle.close()  # or its lock would tell of work under way as long as we run

    def _create(self) -> Handle:
        handle = self.site.directory.create(self.site.temporary)
        try:
            if not handle.try_lock():
                raise Retryable(  # noqa: TRY301 - what closes the handle is below
                    "in_progress", f"{self.path}: its output was locked at once"
                )
        except BaseException:
            handle.close()
            raise
        return handle


class Output:
    """The copy in the making. Discards itself on exit unless it was committed."""

    def __init__(self, claimed: Claim, handle: Handle) -> None:
        self._claim = claimed
        self._site = claimed.site
        self._directory = claimed.site.directory
        self._handle = handle
        self._sealed: Sealed | None = None
        self._marker_look: Look | None = None
        self._finished = False
        self.path = self._directory.path_of(self._site.temporary)
        self.held_path = handle.path()
        """Where the encoder writes and the proof reads: who exchanges what stands under the name
        has nothing overwritten, and nothing else proven."""

    def size_bytes(self) -> int:
        """Give how much has been written so far."""
        return self._handle.look().size

    def trickle(self) -> None:
        """Begin to write back, so that sealing has little left to do; errors are seal's to find."""
        with suppress(OSError):
            self._handle.start_writeback()

    def seal(self, check: Check = never) -> None:
        """Make the finished copy durable and take both digests (step 3).

        After it nobody can write to the copy unseen, and it may be verified. Raises `Refused`
        (no_saving, attributes), `Retryable` (output_replaced, output_in_use, original_changed),
        `Halt`, `Aborted`. A failed fsync is final: the output has to be discarded.
        """
        claimed = self._claim
        try:
            self._sealed = seal(
                self._site,
                self._handle,
                claimed.handle,
                claimed.noted,
                claimed.ability,
                check=check,
            )
        except OSError as error:
            raise told(error, self.path) from error
        claimed.ensure_unchanged()

    def commit(
        self,
        *,
        report: Mapping[str, Any],
        encoder: str,
        settings: Mapping[str, Any],
        keep_original_s: float,
    ) -> Marker:
        """Put the verified copy in the recording's place (steps 4 to 11); gives the done marker.

        Where anything is not as it was the swap is undone and `Retryable`, `Refused` or `Halt`
        raised. After the exchange only the directory's fsync and the marker are left to fail:
        then `Halt` says "unfinished", nothing is deleted, and the next recovery decides.
        """
        sealed = self._sealed
        if sealed is None or self._finished:
            raise Halt("not_sealed", f"{self.path}: an output is sealed, once, before its commit")
        clock = self._site.clock
        held = Held(clock.wall_s(), clock.boot_s(), clock.boot_id(), keep_original_s)
        marker = Marker(
            name=self._site.name,
            state=State.INTENT,
            original=identity_of(self._claim.noted.look, sealed.original_sha256),
            copy=identity_of(sealed.look, sealed.sha256),
            held=held,
            encoder=encoder,
            settings=settings,
            report=report,
        )
        try:
            with self._directory.locked():
                self._ensure_ready(sealed)
                self._finished = True
                self._swap(marker, sealed)
                return self._complete(marker)
        except OSError as error:
            raise told(error, self._claim.path) from error

    def discard(self) -> None:
        """Remove the output if it still stands at its temporary name; never raises."""
        finished, self._finished = self._finished, True
        try:
            if not finished:
                with suppress(OSError, WatcherError), self._directory.locked():
                    if self._handle.look().same_inode(self._directory.look(self._site.temporary)):
                        self._directory.unlink(self._site.temporary)
        finally:
            self._handle.close()

    def __enter__(self) -> Self:
        """Give the output."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Discard it unless it was committed; a stuck writer's is left, unlocked, to recovery."""
        if isinstance(error, Halt) and error.reason == "child_stuck":
            self._finished = True  # what keeps the writer in the kernel would keep an unlink too
        self.discard()

    def _ensure_ready(self, sealed: Sealed) -> None:
        """Step 4: with a lease on the original, everything is as it was noted and sealed."""
        self._claim.ensure_no_writer()
        self._claim.ensure_unchanged()
        if not self._copy_untouched(sealed, self._site.temporary):
            raise Retryable("output_replaced", f"{self.path} is not the file that was verified")
        refuse_neighbours(self._directory, self._site.name)

    def _copy_untouched(self, sealed: Sealed, name: str) -> bool:
        """Whether *name* is the sealed copy, and nobody asked to write to it since."""
        return sealed.look.same_contents(self._directory.look(name)) and self._copy_leased()

    def _copy_leased(self) -> bool:
        return not self._claim.ability.leases or self._handle.lease_holds()

    def _swap(self, marker: Marker, sealed: Sealed) -> None:
        """Steps 5 to 9; whatever fails is undone by what would undo it after a crash."""
        try:
            self._marker_look = create_marker(self._directory, marker)
            if self._claim.ability.method is Method.EXCHANGE:
                self._exchange(sealed)
            else:
                self._link_over()
        except (OSError, WatcherError):
            self._let_go()
            recover_locked(self._site, live=True)
            raise

    def _exchange(self, sealed: Sealed) -> None:
        directory, name, original = self._directory, self._site.name, self._site.original
        if not self._copy_untouched(sealed, self._site.temporary):
            raise Retryable("output_replaced", f"{self.path} is not the file that was verified")
        directory.move(self._site.temporary, original)  # 6
        directory.sync()
        ready = self._claim.untouched_at(name) and self._copy_leased()  # 7
        before = directory.look(original)  # last: an exchange can't ask for it
        if not (ready and sealed.look.same_contents(before)):
            raise Retryable("original_changed", f"{self._claim.path} changed before its exchange")
        directory.exchange(name, original)  # 8: the commit point; ENOENT: its owner deleted it
        copy_is_there = self._handle.look().same_inode(back := directory.look(name))  # 9
        if copy_is_there and self._claim.untouched_at(original):
            return  # a writer to the copy that came after the exchange is rewriting the recording
        out = directory.look(original)
        if copy_is_there and (
            self._claim.noted.look.same_inode(out) or came_out(back, out, before)
        ):
            directory.exchange(name, original)
        raise Retryable("original_changed", f"{self._claim.path} changed at its exchange")

    def _link_over(self) -> None:
        """What the owner allowed where the exchange can't be relied on: a race stays open."""
        directory, name, original = self._directory, self._site.name, self._site.original
        directory.link(name, original)
        if not (self._claim.untouched_at(original) and self._claim.untouched_at(name)):
            raise Retryable("original_changed", f"{self._claim.path} changed before its exchange")
        directory.sync()
        if not self._handle.look().same_inode(directory.look(self._site.temporary)):
            raise Retryable("output_replaced", f"{self.path} is not the file that was verified")
        directory.move_over(self._site.temporary, name)

    def _complete(self, marker: Marker) -> Marker:
        """Steps 10 and 11."""
        done = marker.with_state(State.DONE)
        try:
            self._directory.sync()
            rewrite_marker(self._directory, done, self._marker_look)
        except OSError as error:
            raise Halt(
                "unfinished",
                f"{self._claim.path}: replaced, but that could not be made durable ({error});"
                " nothing is deleted, and it is looked at again at the next start",
            ) from error
        finally:
            self._let_go()
        return done

    def _let_go(self) -> None:
        """Give back the copy's lock and both leases, and its pages, which the proof has read."""
        with suppress(OSError):
            self._handle.drop_cache()
        self._handle.close()
        with suppress(OSError):
            self._claim.handle.drop_lease()
