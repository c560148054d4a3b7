"""One HTTP request to the agent on this host, and what each kind of trouble with it means."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import LocationValueError, MaxRetryError, NameResolutionError, SSLError

from pdagent import __version__
from pdagent.config import Config

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


class Transport:
    """Makes requests with the agent's secret, one connection a request.

    Every method raises `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def call_twice(self, method: str, path: str, **request: Any) -> requests.Response:
        """As `call`; a connection that breaks is tried once more."""
        try:
            return self.call(method, path, **request)
        except _Broken as first:
            try:
                return self.call(method, path, **request)
            except Unreachable as second:
                # Nothing saw the second request, but the agent may have stored the first.
                raise NoAnswer(f"{first}, then {second}") from None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The agent's answer, whole; one that says no is raised as `Refused`."""
        with self._session() as session:
            return self._requested(session, method, path, data=body, headers=headers, params=query)

    @contextmanager
    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """What a GET is answered with, a line at a time as it arrives.

        The iterator ends where the agent ends its answer in order, and raises `NoAnswer` where the
        connection breaks or stays silent for long.
        """
        with self._session() as session:
            answer = self._requested(session, "GET", path, params=query, stream=True)
            with answer:
                yield self._lines_of(answer)

    def _lines_of(self, answer: requests.Response) -> Iterator[bytes]:
        try:
            # A piece is what has arrived, so a line is passed on as soon as it is complete.
            yield from answer.iter_lines(chunk_size=None)
        except (requests.RequestException, OSError) as error:
            raise self._failure(error) from None

    def _requested(
        self, session: requests.Session, method: str, path: str, **request: Any
    ) -> requests.Response:
        host, _, port = self._config.address.rpartition(":")
        scheme = "https" if self._config.tls_cert else "http"
        url = f"{scheme}://{_ANY_ADDRESS.get(host, host)}:{port}{path}"
        timeout = (_CONNECT_SECONDS, _ANSWER_SECONDS)
        try:
            response = session.request(
                method, url, timeout=timeout, allow_redirects=False, **request
            )
            if response.ok and not response.is_redirect:
                return response
            raise self._refusal(response)
        except (OSError, LocationValueError) as error:
            raise self._failure(error) from None

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
            return NotUnderstood(self.stranger("it doesn't speak HTTP"))
        return _Broken("the connection broke")

    def _refusal(self, answer: requests.Response) -> AgentError:
        try:
            errors = msgspec.json.decode(answer.content, type=_Errors).errors
        except _UNDECODABLE:
            if answer.status_code in (429, 503):
                return Refused(answer.status_code, (), _seconds(answer.headers.get("Retry-After")))
            return NotUnderstood(self.stranger(f"it answered HTTP {answer.status_code}"))
        return Refused(answer.status_code, errors, _seconds(answer.headers.get("Retry-After")))

    def decoded(self, answer: requests.Response, kind: type[_Expected]) -> _Expected:
        """The JSON of an answer as a `kind`."""
        return self.decode(answer.content, kind)

    def decode(self, text: bytes, kind: type[_Expected]) -> _Expected:
        """JSON out of an answer as a `kind`."""
        try:
            return msgspec.json.decode(text, type=kind)
        except _UNDECODABLE:
            raise NotUnderstood(self.stranger("its answer isn't the JSON expected")) from None

    def stranger(self, why: str) -> str:
        """The sentence that whoever answered is no agent, `why` says what gave that away."""
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
