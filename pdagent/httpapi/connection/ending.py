"""How connections end: by a limit of time, by an error, with the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pdagent.httpapi.answers import error_body
from pdagent.httpapi.connection.limits import Limits

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_STOPPING = "the agent is stopping"

Phase = Literal["idle", "head", "body", "ending"]


class EndingProtocol(HttpToolsProtocol):
    """One connection: its end.

    `phase` is what is being received: nothing, headers (`begun` after their first byte), a body,
    or (`ending`) nothing that matters any more. `due` is when it has to be there, in the event
    loop's time. `received` counts its bytes. `streamed` says that it is a body of any length.
    """

    limits: ClassVar[Limits] = Limits()

    phase: Phase = "head"
    due: float | None = None
    received = 0
    begun = streamed = ends_with_body = False
    _stalled_since: float | None = None

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
                self.give_up(408, "the request's body took too long to arrive")
        elif self.phase == "head" and self.begun:
            self.give_up(408, "the request's headers took too long to arrive")
        else:
            self.transport.close()

    def refuse_for_the_stop(self) -> None:
        """End the connection; a request without an answer gets the reason."""
        if self.phase == "body" and not self.cycle.response_complete:
            self.give_up(503, _STOPPING, retry=5)
        elif self.owes_an_answer() and not self.pipeline and not self.cycle.response_started:
            self._disconnect(self.cycle)
            self.phase = "ending"
            self._answer(503, _STOPPING, retry=5, may_have_been_stored=True)
        elif self.phase != "ending":
            self.transport.close()

    def close_after_the_body(self) -> None:
        """Close, but not while the client is still sending: it would not see the answer."""
        if self.phase == "body":
            self.ends_with_body = True
            self.due = self.loop.time() + self.limits.linger_seconds
        else:
            self.transport.close()

    def give_up(self, status: int, sentence: str, *, retry: int | None = None) -> None:
        """Read no further request; answer with an error unless an earlier answer is on its way."""
        incomplete = self.phase == "body"
        self.phase, self.received = "ending", 0
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
                self._answer(status, sentence, retry, may_have_been_stored=self.streamed)
        elif self.owes_an_answer():
            self.cycle.keep_alive = False  # that answer is the last thing that is sent
            self.due = None
        else:
            self._answer(status, sentence, retry)

    def owes_an_answer(self) -> bool:
        """Whether the application is still busy with what was received completely."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.disconnected

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


class AfterTheBody:
    """A transport, as an answer that may be given before its request is complete sees it."""

    def __init__(self, protocol: EndingProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """As `EndingProtocol.close_after_the_body`."""
        self._protocol.close_after_the_body()
