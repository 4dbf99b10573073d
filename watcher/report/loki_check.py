"""What `watcher check` says of the Loki that the configuration names."""

from collections.abc import Callable
from urllib.parse import urlsplit

from watcher.config import Loki
from watcher.report.loki import reach, remedy_for, settings_of
from watcher.report.push import Answer, LokiSettings, Meaning
from watcher.report.tables import Row


def loki_row(loki: Loki, url: str, ask: Callable[[LokiSettings], Answer] = reach) -> Row:
    """Ask the Loki at *url* with a push of nothing, and say what came back."""
    answer = ask(settings_of(loki, url, ""))
    where = urlsplit(url).netloc
    if answer.meaning is Meaning.TAKEN:
        return Row("ok", "loki", f"{where} takes lines")
    said = f"{answer.reason} {answer.detail}".strip()
    if answer.meaning is Meaning.MISCONFIGURED:
        return Row("fail", "loki", f"{where} takes no lines: {said}", remedy_for(answer))
    mend = "see whether Loki runs and logging.loki.url is right; until then lines wait on disk"
    return Row("warn", "loki", f"{where} takes no lines now: {said}", mend)
