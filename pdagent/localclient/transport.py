"""Requests to the agent on this host, and what each kind of trouble with one means."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

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
from pdagent.localclient.exchange import Exchange, connect

_ANSWER_SECONDS = 30.0
_NOT_FOUND = 404
PAUSES = (0.0, 0.2, 2.0)
"""Seconds before each try of a request whose outcome is not known. The third comes after a commit
that failed has been tried again."""
FOR_NOW = (429, 503)
_NO_SUCH_PATH = "404 Not Found"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class Transport:
    """Makes requests with the agent's secret, one connection a request.

    Proxies, cookies and redirects have no place on the way to one's own host. Every method raises
    `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config, answer_seconds: float | None = None) -> None:
        self._config = config
        self._answer_seconds = answer_seconds or _ANSWER_SECONDS
        host = config.address.rpartition(":")[0]
        self._host = _ANY_ADDRESS.get(host, host)

    def call_until_known(self, method: str, path: str, **request: Any) -> bytes:
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
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the agent's answer; one that says no is raised as `Refused`."""
        with self._asked(method, path, body, headers or {}, query or {}) as answer:
            return b"".join(answer.pieces())

    @contextmanager
    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """What a GET is answered with, a line at a time as it arrives.

        The iterator ends where the agent ends its answer in order, and raises `NoAnswer` where the
        connection breaks or stays silent for long.
        """
        with self._asked("GET", path, b"", {}, query) as answer:
            yield _lines(answer.pieces())

    def _asked(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> Exchange:
        head = {
            "Host": f"{self._host}:{self._config.port}",
            "User-Agent": f"pagerduty-agent/{__version__}",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        if self._config.secret:
            head["Authorization"] = f"token {self._config.secret}"
        target = f"{path}?{urlencode(query)}" if query else path
        lines = (f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items()), "", "")
        answer = self._exchanged("\r\n".join(lines).encode() + body)
        if 200 <= answer.status < 300:
            return answer
        with answer:
            raise self._refusal(answer.status, answer.headers, b"".join(answer.pieces()))

    def _exchanged(self, request: bytes) -> Exchange:
        address, certificate = self._config.address, self._config.tls_cert
        host, port = self._host.strip("[]"), self._config.port
        if certificate is None:
            connection = connect(host, port)
        else:
            from pdagent.localclient import tls  # it takes long to load

            connection = tls.connect_pinned(host, port, certificate, address)
        try:
            return Exchange(connection, request, self._answer_seconds)
        except AgentError as error:
            connection.close()
            # A server that expects TLS ends a connection that begins without it.
            if certificate is None and isinstance(error, Broken | NotUnderstood):
                from pdagent.localclient import tls

                if tls.speaks_tls(host, port):
                    raise OtherScheme(
                        f"what listens at {address} speaks TLS: set tls_cert in the config to the "
                        "agent's certificate"
                    ) from None
            if isinstance(error, NotUnderstood):
                raise self.stranger(str(error)) from None
            raise

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> AgentError:
        seconds = headers.get("retry-after", "")
        retry_after = float(seconds) if seconds.isascii() and seconds.isdigit() else None
        try:
            refusal = json.loads(body)
            errors = tuple(map(str, refusal["errors"]))
        except (ValueError, LookupError, TypeError, RecursionError):
            if status in FOR_NOW:
                return Refused(status, (), retry_after)
            return self.stranger(f"it answered HTTP {status}")
        if refusal.get("may_have_been_stored"):
            return Unconfirmed("; ".join(errors))
        if status == _NOT_FOUND and errors == (_NO_SUCH_PATH,):
            # The agent says more than that; its sandbox, for one, does not.
            return self.stranger(f"it answered '{_NO_SUCH_PATH}'")
        return Refused(status, errors, retry_after)

    def decoded(self, body: bytes) -> dict[str, Any]:
        """The JSON object in an answer."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self.not_expected()
        return answer

    def not_expected(self) -> NotUnderstood:
        """The error for an answer that isn't the agent's JSON."""
        return self.stranger("its answer isn't the JSON expected")

    def stranger(self, why: str) -> NotUnderstood:
        """The error that something else listens at the agent's address; `why` is the evidence."""
        return NotUnderstood(
            f"what listens at {self._config.address} is not a pagerduty-agent ({why})"
        )


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest
