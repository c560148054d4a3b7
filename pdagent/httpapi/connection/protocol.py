"""uvicorn's HTTP protocol with limits; uvicorn has none for times and sizes.

Where a limit is met the client gets a JSON error if it can still get one, and the connection ends.
Time limits cost nothing on the hot path: a connection notes what it waits for and until when, and
`look` is called every second for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pdagent.httpapi.answers import error_body
from pdagent.httpapi.connection.limits import Limits
from pdagent.httpapi.guard import PEER
from pdagent.httpapi.unix_socket import peer_uid

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

logger = logging.getLogger(__name__)

# Bodies of any length, of which only pauses are limited.
STREAMED_PATHS = (b"/send/batch",)

# So many connections beyond the limit get a 503; more are closed without an answer.
_TOLD = 100

# Headers that offer another protocol (h2c, WebSocket).
_OFFERS = (b"upgrade", b"http2-settings")

# The parser takes more, and HTTP/0.9 for a request line without a version.
_VERSIONS = ("1.0", "1.1")

_STOPPING = "the agent is stopping"
_TOO_LARGE_HEAD = "the request's headers are too large"

Phase = Literal["idle", "head", "body", "ending"]


class _Refused(Exception):
    """Raised through the parser, which then reads nothing more."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    `phase` is what is being received: nothing, headers, a body, or (`ending`) nothing that
    matters any more. `due` is when it has to be there, in the event loop's time.
    """

    limits: ClassVar[Limits] = Limits()
    # Connections that wait for a complete request; the one that has waited longest comes first.
    waiting: ClassVar[dict[GuardedProtocol, None]] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or to see off one connection too many."""
        super().connection_made(transport)
        if (uid := peer_uid(transport)) is not None:
            self.app_state = {PEER: uid}
        self.phase: Phase = "head"
        self.due: float | None = self.loop.time() + self.limits.head_seconds
        self._received = 0
        self._begun = self._streamed = self._ends_with_body = self._has_sent = False
        self._stalled_since: float | None = None
        excess = len(self.connections) - self.limits.connections
        self._one_too_many = excess > 0 and not self.waiting
        if not self._one_too_many:
            if excess > 0:
                self._make_room()
            self.waiting[self] = None
        elif excess > _TOLD:
            transport.abort()
        else:
            self.due = self.loop.time() + self.limits.linger_seconds

    def _make_room(self) -> None:
        """Close a connection that waits. One without any request may only keep others out."""
        silent = (connection for connection in self.waiting if not connection._has_sent)
        oldest = next(silent, None) or next(iter(self.waiting))
        del self.waiting[oldest]
        oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, within limits."""
        self._received += len(data)
        if self.phase == "ending":
            if self._received > self.limits.linger_bytes:
                self.transport.abort()
            return
        if self._one_too_many:
            self._give_up(503, "the agent has too many connections open", retry=1)
            return
        if self.phase == "idle":
            self._begin_head(len(data))
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _Refused):
                self._give_up(error.__context__.status, error.__context__.sentence)
            else:
                logger.info("a client sent what is not HTTP: %s", error)
                self._give_up(400, "this is not an HTTP request that can be understood")
            return
        if self.phase == "head" and self._received > self.limits.head_bytes:
            self._give_up(431, _TOO_LARGE_HEAD)
        elif self.phase == "body":
            if self.cycle.transport is self.transport:
                self.cycle.transport = cast("asyncio.Transport", _AfterTheBody(self))
            if self.cycle.response_complete and self._received > self.limits.linger_bytes:
                self.transport.abort()

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # The parser takes what follows for another protocol, but many clients (Java's, curl
                # --http2) only offer one, and send their body all the same.
                method, version = self.parser.get_method(), self.parser.get_http_version()
                start = b"%b %b HTTP/%b" % (method, self.url, version.encode())
                data = _without_offer(start, self.headers) + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        super().on_message_begin()
        if self.phase == "idle":
            self._begin_head(0)
        self._begun = True

    def on_headers_complete(self) -> None:
        """Called by the parser; starts the application unless the headers are too large."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused(400, "this agent is no proxy: CONNECT is not understood")
            return  # `_feed` begins this request anew
        if self.parser.get_http_version() not in _VERSIONS:
            raise _Refused(400, "this version of HTTP is not understood: speak HTTP/1.1")
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise _Refused(400, "the request has more than one Host header")
        if len(self.pipeline) >= self.limits.pipelined:
            raise _Refused(429, "too many requests at once on one connection")
        if self._received > self.limits.head_bytes and self._head_size() > self.limits.head_bytes:
            raise _Refused(431, _TOO_LARGE_HEAD)
        super().on_headers_complete()
        self.phase, self._received = "body", 0
        self._streamed = self.url.partition(b"?")[0] in STREAMED_PATHS
        if self._streamed:
            self.waiting.pop(self, None)
        self.due = self.loop.time() + self.limits.body_seconds

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of a body."""
        if self.phase != "body":
            return
        super().on_body(body)
        if self._streamed and not self.cycle.response_complete:
            self._received = 0
            self.due = self.loop.time() + self.limits.pause_seconds

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        if self.phase != "body":
            return
        super().on_message_complete()
        self.phase, self.due, self._has_sent = "idle", None, True
        if self._ends_with_body:
            self.transport.close()
        self.waiting.pop(self, None)
        if self.cycle.response_complete:
            self.waiting[self] = None

    def on_response_complete(self) -> None:
        """Called at the end of each answer; the connection ends here if it was given up before."""
        super().on_response_complete()
        if self.phase == "ending" and self.cycle.response_complete:
            self.transport.close()
        elif self.phase == "body" and self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.linger_seconds
        elif self.phase != "ending" and not self._owes_an_answer():
            self.waiting[self] = None

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; it still gets the answer to what it sent completely."""
        if self.phase == "body" and not self.cycle.response_complete:
            self._give_up(400, "the request ended before its body was complete")
            return None
        if not self._owes_an_answer():
            return None
        self.phase, self.due = "ending", None
        self.cycle.keep_alive = False
        return self.scheme == "http"  # TLS has no half-closed connections

    def look(self, now: float) -> None:
        """End what takes too long. `now` is the event loop's time."""
        limits = self.limits
        if self.transport.is_closing() or self.flow.write_paused:
            if self._stalled_since is None:
                self._stalled_since = now
            closing = self.transport.is_closing()
            patience = limits.linger_seconds if closing else limits.stall_seconds
            if now - self._stalled_since > patience:
                self.transport.abort()
            return
        self._stalled_since = None
        if self.due is None or now <= self.due:
            return
        if self.phase == "body" and not self.cycle.response_complete:
            if self.flow.read_paused:
                self.due = now + limits.body_seconds  # it is the agent that doesn't read on
            else:
                self._give_up(408, "the request's body took too long to arrive")
        elif self.phase == "head" and self._begun:
            self._give_up(408, "the request's headers took too long to arrive")
        else:
            self.transport.close()

    def refuse_for_the_stop(self) -> None:
        """End the connection; a request without an answer gets the reason."""
        if self.phase == "body" and not self.cycle.response_complete:
            self._give_up(503, _STOPPING, retry=5)
        elif self._owes_an_answer() and not self.pipeline and not self.cycle.response_started:
            self._disconnect(self.cycle)
            self.phase = "ending"
            self._answer(503, _STOPPING, retry=5, may_have_been_stored=True)
        elif self.phase != "ending":
            self.transport.close()

    def close_after_the_body(self) -> None:
        """Close, but not while the client is still sending: it would not see the answer."""
        if self.phase == "body":
            self._ends_with_body = True
            self.due = self.loop.time() + self.limits.linger_seconds
        else:
            self.transport.close()

    def _begin_head(self, received: int) -> None:
        self.phase, self._begun = "head", False
        self._received = received
        self.due = self.loop.time() + self.limits.head_seconds

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _owes_an_answer(self) -> bool:
        """Whether the application is still busy with what was received completely."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.disconnected

    def _give_up(self, status: int, sentence: str, *, retry: int | None = None) -> None:
        """Read no further request; answer with an error unless an earlier answer is on its way."""
        incomplete = self.phase == "body"
        self.phase, self._received = "ending", 0
        self.due = self.loop.time() + self.limits.linger_seconds
        self.flow.resume_reading()
        if incomplete and self.cycle.response_complete:
            self.transport.close()
        elif incomplete:
            self._disconnect(self.cycle)
            if self.pipeline or self.cycle.response_started:
                self.transport.close()
            else:
                # Lines of a batch are stored while others still arrive.
                self._answer(status, sentence, retry, may_have_been_stored=self._streamed)
        elif self._owes_an_answer():
            self.cycle.keep_alive = False  # that answer is the last thing that is sent
            self.due = None
        else:
            self._answer(status, sentence, retry)

    def _disconnect(self, cycle: RequestResponseCycle) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _answer(
        self, status: int, sentence: str, retry: int | None, *, may_have_been_stored: bool = False
    ) -> None:
        path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
        body = error_body(path, status, sentence, may_have_been_stored=may_have_been_stored)
        waiting = b"" if retry is None else b"retry-after: %d\r\n" % retry
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%b"
            b"connection: close\r\n\r\n%b" % (STATUS_LINE[status], len(body), waiting, body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()  # so that the client needn't wait for the end


def _without_offer(start: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A request's head from its first line and its headers (lower-case names), less any offer."""
    lines = [start]
    for name, value in headers:
        if name == b"connection":
            options = value.split(b",")
            value = b",".join(each for each in options if each.strip().lower() not in _OFFERS)
        if name not in _OFFERS:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


class _AfterTheBody:
    """A transport, as an answer that may be given before its request is complete sees it."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """As `GuardedProtocol.close_after_the_body`."""
        self._protocol.close_after_the_body()
