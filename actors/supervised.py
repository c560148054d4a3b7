"""The base of all actors: each one reports its failure.

pykka does not call `on_failure` when `on_start` raises. An exception under `ask` goes to the asker
only, and the actor continues with a state that may be inconsistent. Messages to an actor that ends
are dropped. Here each actor reports to the Supervisor, abandons its messages and stops; and the
Supervisor looks for actors that could not even report.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections import deque
from typing import Any

import pykka
from pykka._envelope import Envelope

from actors.bell import Bell
from actors.messages import Due, Report


class ActorEndedError(Exception):
    """Replaces SystemExit and the like in an actor, on which pykka would stop all actors."""


def place_of(error: BaseException) -> str:
    """An error's type and where it was raised; not its text, which may quote an event."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_code.co_name}, line {line}"


class DeadlineInbox:
    """An inbox that delivers `Due` when `deadline` (monotonic seconds) passes, messages or not."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self._messages: deque[Envelope[Any]] = deque()
        # Without a condition variable: half the cost of queue.Queue for each hand-over.
        self._bell = Bell()

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message; never blocks."""
        self._messages.append(envelope)
        self._bell.ring()

    def get(self) -> Envelope[Any]:
        """The next message, or `Due`; blocks until there is one."""
        while True:
            wait = None if self.deadline is None else self.deadline - time.monotonic()
            if wait is not None and wait <= 0:
                self.deadline = None
                return Envelope(Due())
            if self._messages:
                return self._messages.popleft()
            self._bell.wait(wait)

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._messages


class SupervisedActor(pykka.ThreadingActor):
    """Subclasses write `begin` and `receive`; `report` is called once, in the actor's thread."""

    use_daemon_thread = True
    actor_inbox: Any  # a `DeadlineInbox`, but for subclasses with one of their own

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report
        self._failed = False

    @staticmethod
    def _create_actor_inbox() -> Any:
        return DeadlineInbox()

    def begin(self) -> None:
        """Set up in the actor's own thread; raising means a failed start."""

    def receive(self, message: Any) -> Any:
        """Handle one message; raising means the end of this actor."""

    def abandon(self, message: Any) -> None:
        """Answer a message that will not be handled any more."""

    def on_start(self) -> None:
        """Run `begin`; a failure is reported before pykka stops the actor."""
        try:
            self.begin()
        except BaseException as error:
            self._fail(error)
            if isinstance(error, Exception):
                raise
            raise ActorEndedError from error

    def on_receive(self, message: Any) -> Any:
        """Run `receive`; a failure ends the actor also under `ask`."""
        if self._failed:
            return self.abandon(message)
        try:
            return self.receive(message)
        except BaseException as error:
            self._fail(error)
            self.abandon(message)
            with contextlib.suppress(pykka.ActorDeadError):
                self.stop()
            if isinstance(error, Exception):
                raise
            raise ActorEndedError from error

    def _actor_loop_teardown(self) -> None:
        """Abandon what is left in the inbox, however the actor ended; pykka would drop it."""
        asked = []
        while not self.actor_inbox.empty():
            envelope = self.actor_inbox.get()
            if envelope.reply_to is None:
                self.abandon(envelope.message)
            else:
                asked.append(envelope)
        for envelope in asked:
            self.actor_inbox.put(envelope)
        super()._actor_loop_teardown()

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._report(error)
