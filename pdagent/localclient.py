"""What commands on this host use to talk to the running agent over its local HTTP API."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import LocationValueError, MaxRetryError, NameResolutionError, SSLError

from pdagent import __version__
from pdagent.config import Config

JsonObject = dict[str, object]

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_Expected = TypeVar("_Expected")


class AgentError(Exception):
    """A call to the agent failed. The text is one line and holds no credential."""


class Unreachable(AgentError):
    """No connection to the agent came about: it has seen nothing of the request."""


class NoAnswer(AgentError):
    """The connection broke or fell silent: whether the agent acted on the request isn't known."""


class _Broken(NoAnswer):
    """The connection ended early: unlike with a silent agent, another try may do at once."""


class NotUnderstood(AgentError):
    """Something answered, but not as the agent does."""


class Refused(AgentError):
    """The agent said no.

    `status` is the HTTP code, `errors` the agent's reasons, `retry_after` in how many seconds
    another try makes sense, None when the agent didn't say.
    """

    def __init__(self, status: int, errors: tuple[str, ...], retry_after: float | None) -> None:
        super().__init__("; ".join(errors) or f"HTTP {status}")
        self.status = status
        self.errors = errors
        self.retry_after = retry_after


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The agent's word that an event is stored; only one of the two keys is filled in.

    `key` is the event's id. A change event has neither `dedup_key` nor `incident_key`.
    """

    key: str = ""
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()


class LocalClient:
    """The agent's local API, one method a call, one connection a request.

    Every method raises `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def send(self, version: Literal["v1", "v2"], event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one alert event, as JSON in PagerDuty's own form with its routing key.

        A connection that breaks is tried once more: `idempotency_key` keeps the agent from storing
        the event twice.
        """
        headers = {"Pd-Event-Version": version, "Idempotency-Key": idempotency_key}
        answer = self._call_twice("POST", "/send", body=event, headers=headers)
        return self._decoded(answer, Receipt)

    def send_change(self, event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one change event; otherwise like `send`."""
        headers = {"Idempotency-Key": idempotency_key}
        answer = self._call_twice("POST", "/v2/change/enqueue", body=event, headers=headers)
        return self._decoded(answer, Receipt)

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one; keys masked or named unless `show_keys`."""
        query = _of_key(routing_key) | ({"show_keys": "1"} if show_keys else {})
        return self._decoded(self._call_twice("GET", "/queue/status", query=query), JsonObject)

    def retry(self, routing_key: str | None = None) -> JsonObject:
        """Queue the dead-lettered events of one key, or of all, again: `{"message", "count"}`."""
        answer = self._call("POST", "/queue/retry", query=_of_key(routing_key))
        return self._decoded(answer, JsonObject)

    def status(self) -> JsonObject:
        """The agent, PagerDuty as it sees it, totals and queues."""
        return self._decoded(self._call_twice("GET", "/status"), JsonObject)

    def health(self) -> None:
        """Return when the agent is well; `Refused` tells why it isn't."""
        answer = self._call_twice("GET", "/health")
        if answer.content.strip() != b"OK":
            raise NotUnderstood(self._stranger("its health isn't OK"))

    def _call_twice(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._call(method, path, **request)
        except _Broken as first:
            try:
                return self._call(method, path, **request)
            except Unreachable as second:
                # Nothing saw the second request, but the agent may have stored the first.
                raise NoAnswer(f"{first}, then {second}") from None

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        host, _, port = self._config.address.rpartition(":")
        scheme = "https" if self._config.tls_cert else "http"
        url = f"{scheme}://{_ANY_ADDRESS.get(host, host)}:{port}{path}"
        with self._session() as session:
            try:
                response = session.request(
                    method,
                    url,
                    params=query,
                    data=body,
                    headers=headers,
                    timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                    allow_redirects=False,
                )
            except (OSError, LocationValueError) as error:
                raise self._failure(error) from None
        if not response.ok or response.is_redirect:
            raise self._refusal(response)
        return response

    def _session(self) -> requests.Session:
        session = requests.Session()
        # Proxy variables and .netrc have no say on the way to one's own host.
        session.trust_env = False
        session.headers["User-Agent"] = f"pagerduty-agent/{__version__}"
        session.headers["Content-Type"] = "application/json"
        session.headers["Connection"] = "close"
        if self._config.secret:
            session.headers["Authorization"] = f"token {self._config.secret}"
        if self._config.tls_cert is not None:
            session.verify = False  # instead, the one certificate that may answer is pinned
            session.mount("https://", _PinnedAdapter(_fingerprint(self._config.tls_cert)))
        return session

    def _failure(self, error: Exception) -> AgentError:
        """`error`, raised by requests, by what it means for the request."""
        cause = error.args[0] if error.args else None
        if isinstance(error, requests.ConnectTimeout):
            return Unreachable("timed out")
        if isinstance(error, requests.ReadTimeout):
            return NoAnswer(f"none within {_ANSWER_SECONDS:.0f} s")
        if isinstance(error, LocationValueError):
            return Unreachable("that is no host name")
        # requests tries once: a MaxRetryError means that no connection came about, except where
        # TLS notices the end of one that was there.
        if isinstance(cause, MaxRetryError):
            reason = cause.reason
            inside = reason.args[0] if isinstance(reason, SSLError) and reason.args else None
            inner = inside if isinstance(inside, ssl.SSLError) else reason
            if isinstance(inner, ssl.SSLEOFError):
                return _Broken("the connection broke")
            return Unreachable(_why_unreachable(inner))
        broken = cause.args[-1] if isinstance(cause, Exception) and cause.args else None
        bad = isinstance(broken, http.client.BadStatusLine)
        if bad and not isinstance(broken, ConnectionError):
            return NotUnderstood(self._stranger("it doesn't speak HTTP"))
        return _Broken("the connection broke")

    def _refusal(self, answer: requests.Response) -> AgentError:
        try:
            errors = msgspec.json.decode(answer.content, type=_Errors).errors
        except _UNDECODABLE:
            if answer.status_code in (429, 503):
                return Refused(answer.status_code, (), _seconds(answer.headers.get("Retry-After")))
            return NotUnderstood(self._stranger(f"it answered HTTP {answer.status_code}"))
        return Refused(answer.status_code, errors, _seconds(answer.headers.get("Retry-After")))

    def _decoded(self, answer: requests.Response, kind: type[_Expected]) -> _Expected:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except _UNDECODABLE:
            raise NotUnderstood(self._stranger("its answer isn't the JSON expected")) from None

    def _stranger(self, why: str) -> str:
        return f"what listens at {self._config.address} is not a pagerduty-agent ({why})"


class _Errors(msgspec.Struct):
    errors: tuple[str, ...]


class _PinnedAdapter(HTTPAdapter):
    """Talks to the holder of one certificate only.

    Whoever answers must have that certificate's private key, so its names, dates and issuer add
    nothing: it may have been issued for another name of this host.
    """

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As requests does, with the pin."""
        super().init_poolmanager(*arguments, **options, assert_fingerprint=self._fingerprint)


def _fingerprint(certificate: Path) -> str:
    try:
        found = _CERTIFICATE.search(certificate.read_text("ascii", "replace"))
        if found is None:
            raise Unreachable(f"tls_cert {certificate} holds no certificate in PEM form")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()
    except OSError as error:
        raise Unreachable(f"can't read tls_cert {certificate}: {error.strerror}") from None
    except ValueError:
        raise Unreachable(f"tls_cert {certificate} holds a damaged certificate") from None


def _of_key(routing_key: str | None) -> dict[str, str]:
    return {"rk": routing_key} if routing_key else {}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def _why_unreachable(reason: object) -> str:
    if isinstance(reason, NameResolutionError):
        return "no such host"
    if isinstance(reason, ssl.SSLError):
        return f"TLS: {(reason.reason or 'failed').replace('_', ' ').lower()}"
    if isinstance(reason, SSLError):
        return "its certificate isn't the one in tls_cert"
    system = reason.__cause__ if isinstance(reason, Exception) else None
    text = system.strerror if isinstance(system, OSError) else None
    return (text or type(reason).__name__).lower()
