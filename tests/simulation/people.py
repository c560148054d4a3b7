"""Those who use the agent: clients that send events, and operators."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import msgspec

from actors.core.commands import (
    Answer,
    Command,
    DiscardEvents,
    HoldQueue,
    NewEvent,
    Receipt,
    Refusal,
    ReleaseQueue,
    RetryEvents,
)
from actors.system import ActorSystem
from store.records import EventId, Expectation, JobReport, RoutingKey
from tests.simulation.runtime import Runtime
from tests.simulation.scenario import KINDS, Scenario
from tests.simulation.witness import ALARM, CLOSING, Violation, Witness, require

_TRIES = 4


class Call(msgspec.Struct, eq=False):
    """A request to the agent that waits for its answer."""

    answered: int = 0


class People:
    """They ask the agent that runs just now, and come back later if none does.

    `acknowledged` holds the events whose receipt was given: those that must not be lost. `plans`
    counts what they are still going to do.
    """

    def __init__(self, runtime: Runtime, chance: random.Random, scenario: Scenario) -> None:
        self.agent: ActorSystem | None = None
        self.acknowledged: dict[EventId, RoutingKey] = {}
        self.calls: list[Call] = []
        self.plans = 0
        self.refusals: Counter[str] = Counter()
        self._closings = 0
        self._runtime = runtime
        self._chance = chance
        self._scenario = scenario

    def plan(self, witness: Witness) -> None:
        """Put all that they are going to do on the agenda."""
        chance, scenario = self._chance, self._scenario
        bursts = [chance.random() * scenario.duration for _ in range(3)]
        for number in range(scenario.events):
            when = chance.choice([*bursts, chance.random() * scenario.duration])
            self._later(when, self._send(number, witness))
        for _ in range(scenario.operations):
            self._later(chance.random() * scenario.duration, self._operate(witness))
        # A clock that jumps moves deadlines by a day.
        for job in range(0 if scenario.jumps else scenario.jobs):
            for number in range(4):
                when = chance.random() * scenario.duration
                self._later(when, self._report(job, number))

    def process_ended(self) -> None:
        """The client sees a broken connection."""
        self.agent = None
        self.calls.clear()

    def send_one(self, key: RoutingKey) -> EventId:
        """One new event of this key, asked for once."""
        event = self._new_event(f"last-{key}", idempotent=False)

        def take(answer: Answer) -> None:
            if isinstance(answer, Receipt):
                self.acknowledged[event.id] = key

        assert self.agent is not None
        self.agent.accept(key, event, self._call(take))
        return event.id

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            self.plans -= 1
            action()

        self.plans += 1
        self._runtime.after(seconds, act)

    def _send(self, number: int, witness: Witness) -> Callable[[], None]:
        """A client with one event; with an Idempotency-Key it may ask again after any failure."""
        chance = self._chance
        key = chance.choice(self._scenario.keys)
        idempotent = chance.random() < 0.4
        tries = _TRIES
        # Some say when it occurred: just now, or before others that have been sent meanwhile.
        lag = chance.choice([None, 0.0, chance.random() * 3, chance.random() * 60])
        occurred_at: float | None = None

        def send() -> None:
            nonlocal tries, event, occurred_at
            tries -= 1
            if lag is not None and occurred_at is None:
                occurred_at = self._runtime.clock.wall - lag
            if self.agent is None:
                again()
                return
            self.agent.accept(key, self._timed(event, occurred_at), self._call(take))
            if idempotent and chance.random() < 0.2:
                self.agent.accept(key, self._timed(event, occurred_at), self._call(take))

            if idempotent and chance.random() < 0.1:
                other = self._timed(event, occurred_at)
                other = msgspec.structs.replace(other, fingerprint=b"another request")
                self.agent.accept(key, other, self._call(lambda answer: check(answer, other)))

        def check(answer: Answer, asked: NewEvent) -> None:
            if isinstance(answer, Receipt):
                require(answer.event == asked.id, f"the receipt of {asked.id} names another event")
                life = witness.lives.get(asked.id)  # if there is none, it is found to be lost
                require(
                    life is None or life.fingerprint == asked.fingerprint,
                    f"the receipt of {asked.id} was given for another event under its key",
                )

        def take(answer: Answer) -> None:
            check(answer, event)
            if isinstance(answer, Receipt):
                self.acknowledged[event.id] = key
                if idempotent and chance.random() < 0.2:
                    again()
            else:
                again()

        def again() -> None:
            nonlocal event
            if tries > 0:
                if not idempotent:
                    event = new_event()
                self._later(chance.random() * 30, send)

        def new_event() -> NewEvent:
            return self._new_event(f"{number}-{_TRIES - tries}", idempotent=idempotent)

        event = new_event()
        return send

    def _new_event(self, name: str, *, idempotent: bool) -> NewEvent:
        chance = self._chance
        return NewEvent(
            id=EventId(name),
            kind=chance.choice(KINDS),  # type: ignore[arg-type]
            action=chance.choice(["trigger", "trigger", "acknowledge", "resolve"]),
            dedup_key=f"alert-{chance.randrange(3)}",
            body=b'{"routing_key":""}',
            idempotent=idempotent,
            fingerprint=b"request" if idempotent else b"",
        )

    def _report(self, job: int, number: int) -> Callable[[], None]:
        """A job ends, and may say by when its next success is to be expected."""
        chance = self._chance
        key = self._scenario.keys[job % len(self._scenario.keys)]
        name = f"job-{job}-{number}"
        within = chance.choice([None, 1.0, 20.0, 90.0])
        failed = chance.random() < 0.4
        # Reports may arrive in the wrong order, as those from the spool do.
        lag = (0.0, 60.0, 7.0, None)[(job + number) % 4]

        def report() -> None:
            if self.agent is None:
                return
            occurred_at = None if lag is None else self._runtime.clock.wall - lag
            expected = None
            if within is not None:
                alarm = EventId(f"{ALARM} {name}")
                by = self._runtime.clock.wall + within
                expected = Expectation(by=by, event=alarm, body=b'{"routing_key":""}')
            event = NewEvent(
                id=EventId(name),
                kind="v2",
                action="trigger" if failed else "resolve",
                dedup_key=f"job-{job}",
                body=b'{"routing_key":""}',
                job=JobReport(expected=expected),
                only_if_open=not failed,
            )
            event = self._timed(event, occurred_at)
            self.agent.accept(key, event, self._call(lambda answer: take(event, answer)))

        def take(event: NewEvent, answer: Answer) -> None:
            if isinstance(answer, Receipt):
                self.acknowledged[event.id] = key

        return report

    def _timed(self, event: NewEvent, occurred_at: float | None) -> NewEvent:
        """The event with its time of occurrence, as the intake gives it to the actors."""
        if occurred_at is None:
            return event
        closing = None
        if event.action == "trigger":
            self._closings += 1
            closing = NewEvent(
                id=EventId(f"{CLOSING} {self._closings} {event.id}"),
                kind=event.kind,
                action="resolve",
                dedup_key=event.dedup_key,
                body=event.body,
            )
        return msgspec.structs.replace(event, occurred_at=occurred_at, closing=closing)

    def _operate(self, witness: Witness) -> Callable[[], None]:
        chance = self._chance
        key = chance.choice(self._scenario.keys)

        def some_ids() -> list[EventId] | None:
            known = list(witness.lives)
            dead = [life for life in witness.lives.values() if life.state == "dead"]
            if chance.random() < 0.5:  # operators look at these most
                dead = [life for life in dead if life.superseded] or dead
                known = [life.event for life in dead]
            if chance.random() < 0.4 or not known:
                return None
            return [chance.choice(known) for _ in range(chance.randrange(1, 4))]

        def operate() -> None:
            command: Command = chance.choice(
                [
                    RetryEvents(some_ids(), force=chance.random() < 0.3),
                    RetryEvents(some_ids()),
                    DiscardEvents(some_ids(), "by hand"),
                    HoldQueue("by hand"),
                    ReleaseQueue(),
                ]
            )
            of_one = isinstance(command, RetryEvents | DiscardEvents) and command.ids
            whose = self.acknowledged.get(of_one[0], key) if of_one else key
            if self.agent is not None:
                self.agent.perform(whose, command, self._call(lambda answer: None))

        return operate

    def _call(self, take: Callable[[Answer], None]) -> Callable[[Answer], None]:
        call = Call()
        self.calls.append(call)

        def reply(answer: Answer) -> None:
            if self._runtime.crashing:
                return  # nothing leaves a process that is gone
            call.answered += 1
            self._runtime.note(lambda: f"answer: {answer}")
            if isinstance(answer, Refusal):
                self.refusals[answer.reason] += 1
            try:
                require(call.answered == 1, "one request was answered twice")
                take(answer)
            except Violation as violation:
                self._runtime.violation = violation  # the writer survives what a reply raises
                raise

        return reply
