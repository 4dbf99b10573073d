"""What does not come through `events.emit`: other libraries' records, warnings, uncaught errors.

All of it becomes the event `log`, so that one line of the log looks like another and nothing is
told on standard error alone. `remove` puts everything back as it was.
"""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType

from watcher.report.clean import text

Receiver = Callable[[int, str, Mapping[str, object]], None]
_SILENCED = ("httpx", "httpcore")
"""They tell of every request: the push to Loki would feed itself, and headers hold secrets."""


class Capture:
    """The hooks of this process, led to *receiver* between `install` and `remove`."""

    def __init__(self, receiver: Receiver, level: int) -> None:
        self._receiver = receiver
        # Schedulers tell of each tick at INFO: others' small talk is for those who debug.
        self._level = logging.INFO if level <= logging.DEBUG else max(level, logging.WARNING)
        self._handler = _Handler(receiver)
        self._put_back: list[Callable[[], None]] = []

    def install(self) -> None:
        """Take over; a second `install` in one process stacks upon the first."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        quiet = [(name, logging.getLogger(name).level) for name in _SILENCED]
        shown = logging.raiseExceptions

        def put_back() -> None:
            root.handlers[:] = handlers
            root.setLevel(level)
            logging.raiseExceptions = shown
            sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
            for name, before in quiet:
                logging.getLogger(name).setLevel(before)

        self._put_back.append(put_back)
        root.handlers[:] = [self._handler]
        root.setLevel(self._level)
        logging.raiseExceptions = False  # a record that can't be formatted must not print
        for name in _SILENCED:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        logging.captureWarnings(True)
        sys.excepthook = self._uncaught
        threading.excepthook = self._uncaught_in_thread
        sys.unraisablehook = self._unraisable

    def remove(self) -> None:
        """Put back what `install` found."""
        while self._put_back:
            logging.captureWarnings(False)
            self._put_back.pop()()

    def _uncaught(
        self,
        kind: type[BaseException],
        error: BaseException,
        where: TracebackType | None,
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        exc_info = (kind, error, where)
        message = "an uncaught exception ends the process"
        self._receiver(
            logging.CRITICAL,
            "log",
            {"logger": "uncaught", "message": message, "exc_info": exc_info},
        )

    def _uncaught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if issubclass(args.exc_type, SystemExit):
            return
        error = args.exc_value or args.exc_type()
        name = args.thread.name if args.thread else "?"
        fields = {
            "logger": "uncaught",
            "message": f"an uncaught exception ends the thread {name}",
            "exc_info": (args.exc_type, error, args.exc_traceback),
        }
        self._receiver(logging.ERROR, "log", fields)

    def _unraisable(self, args: "sys.UnraisableHookArgs") -> None:
        error = args.exc_value or args.exc_type()
        fields = {
            "logger": "unraisable",
            "message": f"{args.err_msg or 'exception ignored in'} {text(args.object, 300)}",
            "exc_info": (args.exc_type, error, args.exc_traceback),
        }
        self._receiver(logging.ERROR, "log", fields)


class _Handler(logging.Handler):
    """Turns a record of the standard library's logging into the event `log`."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self._receiver = receiver

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message: object = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that don't fit their format are theirs
            message = record.msg
        fields: dict[str, object] = {"logger": record.name, "message": text(message, 4000)}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_info"] = record.exc_info
        try:
            self._receiver(record.levelno, "log", fields)
        except Exception:  # noqa: BLE001 - no log line may hurt the work
            return
