"""The configuration with which a reload waits for the running file: a later one takes its place."""

import threading
from collections.abc import Callable

from watcher.config import Config


class Pending:
    """At most one; any thread may use it. *limits* put in force what can be at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._config: Config | None = None

    @property
    def config(self) -> Config | None:
        """Give it; None while no reload waits."""
        return self._config

    def put(self, config: Config, limits: Callable[[], None]) -> None:
        """Begin to wait."""
        with self._lock:
            limits()
            self._config = config

    def replace(self, config: Config, limits: Callable[[], None]) -> bool:
        """Take *config* instead; False where nothing waits (any more)."""
        with self._lock:
            if self._config is None:
                return False
            limits()
            self._config = config
            return True

    def take(self) -> Config | None:
        """End the wait: from now on nothing is replaced."""
        with self._lock:
            config, self._config = self._config, None
            return config
