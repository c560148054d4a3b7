"""PagerDuty's endpoints over HTTP: requests to the stand-in, and its answers back."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from falcon.asgi import Request, Response

from pdagent.sandbox.listener import CONNECTION, Connection
from pdagent.sandbox.received import Received, RequestHead
from pdagent.sandbox.standin import Outcome, StandIn
from pdagent.sandbox.validation import MAX_BODY_BYTES, Kind

CONTROL_PREFIX = "/sandbox/"
HEARTBEAT_PATH = "/agent/2014-03-14/heartbeat"

_RECEIVED = "sandbox.received"

logger = logging.getLogger(__name__)

Clock = Callable[[], float]
Scope = dict[str, Any]


class ClientGoneError(Exception):
    """The caller closed the connection before its request was complete."""


class Gate:
    """The ASGI application around falcon's: it sees each request begin and its answer leave.

    An event counts as answered when its answer is handed to a connection that still stands; only
    here is that known.
    """

    def __init__(self, app: Any, standin: StandIn, clock: Clock) -> None:
        self._app = app
        self._standin = standin
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._standin, self._clock, scope)
        try:
            await self._app(scope, receive, exchange.sending(send))
        except Exception as error:
            # uvicorn is told to be quiet, so a fault of the sandbox's own is to be said here.
            logger.error("%s %s failed: %s", scope["method"], scope["path"], type(error).__name__)
            raise
        finally:
            exchange.end()


class _Exchange:
    """One request and its answer, counted from its beginning to its end."""

    def __init__(self, standin: StandIn, clock: Clock, scope: Scope) -> None:
        self._standin = standin
        self._clock = clock
        self._scope = scope
        self._connection = connection_of(scope)
        self._status: int | None = None
        self._ended = False
        standin.traffic.requests.enter()
        self._connection.when_gone = self.end

    def sending(self, send: Any) -> Any:
        """`send`, which also notes the status that goes out and ends the exchange.

        It ends just before: once a caller has its answer, all counts and the recording include it.
        """

        async def send_noting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if self._connection.stands:
                    self._status = message["status"]
                self.end()
            await send(message)

        return send_noting

    def end(self) -> None:
        """The answer is out or the caller is gone, whichever is first."""
        if self._ended:
            return
        self._ended = True
        if self._connection.when_gone == self.end:
            self._connection.when_gone = None
        self._standin.traffic.requests.leave()
        received: Received | None = self._scope.get(_RECEIVED)
        if received is not None:
            self._standin.finish(received, self._status, self._clock())


class EventsResource:
    """Where events of one kind are posted."""

    def __init__(self, standin: StandIn, kind: Kind, clock: Clock) -> None:
        self._standin = standin
        self._kind = kind
        self._clock = clock

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take in one event."""
        try:
            raw = await _read(req)
        except ClientGoneError:
            return
        head = RequestHead(req.path, req.get_header("User-Agent"), req.content_type)
        key = req.get_header("X-Routing-Key")
        outcome = self._standin.receive(self._kind, head, raw, self._clock(), key)
        assert outcome.received is not None
        req.scope[_RECEIVED] = outcome.received
        caller = connection_of(req.scope)
        await self._standin.hold_back(outcome.received.checked.routing_key, caller)
        _answer(outcome, req, resp)


class HeartbeatResource:
    """The agent heartbeat, with and without the agent's name at the end of the path."""

    def __init__(self, standin: StandIn, clock: Clock) -> None:
        self._standin = standin
        self._clock = clock

    async def on_get(self, req: Request, resp: Response, name: str = "") -> None:
        """The go agent's heartbeat."""
        await self._beat(req, resp, name, b"")

    async def on_post(self, req: Request, resp: Response, name: str = "") -> None:
        """The Python agent's heartbeat, with a JSON object about itself."""
        try:
            await self._beat(req, resp, name, await _read(req) or b"")
        except ClientGoneError:
            return

    async def _beat(self, req: Request, resp: Response, name: str, raw: bytes) -> None:
        outcome = self._standin.heartbeat(
            "POST" if req.method == "POST" else "GET",
            name,
            user_agent=req.get_header("User-Agent"),
            raw=raw,
            now=self._clock(),
        )
        await self._standin.hold_back("", connection_of(req.scope))
        _answer(outcome, req, resp)


def connection_of(scope: Scope) -> Connection:
    """The connection on which the request of an ASGI scope came."""
    connection: Connection = scope["state"][CONNECTION]
    return connection


def _answer(outcome: Outcome, req: Request, resp: Response) -> None:
    if outcome.drop:
        connection_of(req.scope).cut()
    resp.status = outcome.answer.status
    resp.data = outcome.answer.body
    resp.content_type = outcome.answer.content_type
    for name, value in outcome.answer.headers:
        resp.set_header(name, value)


async def _read(req: Request) -> bytes | None:
    """The body, or None if it is over the limit; raises ClientGoneError if it isn't complete."""
    if (req.content_length or 0) > MAX_BODY_BYTES:
        with contextlib.suppress(ClientGoneError):
            await _skip(req)
        return None
    raw: bytes = await req.stream.read(MAX_BODY_BYTES + 1)
    if not connection_of(req.scope).stands or len(raw) < (req.content_length or 0):
        raise ClientGoneError
    if len(raw) > MAX_BODY_BYTES:
        await _skip(req)
        return None
    return raw


async def _skip(req: Request) -> None:
    # Answering before the caller has sent everything breaks the connection under its hands: it
    # would see that instead of the 413.
    await req.stream.exhaust()
