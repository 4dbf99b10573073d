"""The end of the service's parts, within bounds: what the kernel keeps is left behind, and named.

A disk that hangs keeps whoever has called it, for as long as it hangs, and no signal ends that. The
service's end waits for none of its parts any longer than it has promised. All of their threads are
daemons: a process that ends does not wait for them either, and recovery takes what they leave.
"""

import threading
from collections.abc import Callable
from typing import Final

from watcher.clock import Clock, SystemClock

PARTS_WITHIN_S: Final = 10.0
"""So long have all the parts together, once nothing is being worked on any more."""

_EACH_S: Final = 1.0
"""And so long each at least: what closes in its own time is not to be told to hang, for one did."""


class Parting:
    """Ends parts one after the other; *left* names those that did not end."""

    def __init__(self, within_s: float = PARTS_WITHIN_S, clock: Clock | None = None) -> None:
        self._within_s = within_s
        self._clock = clock or SystemClock()
        self._until_s: float | None = None
        self.left: list[str] = []

    def end(self, name: str, act: Callable[[], object]) -> None:
        """End one part by *act*, which may hang; raises what it raises."""
        wrong: list[BaseException] = []

        def body() -> None:
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - raised again, where it was asked for
                wrong.append(error)

        thread = threading.Thread(target=body, name=f"watcher-end-{name}", daemon=True)
        thread.start()
        thread.join(self._left_s())
        if thread.is_alive():
            self.left.append(name)
        if wrong:
            raise wrong[0]

    def _left_s(self) -> float:
        now_s = self._clock.monotonic_s()
        if self._until_s is None:
            self._until_s = now_s + self._within_s
        return max(_EACH_S, self._until_s - now_s)
