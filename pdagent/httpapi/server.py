"""Runs the local HTTP API with uvicorn inside this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import zip_longest
from typing import cast

from uvicorn.config import Config as ServerConfig
from uvicorn.server import Server

from pdagent.agent.stopping import StopSignals
from pdagent.config import Config, StartRefused
from pdagent.config.listener import Listener
from pdagent.httpapi.connection.direct import DirectProtocol
from pdagent.httpapi.connection.limits import (
    RELAY_CONNECTIONS,
    Limits,
    limits_of_this_process,
)
from pdagent.httpapi.connection.protocol import GuardedProtocol
from pdagent.httpapi.intake.bodies import AsgiApplication
from pdagent.httpapi.intake.direct import DirectIntake
from pdagent.httpapi.unix_socket import unix_listener

logger = logging.getLogger(__name__)

_BACKLOG = 2048
# After the signal to stop: until then requests are finished, what is left is refused; then its
# senders have a moment to read that; then all connections end.
_FINISH_REQUESTS_WITHIN = 2.0
_READ_REFUSALS_WITHIN = 0.5  # seconds
_STOPPED_WITHIN = 3  # seconds
_LOOK_EVERY = 1.0  # seconds


@contextlib.contextmanager
def listening(config: Config) -> Iterator[list[socket.socket]]:
    """The listening sockets for the length of a `with` block: of `address`, `listen`, `socket`.

    Raises:
        StartRefused: On entry: one can't be had.
    """
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(_bound(listener)) for listener in config.listeners]
        if config.socket is not None:
            listeners.append(opened.enter_context(unix_listener(config.socket, _BACKLOG)))
        yield listeners


def _bound(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return socket.create_server((listener.host, listener.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # The text of `create_server` repeats the address.
        why = (error.strerror or str(error)).partition(" (while ")[0]
        raise StartRefused(
            f"can't listen on {listener.address} ({why}): stop what uses it, or set another address"
        ) from None


def warnings(config: Config) -> list[str]:
    """What needs attention about the listeners, one sentence each."""
    files = _limits(config).warning
    return [*config.listener_warnings(), *([files] if files else [])]


def _limits(config: Config) -> Limits:
    if config.accept_secrets:
        return limits_of_this_process(config.max_in_flight, connections=RELAY_CONNECTIONS)
    return limits_of_this_process(config.max_in_flight)


class _Server(Server):
    def __init__(
        self,
        config: ServerConfig,
        tls: Sequence[ssl.SSLContext | None],
        handshake_seconds: float,
    ) -> None:
        """`tls` are the contexts of the listeners, in their order."""
        super().__init__(config)
        self._tls = tls
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, which would let a TLS handshake take a minute."""
        config, loop = self.config, asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            kind = cast("Callable[..., asyncio.Protocol]", config.http_protocol_class)
            return kind(config=config, server_state=self.server_state, app_state={})

        self.servers = [
            await loop.create_unix_server(connection, sock=listener, backlog=config.backlog)
            if listener.family == socket.AF_UNIX
            else await loop.create_server(
                connection,
                sock=listener,
                ssl=tls,
                backlog=config.backlog,
                ssl_handshake_timeout=self._handshake_seconds if tls else None,
            )
            for listener, tls in zip_longest(sockets or [], self._tls)
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does, which would end with a 500 what takes too long."""
        ending = asyncio.create_task(self._end_what_is_left())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_what_is_left(self) -> None:
        await asyncio.sleep(_FINISH_REQUESTS_WITHIN)
        for connection in list(self.server_state.connections):
            cast(GuardedProtocol, connection).refuse_for_the_stop()
        await asyncio.sleep(_READ_REFUSALS_WITHIN)
        for connection in list(self.server_state.connections):
            cast(GuardedProtocol, connection).transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn would raise the signal again after a clean stop; here `serve` handles signals."""
        yield


def _settings(app: AsgiApplication, intake: DirectIntake, limits: Limits) -> ServerConfig:
    return ServerConfig(
        app,
        http=type("LimitedProtocol", (DirectProtocol,), {"limits": limits, "intake": intake}),
        ws="none",
        log_config=None,
        interface="asgi3",
        proxy_headers=False,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_STOPPED_WITHIN,
    )


def _tls_of(listener: Listener) -> ssl.SSLContext | None:
    if listener.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, OpenSSL asks at the terminal for that of an encrypted key, and waits.
        context.load_cert_chain(listener.tls_cert, listener.tls_key, password="none is set")
    except OSError as error:  # ssl's own are among them
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise StartRefused(
            f"tls_cert {listener.tls_cert} and tls_key {listener.tls_key} can't be used "
            f"({(reason or 'no PEM').replace('_', ' ').lower()}): both must be readable PEM files "
            "that belong together, the key without a pass phrase"
        ) from None
    return context


def _look_at_connections(server: Server, now: float) -> None:
    for connection in list(server.server_state.connections):
        try:
            cast(GuardedProtocol, connection).look(now)
        except Exception:
            logger.exception("a connection's time limits could not be checked")


async def serve(
    app: AsgiApplication,
    intake: DirectIntake,
    config: Config,
    listeners: list[socket.socket],
    *,
    signals: StopSignals,
    on_ready: Callable[[], None],
    on_stop: Callable[[], None],
    failed: Callable[[], bool],
    until: asyncio.Event,
) -> None:
    """Answer requests until a signal to stop, `until` or `failed` ends it; then finish those begun.

    `intake` answers what it can, `app` everything else. `failed` is looked at once a second.
    `on_stop` is called first, to end answers that have no end of their own. Raises
    `StartRefused` if the certificate and its key can't be used.
    """
    limits = _limits(config)
    tls = [_tls_of(listener) for listener in config.listeners]
    server = _Server(_settings(app, intake, limits), tls, handshake_seconds=limits.head_seconds)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True
        on_stop()

    signals.hand_over(loop, stop)

    async def watch() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        on_ready()
        while not (until.is_set() or failed()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), _LOOK_EVERY)
            _look_at_connections(server, loop.time())
        stop()

    watcher = asyncio.create_task(watch())
    try:
        await server.serve(sockets=listeners)
    finally:
        watcher.cancel()
