"""A log that a test reads as a story: what was told, a line each, with the time of day."""

from datetime import datetime, tzinfo

from support.emitted import Emitted
from watcher.clock import Clock


class Timeline(Emitted):
    """Stamps each event with the time of day in *zone*, by the clock of who tells it."""

    def __init__(self, clock: Clock, zone: tzinfo) -> None:
        super().__init__()
        self._clock = clock
        self._zone = zone
        self.lines: list[str] = []

    def __call__(self, event: str, /, **fields: object) -> None:
        super().__call__(event, **fields)
        local = datetime.fromtimestamp(self._clock.wall_s(), self._zone)
        said = " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
        self.lines.append(f"{local:%H:%M:%S.%f}"[:10] + f"{local:%z} {event} {said}")

    def at(self, event: str, **fields: object) -> list[str]:
        """Give the local times of an event that was told with these *fields*."""
        wanted = [f"{key}={value}" for key, value in fields.items()]
        return [
            line.split()[0]
            for line in self.lines
            if line.split()[1] == event and all(one in line for one in wanted)
        ]
