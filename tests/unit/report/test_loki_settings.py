"""What `logging.loki` may say, and how it becomes the pusher's settings."""

import pytest

from watcher.config import ConfigError, parse_config
from watcher.report.loki import settings_of

CAMERA = "recordings:\n  cam1: /srv/recordings/cam1\n"


def loki(text: str) -> str:
    return f"{CAMERA}logging:\n  loki:\n    {text}\n"


def test_every_key_of_the_configuration_reaches_the_pusher() -> None:
    config = parse_config(
        loki(
            "{url: 'https://loki.lan', labels: {site: barn}, spool_bytes: 5, tenant: farm,"
            " username: me, password_file: /run/pw, ca_file: /etc/ca.pem,"
            " use_proxy_environment: true, timeout_seconds: 2.5}"
        ),
        "test.yaml",
    )
    given = settings_of(config.logging.loki, "https://loki.lan", "/state")
    assert given.spool_directory == "/state/loki-spool"
    assert (given.labels, given.spool_bytes, given.tenant) == ({"site": "barn"}, 5, "farm")
    assert (given.username, given.password_file, given.token_file) == ("me", "/run/pw", None)
    assert (given.ca_file, given.use_proxy_environment) == ("/etc/ca.pem", True)
    assert given.timeout_seconds == 2.5


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("url: loki.lan:3100", "web address"),
        ("url: 'ftp://loki.lan'", "web address"),
        ("url: 'http://:3100'", "web address"),
        ("url: 'http://loki.lan:99999'", "web address"),
        ("url: 'https://me:hunter2@loki.lan'", "password_file"),
        ("labels: {'a-b': c}", "label"),
        ("labels: {" + ", ".join(f"l{n}: x" for n in range(14)) + "}", "more labels than"),
        ("labels: {site: 7}", "text"),
        ("username: me", "password_file"),
        ("password_file: /run/pw", "username"),
        ("token_file: token", "absolute"),
        ("{username: me, password_file: /run/pw, token_file: /run/token}", "one or the other"),
        ("timeout_seconds: 0", "out of range"),
    ],
)
def test_what_would_not_work_is_refused_with_a_remedy(text: str, word: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(loki(text), "test.yaml")
    told = str(refused.value)
    assert word in told
    assert "hunter2" not in told
    assert all(mistake.remedy for mistake in refused.value.mistakes)


def test_a_configuration_without_loki_says_nothing_of_it() -> None:
    assert parse_config(CAMERA, "test.yaml").logging.loki.url is None
