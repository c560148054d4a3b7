"""Requests to the agent on this host over sockets, and what each kind of failure means.

An HTTP library takes longer to load than the rest of a command that sends an event. Proxies,
cookies and redirects have no place on the way to one's own host.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from httptools import HttpParserError, HttpResponseParser

from pdagent import __version__
from pdagent.config import Config
from pdagent.localclient.errors import (
    FOR_NOW,
    AgentError,
    Broken,
    NoAnswer,
    NotUnderstood,
    Refused,
    Unreachable,
    WrongTls,
)
from pdagent.localclient.unix_socket import connected

# Seconds before each try of a request whose outcome is not known. The third comes after a failed
# commit has been repeated.
PAUSES = (0.0, 0.2, 2.0)
_CONNECT_SECONDS = 5.0
_PIECE = 1 << 16  # bytes
_FRAMING = ("content-length", "transfer-encoding")
_NO_SUCH_PATH = "404 Not Found"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def until_known(config: Config, seconds: float, *request: Any) -> bytes:
    """The body of the answer to a request (arguments of `Exchange`) that may be repeated.

    It is repeated while it isn't known whether the agent acted on it. Raises as `Exchange` does.
    """
    unknown: list[str] = []
    for pause in PAUSES:
        time.sleep(pause)
        try:
            with Exchange(config, seconds, *request) as answer:
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


class Exchange:
    """One request with the agent's secret, on a connection of its own, and the answer to it.

    A context manager. The agent may be silent for `seconds`. Raises an `AgentError`, of which
    `Refused` is for an answer other than 2xx; so do `body` and `lines`.
    """

    def __init__(
        self,
        config: Config,
        seconds: float,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._config = config
        self._seconds = seconds
        self._host = _ANY_ADDRESS.get(config.host, config.host)
        self._headers: dict[str, str] = {}
        self._status = 0
        self._parser = HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._complete = False
        self._connection = self._connected()
        try:
            self._send(method, path, query, body, headers or {})
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._arriving())

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they arrive."""
        rest = b""
        for piece in self._arriving():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def _connected(self) -> socket.socket:
        # Bytes: a name given as text is encoded as IDNA, which takes long to load.
        place: Any = (self._host.encode(), self._config.port)
        try:
            if self._config.socket is not None:
                return connected(self._config.socket, int(_CONNECT_SECONDS))
            if self._config.tls_cert is None:
                return socket.create_connection(place, _CONNECT_SECONDS)
            from pdagent.localclient import tls  # it takes long to load

            expected = tls.certificate_in(self._config.tls_cert)
            plain = socket.create_connection(place, _CONNECT_SECONDS)
            return tls.pinned(plain, expected, self._config)
        except OSError as error:
            raise Unreachable((error.strerror or "timed out").lower()) from None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
    ) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        head = {
            "Host": f"{host}:{self._config.port}" if self._config.socket is None else "localhost",
            "User-Agent": f"pagerduty-agent/{__version__}",
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        if self._config.secret:
            head["Authorization"] = f"token {self._config.secret}"
        if filled := {name: value for name, value in query.items() if value}:
            path = f"{path}?{urlencode(filled)}"
        lines = (f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items()), "", "")
        self._connection.settimeout(self._seconds)
        try:
            with self._failures():
                # A server that refuses a request early closes, and its answer can still be read.
                with suppress(BrokenPipeError):
                    self._connection.sendall("\r\n".join(lines).encode() + body)
                while not self._status:
                    self._receive()
        except (Broken, NotUnderstood):
            self._check_scheme()
            raise
        if not 200 <= self._status < 300:
            raise self._refusal(self.body())

    def _check_scheme(self) -> None:
        # A server that expects TLS ends a connection that begins without it.
        if self._config.tls_cert is None and self._config.socket is None:
            from pdagent.localclient import tls

            if tls.speaks_tls(self._host, self._config.port):
                raise WrongTls(
                    f"what listens at {self._config.address} speaks TLS: set tls_cert in the "
                    "config to the agent's certificate"
                ) from None

    def _arriving(self) -> Iterator[bytes]:
        while True:
            yield from self._pieces
            self._pieces.clear()
            if self._complete:
                return
            with self._failures():
                self._receive()

    def _receive(self) -> None:
        if data := self._connection.recv(_PIECE):
            self._parser.feed_data(data)
        elif self._status and not any(name in self._headers for name in _FRAMING):
            self._complete = True
        else:
            raise ConnectionResetError

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise NoAnswer(f"none within {self._seconds:.0f} s") from None
        except OSError:
            raise Broken("the connection broke") from None
        except HttpParserError:
            raise stranger(self._config, "it doesn't speak HTTP") from None

    def _refusal(self, body: bytes) -> AgentError:
        status, seconds = self._status, self._headers.get("retry-after", "")
        retry_after = float(seconds) if seconds.isascii() and seconds.isdigit() else None
        try:
            refusal = json.loads(body)
            errors = tuple(map(str, refusal["errors"]))
        except (ValueError, LookupError, TypeError, RecursionError):
            if status in FOR_NOW:
                return Refused(status, (), retry_after)
            return stranger(self._config, f"it answered HTTP {status}")
        if refusal.get("may_have_been_stored"):
            return Broken("; ".join(errors))
        if errors == (_NO_SUCH_PATH,):
            # The agent's own 404 names what is missing; that of the sandbox does not.
            return stranger(self._config, f"it answered '{_NO_SUCH_PATH}'")
        return Refused(status, errors, retry_after)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._complete = True


def stranger(config: Config, why: str) -> NotUnderstood:
    """The error that something else listens at the agent's address; `why` is the evidence."""
    return NotUnderstood(f"what listens at {config.called_at} is not a pagerduty-agent ({why})")
