"""PagerDuty's endpoints over HTTP: requests to the stand-in, and its answers back."""

from __future__ import annotations

from collections.abc import Callable

from falcon.asgi import Request, Response

from pdagent.events.event import MAX_EVENT_BYTES
from pdagent.events.kinds import EventKind
from pdagent.sandbox.answers import SandboxAnswer
from pdagent.sandbox.listener import CONNECTION, SandboxConnection
from pdagent.sandbox.standin import StandIn

HEARTBEAT_PATH = "/agent/2014-03-14/heartbeat"

Clock = Callable[[], float]


class ClientGoneError(Exception):
    """The caller closed the connection before its request was complete."""


class EventsResource:
    """Where events of one kind are posted. `clock` gives seconds since the epoch."""

    def __init__(self, standin: StandIn, kind: EventKind, clock: Clock) -> None:
        self._standin = standin
        self._kind = kind
        self._clock = clock

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take in one event.

        It counts as answered if its connection stands when the answer is handed over. It is counted
        just before: when a caller has its answer, all counts and the recording include it.
        """
        standin, caller = self._standin, _connection_of(req)
        standin.traffic.requests.enter()
        try:
            raw = await _read(req)
        except ClientGoneError:
            standin.traffic.requests.leave()
            return
        received, answer = standin.receive(
            self._kind,
            raw,
            path=req.path,
            headers={name: req.get_header(name) for name in ("User-Agent", "Content-Type")},
            header_key=req.get_header("X-Routing-Key"),
            now=self._clock(),
        )
        caller.when_gone = lambda: standin.finish(received, None, self._clock())
        drop = standin.drops(received)
        await standin.hold_back(received.checked.routing_key, caller)
        if drop:
            caller.cut()
        standin.finish(received, answer.status if caller.stands else None, self._clock())
        _answer(answer, resp)


class HeartbeatResource:
    """The agent heartbeat: a JSON object about the agent."""

    def __init__(self, standin: StandIn, clock: Clock) -> None:
        self._standin = standin
        self._clock = clock

    async def on_post(self, req: Request, resp: Response) -> None:
        """Take in one heartbeat."""
        try:
            raw = await _read(req) or b""
        except ClientGoneError:
            return
        user_agent = req.get_header("User-Agent")
        answer = self._standin.heartbeat(raw, user_agent=user_agent, now=self._clock())
        await self._standin.hold_back("", _connection_of(req))
        _answer(answer, resp)


def _connection_of(req: Request) -> SandboxConnection:
    connection: SandboxConnection = req.scope["state"][CONNECTION]
    return connection


def _answer(answer: SandboxAnswer, resp: Response) -> None:
    resp.status = answer.status
    resp.data = answer.body
    resp.content_type = answer.content_type
    resp.set_headers(answer.headers)


async def _read(req: Request) -> bytes | None:
    """The body, or None if it is over the limit; raises ClientGoneError if it isn't complete."""
    if (req.content_length or 0) > MAX_EVENT_BYTES:
        await _skip(req)
        return None
    raw: bytes = await req.stream.read(MAX_EVENT_BYTES + 1)
    if not _connection_of(req).stands or len(raw) < (req.content_length or 0):
        raise ClientGoneError
    if len(raw) > MAX_EVENT_BYTES:
        await _skip(req)
        return None
    return raw


async def _skip(req: Request) -> None:
    # An answer before the caller has sent everything breaks the connection: the caller would see
    # that instead of the 413.
    await req.stream.exhaust()
