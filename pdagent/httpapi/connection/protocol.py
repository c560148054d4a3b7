"""uvicorn's HTTP protocol with limits; uvicorn has none for times and sizes.

Where a limit is met the client gets a JSON error if it can still get one, and the connection ends.
Time limits cost nothing on the hot path: a connection notes what it waits for and until when, and
`look` is called every second for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar, cast

import httptools

from pdagent.httpapi.connection.ending import AfterTheBody, EndingProtocol
from pdagent.httpapi.connection.offers import without_offer
from pdagent.httpapi.guard import PEER
from pdagent.httpapi.unix_socket import peer_uid

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

logger = logging.getLogger(__name__)

# Bodies of any length, of which only pauses are limited.
STREAMED_PATHS = (b"/send/batch",)

# So many connections beyond the limit get a 503; more are closed without an answer.
_TOLD = 100

# The parser takes more, and HTTP/0.9 for a request line without a version.
_VERSIONS = ("1.0", "1.1")

_TOO_LARGE_HEAD = "the request's headers are too large"


class _Refused(Exception):
    """Raised through the parser, which then reads nothing more."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class GuardedProtocol(EndingProtocol):
    """One connection: what it receives."""

    # Connections that wait for a complete request; the one that has waited longest comes first.
    waiting: ClassVar[dict[GuardedProtocol, None]] = {}

    answering: RequestResponseCycle | None = None
    """The request that is being answered, or was the last one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or to see off one connection too many."""
        super().connection_made(transport)
        self.uid = peer_uid(transport)
        if self.uid is not None:
            self.app_state = {PEER: self.uid}
        self.due = self.loop.time() + self.limits.head_seconds
        self._has_sent = False
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
        # uvicorn's tells only the last request received: this one may have others behind it.
        if self.answering is not None and not self.answering.response_complete:
            self._disconnect(self.answering)

    def data_received(self, data: bytes) -> None:
        """Parse what came, within limits."""
        self.received += len(data)
        if self.phase == "ending":
            if self.received > self.limits.linger_bytes:
                self.transport.abort()
            return
        if self._one_too_many:
            self.give_up(503, "the agent has too many connections open", retry=1)
            return
        if self.phase == "idle":
            self._begin_head(len(data))
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _Refused):
                self.give_up(error.__context__.status, error.__context__.sentence)
            else:
                logger.info("a client sent what is not HTTP: %s", error)
                self.give_up(400, "this is not an HTTP request that can be understood")
            return
        if self.phase == "head" and self.received > self.limits.head_bytes:
            self.give_up(431, _TOO_LARGE_HEAD)
        elif self.phase == "body":
            if self.cycle.transport is self.transport:
                self.cycle.transport = cast("asyncio.Transport", AfterTheBody(self))
            if self.cycle.response_complete and self.received > self.limits.linger_bytes:
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
                data = without_offer(start, self.headers) + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        # Not uvicorn's: that makes what only the application needs, see `start`.
        self.url, self.headers, self.expect_100_continue = b"", [], False
        if self.phase == "idle":
            self._begin_head(0)
        self.begun = True

    def on_headers_complete(self) -> None:
        """Called by the parser; starts the application unless the headers are too large."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused(400, "this agent is no proxy: CONNECT is not understood")
            return  # `_feed` begins this request anew
        if self.parser.get_http_version() not in _VERSIONS:
            raise _Refused(400, "this version of HTTP is not understood: speak HTTP/1.1")
        if [name for name, _ in self.headers].count(b"host") > 1:
            raise _Refused(400, "the request has more than one Host header")
        if len(self.pipeline) >= self.limits.pipelined:
            raise _Refused(429, "too many requests at once on one connection")
        if self.received > self.limits.head_bytes and self._head_size() > self.limits.head_bytes:
            raise _Refused(431, _TOO_LARGE_HEAD)
        self.start()
        self.phase, self.received = "body", 0
        self.streamed = self.url.partition(b"?")[0] in STREAMED_PATHS
        if self.streamed:
            self.waiting.pop(self, None)
        self.due = self.loop.time() + self.limits.body_seconds

    def start(self) -> None:
        """Begin to answer the request whose headers are complete."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of a body."""
        if self.phase != "body":
            return
        super().on_body(body)
        if self.streamed and not self.cycle.response_complete:
            self.received = 0
            self.due = self.loop.time() + self.limits.pause_seconds

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        if self.phase != "body":
            return
        super().on_message_complete()
        self.phase, self.due, self._has_sent = "idle", None, True
        if self.ends_with_body:
            self.transport.close()
        self.waiting.pop(self, None)
        if self.cycle.response_complete:
            self.waiting[self] = None

    def on_response_complete(self) -> None:
        """Called at the end of each answer; the connection ends here if it was given up before.

        Instead of uvicorn's, which sets a timer for each idle connection.
        """
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        if self.phase == "ending" and self.cycle.response_complete:
            self.transport.close()
        elif self.phase == "body" and self.cycle.response_complete:
            self.due = self.loop.time() + self.limits.linger_seconds
        elif self.phase != "ending" and not self.owes_an_answer():
            self.waiting[self] = None
            if self.phase == "idle":
                self.due = self.loop.time() + self.limits.idle_seconds

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; it still gets the answer to what it sent completely."""
        if self.phase == "body" and not self.cycle.response_complete:
            self.give_up(400, "the request ended before its body was complete")
            return None
        if not self.owes_an_answer():
            return None
        self.phase, self.due = "ending", None
        self.cycle.keep_alive = False
        return self.scheme == "http"  # TLS has no half-closed connections

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def _begin_head(self, received: int) -> None:
        self.phase, self.begun = "head", False
        self.received = received
        self.due = self.loop.time() + self.limits.head_seconds

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
