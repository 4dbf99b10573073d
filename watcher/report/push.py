"""One request to Loki: what it may hold, how it is sent, and what its answer means.

Promises, whatever is put in: at most 15 labels, no line over 256 KiB, time-stamps strictly in
order, none older than Loki takes, none further behind the newest that Loki has than its window for
the disordered, none further ahead than it allows. No secret appears in what is told of a failure.
Which lines are sent when is `loki.py`'s business.
"""

import gzip
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson

from watcher.report import clean
from watcher.report.spool import Entry

PATH = "/loki/api/v1/push"
_S = 1_000_000_000
MOST_LABELS = 15
MOST_LINE_BYTES = 256 * 1024
OLDEST_NS = 7 * 86_400 * _S - 600 * _S
"""Loki's `reject_old_samples_max_age` is a week; ten minutes are for the way there."""
BEHIND_NS = 59 * 60 * _S
"""Half of Loki's `max_chunk_age`, which is 2 h, less a minute."""
AHEAD_NS = 9 * 60 * _S
"""Loki's `creation_grace_period` is ten minutes."""
_LABEL_TEXT = 400  # characters; Loki takes 2048 bytes
_ANSWER_BYTES = 2048
_IGNORED = re.compile(rb"total ignored: (\d+) out of")
_LONGEST_RETRY_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class LokiSettings:
    """Where Loki is and how it wants to be talked to; `logging.loki` of the configuration."""

    url: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    host: str = ""
    spool_directory: str | None = None
    spool_bytes: int = 64 * 1024 * 1024
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    tenant: str | None = None
    ca_file: str | None = None
    use_proxy_environment: bool = False
    timeout_seconds: float = 10.0


class Meaning(Enum):
    """What an answer, or none, means for the lines that were sent."""

    TAKEN = "taken"
    REFUSED = "refused"  # the good ones are stored, the others never will be: not sent again
    TOO_LARGE = "too_large"
    LATER = "later"
    MISCONFIGURED = "misconfigured"  # only a person can mend it; the lines wait


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one request."""

    meaning: Meaning
    reason: str
    detail: str = ""
    retry_after_s: float = 0.0
    ignored: int | None = None
    """How many entries Loki says that it did not store; None where it does not say."""


def labels_of(settings: LokiSettings) -> dict[str, str]:
    """Give the labels of the one stream: `service_name`, `host` and the configured ones."""
    labels = {"service_name": "watcher", "host": settings.host or "unknown"}
    for name, value in settings.labels.items():
        plain = re.sub(r"[^a-zA-Z0-9_]", "_", name).lstrip("_0123456789")[:_LABEL_TEXT]
        if plain and value and (plain in labels or len(labels) < MOST_LABELS):
            labels[plain] = value
    return {name: clean.text(value, _LABEL_TEXT) for name, value in labels.items()}


def expired(entry: Entry, now_ns: int) -> bool:
    """Say whether Loki would refuse *entry* for its age."""
    return entry.ts_ns < now_ns - OLDEST_NS


def stamps(entries: Sequence[Entry], now_ns: int, highest_ns: int) -> list[int]:
    """Give the time-stamps that the first of *entries* are sent with: as many as go together.

    They are the entries' own, but for those of a clock that was set since: Loki would refuse them.
    A step back over the out-of-order window ends the request.
    """
    floor = max(highest_ns - BEHIND_NS, now_ns - OLDEST_NS)
    ceiling = now_ns + AHEAD_NS
    given: list[int] = []
    for entry in entries:
        stamp = min(max(entry.ts_ns, floor), ceiling)
        if given and stamp <= given[-1]:
            if given[-1] - stamp > BEHIND_NS:
                break
            stamp = given[-1] + 1
        given.append(stamp)
    return given


def body(labels: Mapping[str, str], stamped: Sequence[tuple[int, Entry]]) -> bytes:
    """Give the request's body, compressed."""
    values = [[str(ts), _within(entry.text), entry.metadata] for ts, entry in stamped]
    plain = orjson.dumps({"streams": [{"stream": dict(labels), "values": values}]})
    return gzip.compress(plain, compresslevel=6, mtime=0)


def _within(text: str) -> str:
    if len(text) * 4 <= MOST_LINE_BYTES:
        return text
    return text.encode()[: MOST_LINE_BYTES - 4].decode("utf-8", "ignore")


def meaning_of(status: int) -> Meaning:
    """Say what Loki, or a proxy before it, means by *status*."""
    if httpx.codes.is_success(status):
        return Meaning.TAKEN
    if status in (400, 422):
        return Meaning.REFUSED
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return Meaning.TOO_LARGE
    if status in (408, 425, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Meaning.LATER
    return Meaning.MISCONFIGURED


class Client:
    """Sends bodies to one Loki. Secrets are read from their files for each request anew."""

    def __init__(self, settings: LokiSettings) -> None:
        self._settings = settings
        self._url = _push_url(settings.url)
        self._http: httpx.Client | None = None

    def post(self, data: bytes, timeout_s: float) -> Answer:
        """Send *data*; never raises."""
        secrets: list[str] = []
        try:
            headers = self._headers(secrets)
            answer = self._send(data, headers, timeout_s)
        except httpx.TimeoutException as error:
            return Answer(Meaning.LATER, "timeout", type(error).__name__)
        except (httpx.TransportError, httpx.StreamError) as error:
            return Answer(Meaning.LATER, "unreachable", _redacted(str(error), secrets))
        except (OSError, ValueError, httpx.InvalidURL) as error:  # a file of ours, or the URL
            return Answer(Meaning.MISCONFIGURED, "settings", _redacted(str(error), secrets))
        except Exception as error:  # noqa: BLE001 - the pusher's thread must outlive anything
            return Answer(Meaning.LATER, "unexpected", type(error).__name__)
        return replace(answer, detail=_redacted(answer.detail, secrets))

    def close(self) -> None:
        """Give back connections."""
        if self._http is not None:
            self._http.close()

    def _send(self, data: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        if self._http is None:
            self._http = httpx.Client(
                verify=_tls(self._settings.ca_file),
                trust_env=self._settings.use_proxy_environment,
                follow_redirects=False,
            )
        timeout = min(timeout_s, self._settings.timeout_seconds)
        with self._http.stream(
            "POST", self._url, content=data, headers=headers, timeout=timeout
        ) as response:
            said = b""
            for chunk in response.iter_bytes():
                said += chunk
                if len(said) >= _ANSWER_BYTES:
                    break
        status = response.status_code
        detail = said[:300].decode("utf-8", "replace").strip()
        ignored = [int(number) for number in _IGNORED.findall(said)]
        return Answer(
            meaning_of(status),
            f"status_{status}",
            detail,
            _retry_after(response.headers),
            sum(ignored) if ignored else None,
        )

    def _headers(self, secrets: list[str]) -> dict[str, str]:
        """Give the request's headers; what is secret in them is noted in *secrets*."""
        settings = self._settings
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": "watcher",
        }
        if settings.tenant:
            headers["X-Scope-OrgID"] = settings.tenant
        if settings.token_file:
            secrets.append(_secret(settings.token_file))
            headers["Authorization"] = f"Bearer {secrets[-1]}"
        elif settings.username:
            password = _secret(settings.password_file) if settings.password_file else ""
            basic = httpx.BasicAuth(settings.username, password)
            request = next(basic.auth_flow(httpx.Request("POST", self._url)))
            headers["Authorization"] = request.headers["Authorization"]
            secrets += [password, headers["Authorization"].split()[-1]]
        return headers


def _push_url(url: str) -> str:
    """Complete *url* to the push address, where only the server is named."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(PATH) else path + PATH))


def _secret(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def _redacted(words: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if secret:
            words = words.replace(secret, "***")
    return re.sub(r"//[^/\s@]*@", "//***@", words)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(max(0.0, float(headers.get("retry-after", "0"))), _LONGEST_RETRY_AFTER_S)
    except ValueError:
        return 0.0


def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Trust *ca_file* alone, or else what httpx brings and the system has."""
    if ca_file is not None:
        return ssl.create_default_context(cafile=ca_file)
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
