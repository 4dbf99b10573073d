"""What `watcher check` concludes from Loki's answer."""

import pytest

from watcher.config import Loki
from watcher.report.loki_check import loki_row
from watcher.report.push import Answer, Meaning

LOKI = Loki(url="http://loki.lan:3100")


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [
        (Answer(Meaning.TAKEN, "status_204"), "ok", "takes lines"),
        (Answer(Meaning.MISCONFIGURED, "status_401", "no"), "fail", "status_401 no"),
        (Answer(Meaning.MISCONFIGURED, "settings", "no such file"), "fail", "no such file"),
        (Answer(Meaning.LATER, "unreachable", "refused"), "warn", "unreachable refused"),
    ],
)
def test_the_row_says_what_came_back_and_how_to_mend_it(
    answer: Answer, status: str, word: str
) -> None:
    row = loki_row(LOKI, "http://loki.lan:3100", lambda _settings: answer)
    assert (row.status, row.title) == (status, "loki")
    assert word in row.finding
    assert "loki.lan:3100" in row.finding
    assert bool(row.remedy) == (status != "ok")
