"""Requests to the agent on this host, and what each kind of failure means."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from pdagent import __version__
from pdagent.config import Config
from pdagent.localclient.errors import (
    FOR_NOW,
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

PAUSES = (0.0, 0.2, 2.0)
"""Seconds before each try of a request whose outcome is not known. The third comes after a failed
commit has been repeated."""
_NO_SUCH_PATH = "404 Not Found"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Transport:
    """Makes requests with the agent's secret, one connection per request.

    Proxies, cookies and redirects have no place on the way to one's own host. Every method raises
    `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config, answer_seconds: float) -> None:
        self._config = config
        self._answer_seconds = answer_seconds
        self._host = _ANY_ADDRESS.get(config.host, config.host)

    def until_known(self, *request: Any) -> bytes:
        """The body of the answer to a request that may be repeated.

        It is repeated while it isn't known whether the agent acted on it.
        """
        unknown: list[str] = []
        for pause in PAUSES:
            time.sleep(pause)
            try:
                with self.answer(*request) as answer:
                    return answer.body()
            except Broken as error:
                unknown.append(str(error))
            except (Unreachable, Refused) as error:
                final = isinstance(error, Refused) and not error.for_now
                if final or not unknown:
                    raise
                # This one was not stored, but one before it may be.
                unknown.append(str(error))
        raise NoAnswer(", then ".join(dict.fromkeys(unknown)))

    @contextmanager
    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Exchange]:
        """The agent's answer; a refusal is raised as `Refused`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        head = {
            "Host": f"{host}:{self._config.port}",
            "User-Agent": f"pagerduty-agent/{__version__}",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        if self._config.secret:
            head["Authorization"] = f"token {self._config.secret}"
        if filled := {name: value for name, value in query.items() if value}:
            path = f"{path}?{urlencode(filled)}"
        lines = (f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items()), "", "")
        with self._connected() as connection:
            try:
                request = "\r\n".join(lines).encode() + body
                answer = Exchange(connection, request, self._answer_seconds)
            except NotUnderstood as error:
                self._check_scheme()
                raise self.stranger(str(error)) from None
            except Broken:
                self._check_scheme()
                raise
            if not 200 <= answer.status < 300:
                raise self._refusal(answer.status, answer.headers, answer.body())
            yield answer

    def _connected(self) -> socket.socket:
        if self._config.tls_cert is None:
            return connect(self._host, self._config.port)
        from pdagent.localclient import tls  # it takes long to load

        return tls.connect_pinned(self._host, self._config)

    def _check_scheme(self) -> None:
        # A server that expects TLS ends a connection that begins without it.
        if self._config.tls_cert is None:
            from pdagent.localclient import tls

            if tls.speaks_tls(self._host, self._config.port):
                raise OtherScheme(
                    f"what listens at {self._config.address} speaks TLS: set tls_cert in the "
                    "config to the agent's certificate"
                ) from None

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
        if errors == (_NO_SUCH_PATH,):
            # The agent's own 404 names what is missing; that of the sandbox does not.
            return self.stranger(f"it answered '{_NO_SUCH_PATH}'")
        return Refused(status, errors, retry_after)

    def not_expected(self) -> NotUnderstood:
        """The error for an answer that isn't the agent's JSON."""
        return self.stranger("its answer isn't the JSON expected")

    def stranger(self, why: str) -> NotUnderstood:
        """The error that something else listens at the agent's address; `why` is the evidence."""
        return NotUnderstood(
            f"what listens at {self._config.address} is not a pagerduty-agent ({why})"
        )
