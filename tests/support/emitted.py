"""An emitter that keeps what it was told, and holds it to the catalogue."""

from watcher.events import CATALOGUE, COMMON_FIELDS


class Emitted:
    """Records events; an event or field that the catalogue does not know fails the test."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, /, **fields: object) -> None:
        kind = CATALOGUE[event]
        unknown = set(fields) - kind.fields - COMMON_FIELDS
        assert not unknown, f"{event} has fields that the catalogue does not know: {unknown}"
        self.events.append((event, fields))

    def named(self, event: str) -> list[dict[str, object]]:
        """Give the fields of each *event* so far."""
        return [fields for name, fields in self.events if name == event]
