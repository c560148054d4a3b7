"""Runs many pykka actors one after the other, on one thread or on that of a Sender.

pykka's own actors have a thread each. A Sequencer never blocks, so a thread of its own would buy
nothing and cost two context switches an event and 5,000 threads for 5,000 keys. Measured with 64
connections over 200 keys, sharing one thread makes accepting about half as expensive. A Sender that
gives the turns itself to which its verdict leads spares a delivery 7 to 13 context switches. The
actors stay pykka's in every other respect: mailbox, references, failure hooks, registry.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pykka
from pykka._envelope import Envelope

from actors.bell import Bell
from actors.messages import Report, tell
from actors.supervised import SupervisedActor

logger = logging.getLogger(__name__)

_TURN = 64


class _TurnOver(Exception):
    """Raised out of pykka's message loop when the mailbox is empty or others should have a turn."""


class Mailbox:
    """An actor's inbox that has its actor scheduled when a message arrives.

    `commands` is a second lane that outlives the actor, None while the actor takes nothing from it.
    Its owner adds to it and calls `schedule`. Messages in the inbox come first.
    """

    def __init__(self) -> None:
        self.commands: deque[Any] | None = None
        self._messages: deque[Envelope[Any]] = deque()
        self._scheduled = False
        self._left = 0
        self._actor: DispatchedActor | None = None
        self._dispatcher: Dispatcher | None = None

    def bind(self, actor: DispatchedActor, dispatcher: Dispatcher) -> None:
        """Say whom to schedule where; comes before the first message."""
        self._actor, self._dispatcher = actor, dispatcher

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message; never blocks."""
        self._messages.append(envelope)
        self.schedule()

    def get(self) -> Envelope[Any]:
        """The next message of this turn; raises `_TurnOver` at its end."""
        if self._left:
            self._left -= 1
            if self._messages:
                return self._messages.popleft()
            if self.commands:
                with contextlib.suppress(IndexError):  # the Supervisor may have taken them away
                    return Envelope(self.commands.popleft())
        raise _TurnOver

    def empty(self) -> bool:
        """Whether no message waits; commands don't count, they are the successor's."""
        return not self._messages

    def schedule(self) -> None:
        """Have the actor run, unless it is going to, or runs and will look again at its end."""
        if not self._scheduled:
            self._scheduled = True
            assert self._dispatcher is not None and self._actor is not None
            self._dispatcher.schedule(self._actor)

    def begin_turn(self) -> None:
        """Let `get` hand out what waits and what comes, up to a limit."""
        self._left = _TURN

    def end_turn(self) -> None:
        """Schedule the actor again if there is more to do."""
        # First the flag: a message that arrives from here on schedules the actor.
        self._scheduled = False
        if self._messages or self.commands:
            self.schedule()

    def begin_last_turn(self) -> None:
        """Let `get` hand out all messages that are left."""
        self._scheduled = False
        self._left = sys.maxsize


class DispatchedActor(SupervisedActor):
    """A supervised actor without a thread of its own; its handlers must not block."""

    actor_inbox: Mailbox

    def __init__(self, report: Report, dispatcher: Dispatcher) -> None:
        super().__init__(report)
        self.actor_inbox.bind(self, dispatcher)
        self._begun = False

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    def _start_actor_loop(self) -> None:
        self.actor_inbox.schedule()

    def run_turn(self) -> None:
        """Handle what waits, at most `_TURN` messages, with pykka's own loop."""
        self.actor_inbox.begin_turn()
        if not self._begun:
            self._begun = True
            self._actor_loop_setup()
        try:
            self._actor_loop_running()
        except _TurnOver:
            self.actor_inbox.end_turn()
        else:
            # A message that is put in after the end has this done once more.
            self.actor_inbox.begin_last_turn()
            self._actor_loop_teardown()


def wake(actor: pykka.ActorRef[Any]) -> None:
    """Have a dispatched actor look at its commands."""
    mailbox = actor.actor_inbox
    assert isinstance(mailbox, Mailbox)
    mailbox.schedule()


class Dispatcher:
    """Gives scheduled actors their turns, one after the other, first come, first served.

    A daemon thread of its own does so, and any other thread by `help`. The thread also sends the
    messages that its actors have delayed.
    """

    def __init__(self, name: str) -> None:
        self._delayed: list[tuple[float, int, pykka.ActorRef[Any], Any]] = []
        self._order = itertools.count()
        self._ready: deque[DispatchedActor] = deque()
        self._turn = threading.Lock()
        self._bell = Bell()
        self._goes_on = True
        self._wanted = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def schedule(self, actor: DispatchedActor) -> None:
        """Give the actor a turn after those that are scheduled already."""
        self._ready.append(actor)
        if not self._turn.locked():  # otherwise the thread that gives turns will look at its end
            self._bell.ring()

    def help(self, step: Callable[[], None]) -> None:
        """Do `step` and give the turns that it leads to, in this thread and without waking another.

        If another thread gives turns just now, they are left to it and to the dispatcher's own,
        which also gives those that come up meanwhile: the caller has other work.
        """
        # Helpers alone could keep the dispatcher's thread from its turns for ever.
        mine = not self._wanted and self._turn.acquire(blocking=False)
        try:
            before = len(self._ready)
            step()
            if mine:
                for _ in range(len(self._ready) - before):
                    self._give_turn(self._ready.pop())  # what it has led to came last
        finally:
            if mine:
                self._turn.release()
                if self._ready:  # what others have scheduled meanwhile has rung no bell
                    self._bell.ring()

    def tell_later(self, to: pykka.ActorRef[Any], message: Any, seconds: float) -> None:
        """Send `message` to `to` in `seconds`, unless it has ended."""
        entry = (time.monotonic() + seconds, next(self._order), to, message)
        heapq.heappush(self._delayed, entry)
        if self._delayed[0] is entry:
            self._bell.ring()  # the thread may wait for a later one

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread after the turns that are scheduled."""
        self._goes_on = False
        self._bell.ring()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while self._goes_on:
            wait = self._delayed[0][0] - time.monotonic() if self._delayed else None
            if wait is not None and wait <= 0:
                _, _, to, message = heapq.heappop(self._delayed)
                tell(to, message)
                wait = 0.0
            self._bell.wait(wait)
            self._wanted = True
            with self._turn:
                self._wanted = False
                for _ in range(len(self._ready)):
                    self._give_turn(self._ready.popleft())
            if self._ready:
                self._bell.ring()

    @staticmethod
    def _give_turn(actor: DispatchedActor) -> None:
        try:
            actor.run_turn()
        except BaseException:
            logger.exception("%s could not be run", type(actor).__name__)
