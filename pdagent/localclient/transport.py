"""One HTTP request to the agent on this host, and what each kind of trouble with it means."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
import requests
from urllib3.exceptions import LocationValueError, MaxRetryError, NameResolutionError, SSLError

from pdagent import __version__
from pdagent.config import Config
from pdagent.localclient.errors import (
    AgentError,
    Broken,
    NoAnswer,
    NotUnderstood,
    OtherScheme,
    Refused,
    Unconfirmed,
    Unreachable,
)
from pdagent.localclient.tls import PinnedAdapter, speaks_tls, why_not_tls

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
PAUSES = (0.0, 0.2, 2.0)
"""Seconds before each try of a request whose outcome is not known. The third comes after a commit
that failed has been tried again."""
FOR_NOW = (429, 503)
_NO_SUCH_PATH = "404 Not Found"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_Expected = TypeVar("_Expected")


class Transport:
    """Makes requests with the agent's secret, one connection a request.

    Every method raises `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config, answer_seconds: float | None = None) -> None:
        self._config = config
        self._answer_seconds = answer_seconds or _ANSWER_SECONDS

    def call_until_known(self, method: str, path: str, **request: Any) -> requests.Response:
        """As `call`, repeated while it isn't known whether the agent acted on the request.

        For requests that may be repeated: they change nothing, or have an Idempotency-Key.
        """
        unknown: list[str] = []
        for pause in PAUSES:
            time.sleep(pause)
            try:
                return self.call(method, path, **request)
            except Broken as error:
                unknown.append(str(error))
            except (Unreachable, Refused) as error:
                final = isinstance(error, Refused) and error.status not in FOR_NOW
                if final or not unknown:
                    raise
                # This one was not stored, but one before it may be.
                unknown.append(str(error))
        raise NoAnswer(", then ".join(dict.fromkeys(unknown)))

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

    def _needs_tls(self) -> bool:
        host, _, port = self._config.address.rpartition(":")
        host = _ANY_ADDRESS.get(host, host).strip("[]")
        return self._config.tls_cert is None and speaks_tls(host, int(port))

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
        timeout = (_CONNECT_SECONDS, self._answer_seconds)
        try:
            response = session.request(
                method, url, timeout=timeout, allow_redirects=False, **request
            )
            if response.ok and not response.is_redirect:
                return response
            raise self._refusal(response)
        except (OSError, LocationValueError) as error:
            failure = self._failure(error)
            # Whoever expects TLS ends a connection that begins without it.
            if isinstance(failure, Broken) and self._needs_tls():
                failure = OtherScheme(
                    f"what listens at {self._config.address} speaks TLS: set tls_cert in the "
                    "config to the agent's certificate"
                )
            raise failure from None

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
            session.mount("https://", PinnedAdapter(self._config.tls_cert))
        return session

    def _failure(self, error: Exception) -> AgentError:
        """`error`, raised by requests, by what it means for the request."""
        cause = error.args[0] if error.args else None
        if isinstance(error, requests.ConnectTimeout):
            return Unreachable("timed out")
        if isinstance(error, requests.ReadTimeout):
            return NoAnswer(f"none within {self._answer_seconds:.0f} s")
        if isinstance(error, LocationValueError):
            return Unreachable("that is no host name")
        # requests tries once: a MaxRetryError means that no connection came about, except where
        # TLS notices the end of one that was there.
        if isinstance(cause, MaxRetryError):
            reason = cause.reason
            inside = reason.args[0] if isinstance(reason, SSLError) and reason.args else None
            inner = inside if isinstance(inside, ssl.SSLError) else reason
            if isinstance(inner, ssl.SSLEOFError):
                return Broken("the connection broke")
            if isinstance(inner, ssl.SSLError):
                return OtherScheme(
                    f"what listens at {self._config.address} does not speak TLS, as tls_cert in "
                    f"the config asks ({why_not_tls(inner)}): start the agent with tls_cert and "
                    "tls_key, or leave tls_cert out here"
                )
            if isinstance(inner, SSLError):
                return OtherScheme(
                    f"what listens at {self._config.address} can't be trusted: its certificate "
                    f"isn't the one in tls_cert ({self._config.tls_cert})"
                )
            return Unreachable(_why_unreachable(inner))
        broken = cause.args[-1] if isinstance(cause, Exception) and cause.args else None
        bad = isinstance(broken, http.client.BadStatusLine)
        if bad and not isinstance(broken, ConnectionError):
            return NotUnderstood(self.stranger("it doesn't speak HTTP"))
        return Broken("the connection broke")

    def _refusal(self, answer: requests.Response) -> AgentError:
        try:
            refusal = msgspec.json.decode(answer.content, type=_Errors)
        except _UNDECODABLE:
            if answer.status_code in FOR_NOW:
                return Refused(answer.status_code, (), _seconds(answer.headers.get("Retry-After")))
            return NotUnderstood(self.stranger(f"it answered HTTP {answer.status_code}"))
        if refusal.may_have_been_stored:
            return Unconfirmed("; ".join(refusal.errors))
        errors = refusal.errors
        if answer.status_code == HTTPStatus.NOT_FOUND and errors == (_NO_SUCH_PATH,):
            # The agent says more than that; its sandbox, for one, does not.
            return NotUnderstood(self.stranger(f"it answered '{_NO_SUCH_PATH}'"))
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
    may_have_been_stored: bool = False


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def _why_unreachable(reason: object) -> str:
    if isinstance(reason, NameResolutionError):
        return "no such host"
    system = reason.__cause__ if isinstance(reason, Exception) else None
    text = system.strerror if isinstance(system, OSError) else None
    return (text or type(reason).__name__).lower()
