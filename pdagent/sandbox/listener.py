"""The port that PagerDuty's clients connect to: really closed while the stand-in is down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pdagent.sandbox.traffic import SandboxTraffic

logger = logging.getLogger(__name__)

CONNECTION = "connection"
"""Where the ASGI scope's state holds the Connection of a request."""

KEEP_ALIVE_SECONDS = 75

_BACKLOG = 2048


class SandboxConnection:
    """One connection as the application sees it: it can ask whether it stands, and cut it.

    `news` is set when the caller is gone or has a reason to look at the behaviour again.
    `when_gone` is called at once, so that a caller that gives up and comes again isn't counted
    twice.
    """

    def __init__(self, listener: StandInListener) -> None:
        self._listener = listener
        self.transport: asyncio.Transport | None = None
        self.news = asyncio.Event()
        self.when_gone: Callable[[], None] = lambda: None

    @property
    def stands(self) -> bool:
        """Whether an answer written now would still go out."""
        return self.transport is not None and not self.transport.is_closing()

    def cut(self) -> None:
        """Close at once, without an answer."""
        if self.transport is not None and self.stands:
            self._listener.traffic.connections_cut += 1
            self.transport.abort()

    def gone(self) -> None:
        """The caller is gone."""
        self.when_gone()
        self.news.set()


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which reports to its listener when a connection comes and goes."""

    def __init__(self, listener: StandInListener) -> None:
        self._listener = listener
        self._connection = SandboxConnection(listener)
        super().__init__(
            listener.config, listener.server_state, app_state={CONNECTION: self._connection}
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connection.transport = transport
        self._listener.opened(self._connection)

    def eof_received(self) -> None:
        # uvicorn takes a half-closed connection for a closed one, and so do we.
        super().eof_received()
        self._connection.gone()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._listener.lost(self._connection)


class StandInListener:
    """An HTTP port on a loopback address, which can be closed and opened again.

    The port is taken on construction (`port` 0: a free one), whether or not it is opened then.
    Raises OSError if it can't be had. `tls` makes it speak HTTPS.
    """

    def __init__(
        self, *, host: str, port: int, traffic: SandboxTraffic, tls: ssl.SSLContext | None = None
    ) -> None:
        self.traffic = traffic
        self.server_state = ServerState()
        self.config: uvicorn.Config
        self._host = host
        self._tls = tls
        self._connections: set[SandboxConnection] = set()
        self._server: asyncio.AbstractServer | None = None
        self._return: asyncio.Task[None] | None = None
        self._placeholder: socket.socket | None = _bind(host, port)
        self.port: int = self._placeholder.getsockname()[1]

    def serve(self, app: Any) -> None:
        """Set the ASGI application that answers; to be called once, before the port is opened."""
        self.config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self.config.load()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:8765`"""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether connections are taken."""
        return self._server is not None

    async def open(self) -> None:
        """Take connections from now on; ends a time of being closed. Raises OSError."""
        self._forget_return()
        if self._server is not None:
            return
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        listening = _bind(self._host, self.port)
        listening.listen(_BACKLOG)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(self), sock=listening, ssl=self._tls, backlog=_BACKLOG
        )

    def close(self) -> None:
        """Refuse connections from now on and cut those that are there."""
        self._forget_return()
        if self._server is not None:
            self._server.close()
            self._server = None
            # A bound socket that doesn't listen refuses connections as a closed port does, but
            # keeps other programs, and clients connecting to themselves, off the port. Without it
            # the port is closed all the same.
            with contextlib.suppress(OSError):
                self._placeholder = _bind(self._host, self.port)
        for connection in list(self._connections):
            connection.cut()

    def close_for(self, seconds: float) -> None:
        """Close, and open again after `seconds`."""
        self.close()
        self._return = asyncio.get_running_loop().create_task(self._open_after(seconds))

    def opened(self, connection: SandboxConnection) -> None:
        """A connection was made."""
        self.traffic.connections.enter()
        self._connections.add(connection)
        if self._server is None:
            # Its TLS handshake was still going on when the port was closed.
            connection.cut()

    def lost(self, connection: SandboxConnection) -> None:
        """A connection is gone."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.traffic.connections.leave()
            connection.gone()

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._return = None
        try:
            await self.open()
        except OSError as error:
            logger.error("port %d stays closed: %s", self.port, error.strerror or error)

    def _forget_return(self) -> None:
        if self._return is not None:
            self._return.cancel()
            self._return = None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
