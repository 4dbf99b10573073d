"""The service inside a host application, which may be the recorder itself."""

from collections.abc import Callable

from watcher.config import Config
from watcher.gate.hosted import HostedCounters
from watcher.ledger.ledger import Ledger, TranscodingStats
from watcher.service import LEDGER, Service


class BackgroundTranscoder:
    """The service inside a host application: no signals taken, no log set up.

    *recorders_healthy* is the host's own answer to whether its recorders are well; while it says
    no, nothing is transcoded. It is called twice a second while there is work.
    """

    def __init__(self, config: Config, recorders_healthy: Callable[[], bool] | None = None) -> None:
        self._service = Service(
            config, recorders_healthy=recorders_healthy, counters=HostedCounters()
        )

    def start(self) -> None:
        """Begin; returns when the cameras' directories have been walked. Raises `Halt`."""
        if not self._service.running:
            self._service.start()

    def stop(self) -> None:
        """End; a running file may finish where that takes no more than stop_timeout_seconds.

        What does not end, because a disk hangs, is told (`stop_incomplete`) and left behind.
        """
        if self._service.running:
            self._service.stop()

    @property
    def stats(self) -> TranscodingStats:
        """What has been transcoded so far."""
        if self._service.running:
            return self._service.ledger.totals()
        with Ledger(str(self._service.state.path / LEDGER)) as ledger:
            return ledger.totals()

    @property
    def current_file(self) -> str | None:
        """The recording that is being transcoded; None while none is."""
        job = self._service.shift.current if self._service.running else None
        return job.segment.path if job else None

    @property
    def running(self) -> bool:
        """Say whether it was started and not stopped."""
        return self._service.running
