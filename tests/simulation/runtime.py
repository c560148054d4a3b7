"""Runs the program's own actors on one thread, in an order and at times drawn from a seed.

What pykka's threads, the clock and chance give to the actors comes from here instead; nothing else
about them is replaced. An actor's step is the handling of one message (a Sequencer's a turn of a
few). Which of the actors that have something to do goes next is drawn.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any, Literal, NoReturn

import pykka
from pykka._envelope import Envelope

from actors.dispatcher import DispatchedActor
from actors.supervised import DeadlineInbox, SupervisedActor
from actors.supervisor import ActorId, Supervisor

Moment = Literal["before", "after"]

# What a step may take, in seconds: enough to let answers and timers fall between two of them.
_LONGEST_STEP = 0.002
_NEVER = float("inf")


class Crash(BaseException):
    """The process is gone, in the middle of whatever it was doing."""


class Injected(Exception):
    """An actor's handler failed for no reason of its own."""


class Clock:
    """Stands in for the `time` module. `wall` may jump, `now` (monotonic seconds) never does."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = 1.8e9
        self.sleep: Callable[[float], None] = self.advance

    def monotonic(self) -> float:
        """Seconds since some moment; the simulation's own time."""
        return self.now

    def perf_counter(self) -> float:
        """As `monotonic`."""
        return self.now

    def time(self) -> float:
        """Seconds since 1970 as the machine's clock shows them."""
        return self.wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += seconds


class _Doorbell:
    """Stands before an actor's inbox and tells the runtime that there is a message."""

    def __init__(self, actor: SupervisedActor, ring: Callable[[SupervisedActor], None]) -> None:
        self._actor = actor
        self._put = actor.actor_inbox.put
        self._ring = ring

    def put(self, envelope: Envelope[Any], /) -> None:
        self._put(envelope)
        self._ring(self._actor)


class Runtime:
    """The actors that are alive, what happens at which time, and the order that chance gives.

    `disturb` may let the handling of an actor's next message fail: it says at which moment, or
    None. `before_step` is called before each step, `calm` when no actor has anything to do at once.
    A `violation` that was found inside of an actor ends the run, although pykka catches all.
    `trace`, if it is a list, gets a line for each step and for what else is noted.
    """

    def __init__(self, chance: random.Random) -> None:
        self._draw = chance.random
        self.clock = Clock()
        self.clock.sleep = self.run_for
        self.steps = 0
        self.crashing = False
        self.violation: BaseException | None = None
        self.trace: list[str] | None = None
        self.disturb: Callable[[SupervisedActor], Moment | None] = lambda actor: None
        self.before_step: Callable[[], None] = lambda: None
        self.calm: Callable[[], None] = lambda: None
        self._ready: list[SupervisedActor] = []
        self._listed: set[SupervisedActor] = set()
        self._running: list[SupervisedActor] = []
        self._blocked: set[SupervisedActor] = set()
        self._first: dict[SupervisedActor, Any] = {}
        self._timed: list[tuple[DeadlineInbox, SupervisedActor]] = []
        self._alive: set[SupervisedActor] = set()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._processes = 0

    def note(self, what: Callable[[], str]) -> None:
        """Add a line to the trace; `what` is asked only if there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.clock.now:.6f} {what()}")

    # The world outside of the process

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something happen at `when` (the clock's seconds), even if the process crashes."""
        heapq.heappush(self._agenda, (when, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen in `seconds`."""
        self.at(self.clock.now + seconds, action)

    # What the actors see in place of threads

    def adopt(self, actor: SupervisedActor) -> None:
        """In place of starting a thread for the actor."""
        self._alive.add(actor)
        actor.actor_ref.actor_inbox = _Doorbell(actor, self._list)
        self._list(actor)

    def schedule(self, actor: DispatchedActor) -> None:
        """In place of a dispatcher's thread."""
        self._alive.add(actor)
        self._list(actor)

    def run_now(self, actor: DispatchedActor) -> None:
        """Within the step of another actor, whose thread gives this one its turn."""
        if actor in self._listed and not self.crashing:
            self._ready.remove(actor)
            self._run(actor)

    def tell_later(self, to: pykka.ActorRef[Any], message: Any, seconds: float) -> None:
        """In place of the dispatcher's delayed messages, which end with the process."""
        process = self._processes

        def tell() -> None:
            if process == self._processes:
                with contextlib.suppress(pykka.ActorDeadError):
                    to.tell(message)

        self.after(seconds, tell)

    def block(self, actor: SupervisedActor) -> None:
        """The actor waits for something in the middle of a message and handles no other."""
        self._blocked.add(actor)

    def go_on(self, actor: SupervisedActor, message: Any) -> None:
        """What the actor waited for has come: it handles `message` before all others."""
        if actor in self._alive:
            self._blocked.discard(actor)
            self._first[actor] = message
            self._list(actor)

    def hang(self, seconds: float) -> None:
        """What handles a message just now takes so long; meanwhile the others go on.

        That may be an actor in the thread of another, which then hangs as well.
        """
        hanging = [actor for actor in self._running if actor not in self._blocked]
        assert hanging
        self._blocked.update(hanging)
        self.run_for(seconds)
        self._blocked.difference_update(hanging)
        for actor in hanging:
            self._list(actor)

    def crash(self, where: str) -> NoReturn:
        """End the process here. Actors may try to catch it; from now on nothing leaves them."""
        self.crashing = True
        self.note(lambda: f"the process crashes {where}")
        raise Crash(where)

    def lose_everything(self) -> None:
        """The process has ended: no actor runs any more, no message is left."""
        for actor in self._alive:
            pykka.ActorRegistry.unregister(actor.actor_ref)
        self.crashing = False
        self._processes += 1
        self._alive.clear()
        self._ready.clear()
        self._listed.clear()
        self._running.clear()
        self._blocked.clear()
        self._first.clear()
        self._timed.clear()

    # Time and steps

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Run until `condition()` holds or so many seconds have passed; return whether it holds."""
        deadline = self.clock.now + seconds
        while not condition():
            if not self._step(deadline):
                return condition()
        return True

    def run_for(self, seconds: float) -> None:
        """Run for so many seconds."""
        deadline = self.clock.now + seconds
        while self._step(deadline):
            pass

    def _step(self, deadline: float) -> bool:
        """The next thing that happens; False if that would be after `deadline`."""
        self.steps += 1
        self.before_step()
        clock, ready = self.clock, self._ready
        following = self._agenda[0][0] if self._agenda else _NEVER
        for inbox, actor in self._timed:
            if inbox.deadline is not None and actor not in self._blocked:
                if inbox.deadline <= clock.now:
                    self._list(actor)
                elif inbox.deadline < following:
                    following = inbox.deadline
        if ready and (following > clock.now or self._draw() < 0.7):
            place = int(self._draw() * len(ready))
            ready[place], ready[-1] = ready[-1], ready[place]
            self._give_step(ready.pop())
            if self.violation is not None:
                raise self.violation
            if self.crashing:
                raise Crash("in a step")
            clock.advance(self._draw() * _LONGEST_STEP)
            return True
        if following <= clock.now:
            heapq.heappop(self._agenda)[2]()
            return True
        self.calm()
        if following > deadline:
            clock.advance(max(0.0, deadline - clock.now))
            return False
        clock.advance(following - clock.now)
        return True

    def _give_step(self, actor: SupervisedActor) -> None:
        self._run(actor)

    def _list(self, actor: SupervisedActor) -> None:
        if actor not in self._listed:
            self._listed.add(actor)
            self._ready.append(actor)

    def _run(self, actor: SupervisedActor) -> None:
        self._listed.discard(actor)
        if actor in self._blocked:
            return
        moment = self.disturb(actor)
        self.note(lambda: f"{type(actor).__name__}{f' fails {moment}' if moment else ''}")
        if moment is not None:
            _let_fail(actor, moment)
        self._running.append(actor)
        if isinstance(actor, DispatchedActor):
            actor.run_turn()
        else:
            self._run_thread(actor)
        self._running.pop()
        if moment is not None:
            for name in ("begin", "receive", "see_to"):
                actor.__dict__.pop(name, None)
        if actor.actor_stopped.is_set():
            self._end(actor)

    def _run_thread(self, actor: SupervisedActor) -> None:
        """A piece of pykka's `Actor._actor_loop`: its beginning, or one message."""
        if not hasattr(actor, "has_begun"):
            actor.has_begun = True  # type: ignore[attr-defined]
            actor._actor_loop_setup()
            if isinstance(actor.actor_inbox, DeadlineInbox):
                self._timed.append((actor.actor_inbox, actor))
        elif actor in self._first:
            _handle(actor, Envelope(self._first.pop(actor)))
        elif self._has_message(actor):
            _handle(actor, actor.actor_inbox.get())
        if actor.actor_stopped.is_set():
            actor._actor_loop_teardown()
        elif not actor.actor_inbox.empty() and actor not in self._blocked:
            self._list(actor)

    def _has_message(self, actor: SupervisedActor) -> bool:
        inbox = actor.actor_inbox
        deadline = inbox.deadline if isinstance(inbox, DeadlineInbox) else None
        return not inbox.empty() or (deadline is not None and deadline <= self.clock.now)

    def _end(self, actor: SupervisedActor) -> None:
        self._alive.discard(actor)
        self._blocked.discard(actor)
        self._first.pop(actor, None)
        self._timed = [timed for timed in self._timed if timed[1] is not actor]


def _handle(actor: SupervisedActor, envelope: Envelope[Any]) -> None:
    """One round of pykka's `Actor._actor_loop_running`."""
    try:
        response = actor._handle_receive(envelope.message)
        if envelope.reply_to is not None:
            envelope.reply_to.set(response)
    except Exception as error:  # noqa: BLE001 - as pykka does
        caught = (type(error), error, error.__traceback__)
        if envelope.reply_to is not None:
            envelope.reply_to.set_exception(caught)
        else:
            actor._handle_failure(*caught)
            actor.on_failure(*caught)


def _let_fail(actor: SupervisedActor, moment: Moment) -> None:
    """Have the actor's next handler raise, before or after it did what it does."""
    begun = getattr(actor, "has_begun", False) or actor.__dict__.get("_begun")
    if isinstance(actor, Supervisor):
        if begun:
            _let_supervisor_fail(actor, moment)
        return
    name = "receive" if begun else "begin"
    handler = getattr(actor, name)

    def fail(*arguments: Any) -> None:
        if moment == "after":
            handler(*arguments)
        raise Injected(f"{moment} {name}")

    setattr(actor, name, fail)


def _let_supervisor_fail(supervisor: Supervisor, moment: Moment) -> None:
    """Its own code fails: before, so that nothing is done, or after it has done something."""
    see_to = supervisor.see_to

    def fail(actor: ActorId, step: Callable[..., None], *given: Any) -> None:
        if moment == "before":
            raise Injected("before a step of the supervisor")

        def fail_after(*arguments: Any) -> None:
            step(*arguments)
            raise Injected("after a step of the supervisor")

        see_to(actor, fail_after, *given)

    supervisor.see_to = fail  # type: ignore[method-assign]
