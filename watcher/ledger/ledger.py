"""The ledger: what happened to each file, so that nothing is done twice and nothing in vain.

One SQLite file in the state directory, shared by the service and the commands, and by all of their
threads. It is a memory, not the truth: deleted, damaged or unwritable, no recording is harmed, and
no method here raises (see database.py). Verdicts, outcomes, needs, soundness and observations
each have their module; this one is the door.
"""

import sqlite3
from collections.abc import Callable
from typing import Self

from watcher import events
from watcher.clock import Clock
from watcher.ledger.database import Database
from watcher.ledger.fingerprint import Fingerprint, fingerprint
from watcher.ledger.needs import Need, NeedStore
from watcher.ledger.observations import ObservationStore
from watcher.ledger.outcomes import Failure, Night, Outcome, OutcomeStore
from watcher.ledger.soundness import Damage, SoundnessStore
from watcher.ledger.stats import Soundness, Speed, TranscodingStats
from watcher.ledger.verdict_store import Refreshed, VerdictStore
from watcher.ledger.verdicts import Kind, Remembered, Subject, Verdict

__all__ = [
    "Damage",
    "Failure",
    "Fingerprint",
    "Kind",
    "Ledger",
    "Need",
    "Night",
    "Outcome",
    "Refreshed",
    "Remembered",
    "Soundness",
    "Speed",
    "Subject",
    "TranscodingStats",
    "Verdict",
    "fingerprint",
]


class Ledger(VerdictStore, OutcomeStore, NeedStore, SoundnessStore, ObservationStore):
    """Everything that is remembered, over one database."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
        busy_timeout_s: float = 5.0,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        database = Database(
            path, clock=clock, emit=emit, busy_timeout_s=busy_timeout_s, connect=connect
        )
        VerdictStore.__init__(self, database)
        OutcomeStore.__init__(self, database)
        NeedStore.__init__(self, database)
        SoundnessStore.__init__(self, database)
        ObservationStore.__init__(self, database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def refresh(self) -> Refreshed:
        """Bring in what other processes wrote; see `VerdictStore.refresh`."""
        self.forget_speeds()
        self.reread_needs()
        return super().refresh()

    def forget(self, path: str) -> bool:
        """Forget the verdict on *path* and what it needs; False if there was no verdict."""
        self.forget_need(path)
        return super().forget(path)

    def prune(self, stands: Callable[[str], bool]) -> int:
        """Forget what is known of files that are no more; see `VerdictStore.prune`."""
        self.prune_needs(stands)
        return super().prune(stands)

    def trouble(self) -> str | None:
        """Why the ledger can't be written at present; None while all is well."""
        return self._database.trouble

    def checkpoint(self) -> None:
        """Bring everything to the disk itself; at the end of a night."""
        self._database.checkpoint()

    def close(self) -> None:
        """Write what waits, and close."""
        self._database.close()
