"""Every segment, oldest first, in memory: what is next, and where each one stands.

Promises: every change is O(log n); the oldest candidate and the next due time cost the same at a
million segments as at ten; a million fit into 400 MB. Safe to use from any thread; no lock is held
while a caller's function runs. Knows no file system and no clock: the observer tells it what is
there, the ledger (`verdict_of`) what was decided, and the caller what time it is.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator

from watcher.segments.alarms import Alarms
from watcher.segments.entries import (
    CANDIDATE,
    FIRST_REASON,
    OPEN,
    REPLACED,
    STATES,
    Counts,
    Home,
    Item,
    Known,
    Line,
    Tally,
)
from watcher.segments.segment import NS_PER_S, Entry, Segment, Settled, State, join

Verdicts = Callable[[str, int, int], Settled | None]

_AFTER_ANY_STATE = 1 << 62
_BULK = 16


def _never(_: Segment) -> bool:
    return False


def _no_verdict(_path: str, _size_bytes: int, _mtime_ns: int) -> None:
    return None


class SegmentIndex:
    """All segments of all cameras, ordered by age."""

    def __init__(self, min_age_s: float, verdict_of: Verdicts = _no_verdict) -> None:
        self._min_age_s = min_age_s
        self._verdict_of = verdict_of
        self._lock = threading.RLock()
        self._homes: dict[str, Home] = {}
        self._ready = Line()  # candidates alone, so that the oldest is the first
        self._rest = Line()  # everything else, in the same order
        self._tally = Tally()
        self._alarms = Alarms()
        self._open: set[tuple[str, str]] = set()

    @property
    def min_age_s(self) -> float:
        """How old a candidate has to be."""
        return self._min_age_s

    @min_age_s.setter
    def min_age_s(self, age_s: float) -> None:
        with self._lock:
            self._min_age_s = age_s
            for (directory, name), until_s in self._alarms.all().items():
                item = self._homes[directory].items[name]
                self._alarms.set((directory, name), until_s, self._due_s(item, until_s))

    # What is there: told by the observer.

    def put(self, segment: Segment, *, is_open: bool = False) -> bool:
        """Take in *segment*, new or changed; True if anything changed."""
        state = OPEN if is_open else CANDIDATE
        item = (segment.mtime_ns, segment.size_bytes, segment.directory, segment.name, state)
        return self.put_many(segment.camera, segment.directory, [item]) > 0

    def put_many(self, camera: str, directory: str, found: list[Item]) -> int:
        """Take in files of one directory; the number of those that are new or changed.

        Each is `CANDIDATE` or `OPEN`, as it was found: what else it may be is judged here.
        """
        with self._lock:
            home = self._home(camera, directory)
            news = found if home.knows_none_of(found) else home.news(found)
        if not news:
            return 0
        verdicts = self._ask_all(directory, news)
        in_bulk = len(news) > _BULK
        with self._lock:
            home = self._home(camera, directory)
            if in_bulk and not home.sidecars and not any(verdicts) and home.knows_none_of(news):
                self._insert_fresh(home, news)
                return len(news)
            for item, verdict in zip(news, verdicts, strict=True):
                if item[3] in home.items:
                    self._forget(home, directory, item[3])
                if verdict or home.sidecars:
                    code = self._judge(home, item, item[4] == OPEN, verdict)
                    self._insert(home, (*item[:4], code), in_bulk=in_bulk)
                else:
                    self._insert(home, item, in_bulk=in_bulk)
        return len(news)

    def remove(self, path: str) -> Segment | None:
        """Forget one file; what it was, if it was known."""
        directory, _, name = path.rpartition("/")
        return self.remove_name(directory or "/", name)

    def remove_name(self, directory: str, name: str) -> Segment | None:
        """Forget one file of a directory; what it was, if it was known."""
        with self._lock:
            home = self._homes.get(directory)
            item = self._forget(home, directory, name) if home else None
            return self._segment(item) if item and home else None

    def remove_directory(self, directory: str) -> list[Entry]:
        """Forget a directory (not what is below it); what was in it."""
        with self._lock:
            home = self._homes.get(directory)
            if home is None:
                return []
            entries = [self._entry(item) for item in home.items.values()]
            for name in list(home.items):
                self._forget(home, directory, name)
            del self._homes[directory]
            return entries

    def move_directory(self, old: str, new: str) -> int:
        """Take a directory's files (not those below it) to its new path; how many they were."""
        with self._lock:
            home = self._homes.get(old)
            if home is None:
                return 0
            found = home.items_at(new)
            self.remove_directory(old)
            self._home(home.camera, new).add_sidecars(home.sidecars)
        return self.put_many(home.camera, new, found)

    def put_sidecar(self, directory: str, recording_name: str, sidecar_name: str) -> None:
        """Note a file of ours beside a recording: from now on it is no candidate."""
        with self._lock:
            home = self._homes.setdefault(directory, Home(""))
            home.add_sidecars({recording_name: {sidecar_name}})
            item = home.items.get(recording_name)
            if item and item[4] != REPLACED:
                self._forget(home, directory, recording_name)
                self._insert(home, (*item[:4], REPLACED))

    def remove_sidecar(self, directory: str, recording_name: str, sidecar_name: str) -> None:
        """Note that a file of ours is gone; after the last one the recording is judged anew."""
        with self._lock:
            home = self._homes.get(directory)
            if home is None or not home.takes_last_sidecar(recording_name, sidecar_name):
                return
            item = home.items.get(recording_name)
        if item:
            self._rejudge(item)

    # What was decided: told by the shift.

    def settle(self, path: str, reason: str, until_s: float | None = None) -> None:
        """Take a segment out of the line: for ever, or until a time."""
        with self._lock:
            home, item = self._find(path)
            if home and item and item[4] not in (OPEN, REPLACED):
                self._forget(home, item[2], item[3])
                code = self._settled(item, Settled(reason, until_s))
                self._insert(home, (*item[:4], code))

    def unsettle(self, path: str) -> None:
        """Put a segment back into the line: its verdict was forgotten."""
        with self._lock:
            home, item = self._find(path)
            if home and item and item[4] >= FIRST_REASON:
                self._forget(home, item[2], item[3])
                self._insert(home, (*item[:4], CANDIDATE))

    def rejudge(self) -> None:
        """Ask for every verdict again: the configuration that decided them has changed."""
        for items in self.slices():
            for item in items:
                if item[4] not in (OPEN, REPLACED):
                    self._rejudge(item)

    # What is next.

    def oldest_due(self, now_s: float, skip: Callable[[Segment], bool] = _never) -> Segment | None:
        """The oldest candidate of age that *skip* does not pass over."""
        return next((segment for segment in self.due(now_s) if not skip(segment)), None)

    def due(self, now_s: float) -> Iterator[Segment]:
        """Every candidate of age, oldest first; the index may change meanwhile."""
        self._revive(now_s)
        last: tuple[object, ...] | None = None
        for size in itertools.chain((1, 16), itertools.repeat(256)):
            with self._lock:
                limit = self._age_limit(now_s)
                items = list(itertools.islice(self._ready.after(last), size))
                segments = [self._segment(item) for item in items if item[0] <= limit]
            yield from segments
            if len(segments) < size:
                return
            last = items[-1]

    def next_due_s(self) -> float | None:
        """When the next candidate comes of age or out of its back-off; None if there is none."""
        with self._lock:
            first_s = self._alarms.first_s()
            oldest = self._ready.first()
            if oldest is None:
                return first_s
            due_s = self._due_s(oldest)
            return due_s if first_s is None else min(due_s, first_s)

    def position(self, path: str) -> int | None:
        """Which place in the line a candidate has, 1 for the next; None if it stands in none."""
        with self._lock:
            _, item = self._find(path)
            if item is None or item[4] != CANDIDATE:
                return None
            return self._ready.number_before(item) + 1

    # What is known.

    def get(self, path: str) -> Entry | None:
        """Everything about one path."""
        with self._lock:
            _, item = self._find(path)
            return self._entry(item) if item else None

    def known(self, directory: str, name: str) -> Known | None:
        """The little that the observer needs of a file, quickly."""
        with self._lock:
            home = self._homes.get(directory)
            item = home.items.get(name) if home else None
            return Known(item[1], item[0], item[4] == OPEN, item[4] == REPLACED) if item else None

    def sidecars(self, path: str) -> frozenset[str]:
        """The names of our own files beside a recording."""
        directory, _, name = path.rpartition("/")
        with self._lock:
            home = self._homes.get(directory or "/")
            return frozenset(home.sidecars.get(name, ())) if home else frozenset()

    def names(self, directory: str) -> tuple[list[str], list[tuple[str, str]]]:
        """A directory's recordings, and its pairs of recording and file of ours beside it."""
        with self._lock:
            home = self._homes.get(directory)
            return home.names() if home else ([], [])

    def open_segments(self) -> list[Segment]:
        """Those that somebody is writing."""
        with self._lock:
            found = (self._homes[directory].items[name] for directory, name in self._open)
            return [self._segment(item) for item in sorted(found)]

    def counts(self, now_s: float | None = None) -> Counts:
        """How many, how large, in which state."""
        if now_s is not None:
            self._revive(now_s)
        with self._lock:
            due = 0
            if now_s is not None:
                due = self._ready.number_before((self._age_limit(now_s) + 1,))
            return self._tally.counts(due)

    def snapshot(self) -> list[Entry]:
        """Every entry, oldest first."""
        return [self.entry(item) for items in self.slices() for item in items]

    def slices(self, size: int = 2_000) -> Iterator[list[Item]]:
        """Every entry in raw form, oldest first, the lock held for one slice at a time.

        What changes meanwhile is given as it is when its turn comes.
        """
        last: tuple[object, ...] | None = None
        while True:
            with self._lock:
                both = (part.after(last) for part in (self._ready, self._rest))
                items = list(itertools.islice(heapq.merge(*both), size))
            if not items:
                return
            yield items
            last = (*items[-1][:4], _AFTER_ANY_STATE)

    def entry(self, item: Item) -> Entry:
        """Spell out what `slices` gave."""
        with self._lock:
            return self._entry(item)

    def __len__(self) -> int:
        return len(self._ready) + len(self._rest)

    # Helpers; all but _ask_all and _rejudge with the lock held.

    def _home(self, camera: str, directory: str) -> Home:
        home = self._homes.get(directory)
        if home is None:
            home = self._homes[directory] = Home(camera)
        home.camera = camera
        return home

    def _ask_all(self, directory: str, news: list[Item]) -> list[Settled | None]:
        if self._verdict_of is _no_verdict:
            return [None] * len(news)
        ask, above = self._verdict_of, join(directory, "")
        return [
            None if code == OPEN else ask(above + name, size_bytes, mtime_ns)
            for mtime_ns, size_bytes, _, name, code in news
        ]

    def _judge(self, home: Home, item: Item, is_open: bool, verdict: Settled | None) -> int:
        if item[3] in home.sidecars:
            return REPLACED
        if is_open:
            return OPEN
        return self._settled(item, verdict) if verdict else CANDIDATE

    def _rejudge(self, item: Item) -> None:
        (verdict,) = self._ask_all(item[2], [item])
        with self._lock:
            home = self._homes.get(item[2])
            if home is None or home.items.get(item[3]) != item:
                return  # it changed meanwhile, and was judged for that
            self._forget(home, item[2], item[3])
            code = self._judge(home, item, False, verdict)
            self._insert(home, (*item[:4], code))

    def _settled(self, item: Item, verdict: Settled) -> int:
        if verdict.until_s is not None:
            self._alarms.set(item[2:4], verdict.until_s, self._due_s(item, verdict.until_s))
        return self._tally.code_of(verdict.reason)

    def _insert(self, home: Home, item: Item, *, in_bulk: bool = False) -> None:
        home.items[item[3]] = item
        (self._rest if item[4] else self._ready).add(item, in_bulk=in_bulk)
        self._tally.add(item)
        if item[4] == OPEN:
            self._open.add(item[2:4])

    def _insert_fresh(self, home: Home, found: list[Item]) -> None:
        """Do the same for many at once, of which none is known and none is judged yet.

        The first walk goes this way a million times: what is common to all is done once.
        """
        items = {item[3]: item for item in found}  # a listing may give a name twice
        home.items.update(items)
        opened = [item for item in items.values() if item[4]]
        for item in opened:
            self._insert(home, item)
        closed = [item for item in items.values() if not item[4]] if opened else [*items.values()]
        self._ready.add_all(closed)
        self._tally.add_all(closed, CANDIDATE)

    def _forget(self, home: Home, directory: str, name: str) -> Item | None:
        item = home.items.pop(name, None)
        if item is None:
            return None
        (self._rest if item[4] else self._ready).remove(item)
        self._tally.take(item)
        if item[4] == OPEN:
            self._open.discard((directory, name))
        elif item[4] >= FIRST_REASON:
            self._alarms.cancel((directory, name))
        return item

    def _find(self, path: str) -> tuple[Home | None, Item | None]:
        directory, _, name = path.rpartition("/")
        home = self._homes.get(directory or "/")
        return home, home.items.get(name) if home else None

    def _segment(self, item: Item) -> Segment:
        mtime_ns, size_bytes, directory, name, _ = item
        home = self._homes.get(directory)
        return Segment(home.camera if home else "", directory, name, size_bytes, mtime_ns)

    def _entry(self, item: Item) -> Entry:
        code = item[4]
        state = STATES.get(code, State.SETTLED)
        reason = self._tally.reasons[code - FIRST_REASON] if state is State.SETTLED else None
        return Entry(self._segment(item), state, reason, self._alarms.until_s(item[2:4]))

    def _age_limit(self, now_s: float) -> int:
        return int((now_s - self._min_age_s) * NS_PER_S)

    def _due_s(self, item: Item, until_s: float = 0.0) -> float:
        return max(until_s, item[0] / NS_PER_S + self._min_age_s)

    def _revive(self, now_s: float) -> None:
        with self._lock:
            while True:
                key = self._alarms.pop_due(now_s)
                if key is None:
                    return
                self.unsettle(join(*key))
