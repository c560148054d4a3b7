"""What commands on this host use to talk to the running agent over its local HTTP API.

It speaks through `http.client`: a command makes one request and exits, and importing requests takes
longer than everything else that `send` does put together. It also never looks at proxy settings or
`.netrc`, which have no say on the way to one's own host.
"""

from __future__ import annotations

import http.client
import re
import ssl
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from pdagent import __version__
from pdagent.config import Config

JsonObject = dict[str, object]
Headers = dict[str, str] | None

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
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


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: float | None


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
        return self._receipt(self._call_twice("POST", "/send", event, headers))

    def send_change(self, event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one change event; otherwise like `send`."""
        headers = {"Idempotency-Key": idempotency_key}
        return self._receipt(self._call_twice("POST", "/v2/change/enqueue", event, headers))

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one; keys masked or named unless `show_keys`."""
        query = {"rk": routing_key} if routing_key else {}
        if show_keys:
            query["show_keys"] = "1"
        return self._object(self._call_twice("GET", _with_query("/queue/status", query)))

    def retry(self, routing_key: str | None = None) -> JsonObject:
        """Queue the dead-lettered events of one key, or of all, again: `{"message", "count"}`."""
        query = {"rk": routing_key} if routing_key else {}
        return self._object(self._call("POST", _with_query("/queue/retry", query)))

    def status(self) -> JsonObject:
        """The agent, PagerDuty as it sees it, totals and queues."""
        return self._object(self._call_twice("GET", "/status"))

    def health(self) -> None:
        """Return when the agent is well; `Refused` tells why it isn't."""
        answer = self._call_twice("GET", "/health")
        if answer.body.strip() != b"OK":
            raise NotUnderstood(self._stranger("its health isn't OK"))

    def _call_twice(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = None
    ) -> _Answer:
        try:
            return self._call(method, target, body, headers)
        except _Broken as first:
            try:
                return self._call(method, target, body, headers)
            except Unreachable as second:
                # Nothing saw the second request, but the agent may have stored the first.
                raise NoAnswer(f"{first}, then {second}") from None

    def _call(
        self, method: str, target: str, body: bytes | None = None, headers: Headers = None
    ) -> _Answer:
        connection = self._connection()
        try:
            try:
                connection.connect()
            except (OSError, UnicodeError) as error:
                raise Unreachable(_reason(error)) from None
            answer = self._exchange(connection, method, target, body, headers)
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        return answer

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Headers,
    ) -> _Answer:
        if connection.sock is not None:
            connection.sock.settimeout(_ANSWER_SECONDS)
        try:
            try:
                connection.request(method, target, body, self._headers(headers))
            except (BrokenPipeError, ConnectionResetError):
                # An agent that refuses a body may close before it has read all of it; its answer
                # can still be waiting to be read.
                if body is None:
                    raise
            response = connection.getresponse()
            data = response.read()
        except http.client.RemoteDisconnected:
            raise _Broken("the connection was closed without an answer") from None
        except (http.client.BadStatusLine, http.client.UnknownProtocol):
            raise NotUnderstood(self._stranger("it doesn't speak HTTP")) from None
        except TimeoutError:
            raise NoAnswer(f"no answer within {_ANSWER_SECONDS:.0f} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(_reason(error)) from None
        return _Answer(response.status, data, _seconds(response.getheader("Retry-After")))

    def _headers(self, more: Headers) -> dict[str, str]:
        headers = {
            "User-Agent": f"pagerduty-agent/{__version__}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        if self._config.secret:
            headers["Authorization"] = f"token {self._config.secret}"
        return headers | (more or {})

    def _connection(self) -> http.client.HTTPConnection:
        host = _ANY_ADDRESS.get(self._config.host, self._config.host)
        if self._config.tls_cert is None:
            return http.client.HTTPConnection(host, self._config.port, timeout=_CONNECT_SECONDS)
        context = _tls(self._config.tls_cert)
        return http.client.HTTPSConnection(
            host, self._config.port, timeout=_CONNECT_SECONDS, context=context
        )

    def _refusal(self, answer: _Answer) -> AgentError:
        try:
            errors = msgspec.json.decode(answer.body, type=_Errors).errors
        except _UNDECODABLE:
            if answer.status in (429, 503):
                return Refused(answer.status, (), answer.retry_after)
            return NotUnderstood(self._stranger(f"it answered HTTP {answer.status}"))
        return Refused(answer.status, errors, answer.retry_after)

    def _receipt(self, answer: _Answer) -> Receipt:
        return self._decoded(answer, Receipt)

    def _object(self, answer: _Answer) -> JsonObject:
        return self._decoded(answer, JsonObject)

    def _decoded(self, answer: _Answer, kind: type[_Expected]) -> _Expected:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except _UNDECODABLE:
            raise NotUnderstood(self._stranger("its answer isn't the JSON expected")) from None

    def _stranger(self, why: str) -> str:
        return f"what listens at {self._config.address} is not a pagerduty-agent ({why})"


class _Errors(msgspec.Struct):
    errors: tuple[str, ...]


def _tls(certificate: Path) -> ssl.SSLContext:
    """Trust the agent's own certificate and nothing else.

    Whoever answers must have that very certificate's key, so the name in it adds nothing: it may
    have been issued for another name of this host.
    """
    try:
        match = _CERTIFICATE.search(certificate.read_text("ascii", "replace"))
        if match is None:
            raise Unreachable(f"tls_cert {certificate} holds no certificate in PEM form")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=match[0])
    except OSError as error:
        raise Unreachable(f"can't use tls_cert {certificate}: {_reason(error)}") from None
    return context


def _with_query(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't the one in tls_cert ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').replace('_', ' ').lower()}"
    text = error.strerror if isinstance(error, OSError) else None
    return (text or type(error).__name__).lower()
