"""Requests that are answered without the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from pdagent.httpapi.answers import Outcome
from pdagent.httpapi.connection.protocol import GuardedProtocol
from pdagent.httpapi.intake.direct import Admitted, DirectIntake

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class _Nobody:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing happens."""


class DirectExchange:
    """One request and its answer, in the place of uvicorn's cycle.

    The answer comes after the end of the body, and later than the call that says so.
    """

    transport = None
    response_started = False
    more_body = True
    message_event = _Nobody()

    def __init__(self, protocol: DirectProtocol, admitted: Admitted, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.pieces: list[bytes] = []
        self._protocol: DirectProtocol | None = protocol
        self._admitted = admitted

    def begin(self) -> None:
        """The body is complete."""
        self._admitted.take(b"".join(self.pieces), self._finish)

    def _finish(self, outcome: Outcome) -> None:
        protocol, self._protocol = self._protocol, None  # no cycle of references is left behind
        if protocol is None or self.disconnected:
            return
        status, body, retry_after = outcome
        protocol.transport.write(
            b"%b%bcontent-length: %d\r\ncontent-type: application/json\r\n%b\r\n%b"
            % (
                STATUS_LINE[status],
                b"" if retry_after is None else b"retry-after: %d\r\n" % retry_after,
                len(body),
                b"" if self.keep_alive else b"connection: close\r\n",
                body,
            )
        )
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class DirectProtocol(GuardedProtocol):
    """Has the intake answer what it can; everything else goes to the application."""

    intake: ClassVar[DirectIntake]
    _before: Admitted | None = None

    def start(self) -> None:
        """Begin to answer the request whose headers are complete."""
        if (admitted := self._admitted()) is None:
            super().start()
            return
        keeps = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        exchange = DirectExchange(self, admitted, keep_alive=keeps)
        self.cycle = self.answering = cast("RequestResponseCycle", exchange)

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of a body."""
        if isinstance(self.cycle, DirectExchange) and self.phase == "body":
            self.cycle.pieces.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        begins = self.phase == "body" and isinstance(self.cycle, DirectExchange)
        super().on_message_complete()
        if begins:
            cast(DirectExchange, self.cycle).begin()

    def _admitted(self) -> Admitted | None:
        if (
            self.parser.get_method() != b"POST"
            or self.expect_100_continue
            or self.flow.write_paused
            or self.owes_an_answer()
        ):
            return None
        _, port = self.server or (None, None)
        found = self.intake.admitted(self.url, self.headers, self.uid, port, self._before)
        self._before = found
        return found
