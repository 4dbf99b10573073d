"""Index dumps for whoever asks, in a thread of their own.

A dump of a million takes long: neither a signal, nor a question that came after it, nor the night's
loop waits for it. One is written at a time. Who asks while one is being written gets the next,
together with all others who ask meanwhile: each was begun after it was asked for.
"""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from watcher.clock import Clock
from watcher.errors import WatcherError
from watcher.events import Emit
from watcher.ledger.fingerprint import GROUNDS
from watcher.ledger.ledger import Outcome
from watcher.segments.dump import DumpFailed, given_up, write_dump
from watcher.segments.segment import Entry, State
from watcher.segments.worker import Worker

if TYPE_CHECKING:
    from watcher.service import Service

Then = Callable[[str | WatcherError], None]
"""What to do with the dump's path, or with the reason why there is none."""


class Dumping:
    """Writes dumps, from its construction until it is stopped."""

    def __init__(
        self,
        write: Callable[[Callable[[], bool]], str],
        clock: Clock,
        on_error: Callable[[str, Exception], None],
    ) -> None:
        """*write* writes one and gives its path; what it is given says whether to give up."""
        self._write = write
        self._lock = threading.Lock()
        self._waiting: list[Then] = []
        self._stopped = False
        self._worker = Worker("watcher-dump", clock, on_error)
        self._worker.start()

    def ask(self, then: Then) -> None:
        """Have a dump written, and *then* called with what came of it; at once. Any thread."""
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._waiting.append(then)
                if len(self._waiting) == 1:
                    self._worker.soon(self._dump)
        if stopped:
            then(given_up())

    def stop(self) -> None:
        """Give up what is being written; whoever waits is told so."""
        with self._lock:
            self._stopped = True
        self._worker.stop()
        for then in self._take():
            then(given_up())

    def _dump(self) -> None:
        asked = self._take()
        try:
            came: str | WatcherError = self._write(lambda: self._worker.stopping)
        except WatcherError as error:
            came = error
        except Exception as error:
            came = DumpFailed("unexpected", f"the index dump failed: {error!r}")
            raise  # the worker tells of it
        finally:
            for then in asked:
                then(came)

    def _take(self) -> list[Then]:
        with self._lock:
            asked, self._waiting = self._waiting, []
        return asked


def write_index(service: "Service", emit: Emit, stopping: Callable[[], bool]) -> str:
    """Write a running service's dump; give its path. Raises `DumpFailed`."""
    says = service.telling.says()
    return write_dump(
        str(service.state.path),
        service.watch.index,
        service={key: says[key] for key in ("pid", "version", "enabled", "current_file")},
        window=says["window"],
        gate=says["gate"],
        codec_of=codecs(service.ledger.outcome_of, service.config.transcoding.source_codecs),
        stopping=stopping,
        clock=service.clock,
        emit=emit,
    ).path


def codecs(
    outcome_of: Callable[[str], Outcome | None], source_codecs: Sequence[str]
) -> Callable[[Entry], str | None]:
    """Tell the dump which codec was found in a recording, by what came of it; None: not known."""
    source = source_codecs[0] if len(source_codecs) == 1 else None

    def codec_of(entry: Entry) -> str | None:
        reason = entry.reason or ""
        if entry.state is State.REPLACED or reason == "made_by_watcher":
            made = outcome_of(entry.segment.path)
            return None if made is None else "av1" if "av1" in made.encoder else "hevc"
        if reason == "already_hevc":
            return "hevc"
        return source if "codec" in GROUNDS.get(reason, ()) else None  # it was good to encode

    return codec_of
