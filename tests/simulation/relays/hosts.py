"""The hosts of relays: each posts its events in order, again and again, to one or the next."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec

from actors.core.commands import Answer, NewEvent, Receipt, Refusal
from store.records import EventId, RoutingKey
from tests.simulation.relays.machines import Machines
from tests.simulation.relays.relay import SimulatedRelay
from tests.simulation.scenario import KINDS

_ANSWER_WITHIN = 8.0
_AGAIN_AFTER = 1.0


class _Line(msgspec.Struct, eq=False):
    """The events of one key on one host that no relay has acknowledged yet."""

    key: RoutingKey
    waiting: list[NewEvent] = []
    posting: bool = False


class Host:
    """Its events of one key go one after the other; `posted` has those that a relay was sent."""

    def __init__(
        self,
        name: str,
        machines: Machines,
        relays: Sequence[SimulatedRelay],
        chance: random.Random,
        acknowledged: Callable[[EventId, RoutingKey], None],
    ) -> None:
        self.name = name
        self.made: list[EventId] = []
        self.refused: dict[EventId, str] = {}
        self._machines = machines
        self._relays = relays
        self._chance = chance
        self._acknowledged = acknowledged
        self._relay = chance.randrange(len(relays))
        self._lines: dict[RoutingKey, _Line] = {}

    @property
    def is_done(self) -> bool:
        """Whether all events are acknowledged."""
        return not any(line.waiting for line in self._lines.values())

    def make(self, key: RoutingKey) -> None:
        """An event occurs."""
        line = self._lines.setdefault(key, _Line(key))
        event = NewEvent(
            id=EventId(f"{self.name}-{len(self.made)}"),
            kind=self._chance.choice(KINDS),  # type: ignore[arg-type]
            action=self._chance.choice(["trigger", "acknowledge", "resolve"]),
            dedup_key=f"alert-{self._chance.randrange(3)}",
            body=b'{"routing_key":""}',
            idempotent=True,
            fingerprint=b"request",
        )
        self.made.append(event.id)
        line.waiting.append(event)
        self._post(line)

    def _post(self, line: _Line) -> None:
        if line.posting or not line.waiting:
            return
        line.posting = True
        event, relay, open_ = line.waiting[0], self._relays[self._relay], [True]

        def over(answer: Answer | str) -> None:
            """The answer, or why there is none; what comes later is not heard."""
            if not open_:
                return
            open_.clear()
            line.posting = False
            if isinstance(answer, Receipt):
                line.waiting.pop(0)
                self._acknowledged(event.id, line.key)
                self._post(line)
                return
            if relay is self._relays[self._relay]:
                self._relay = (self._relay + 1) % len(self._relays)
            why = answer.reason if isinstance(answer, Refusal) else str(answer)
            self.refused[event.id] = why
            self._machines.after(
                _AGAIN_AFTER * (1 + self._chance.random()), lambda: self._post(line)
            )

        machines = self._machines
        machines.after(_ANSWER_WITHIN, lambda: over("no answer"))
        machines.after(
            self._chance.random() * 0.01, lambda: self._arrive(relay, line.key, event, over)
        )

    def _arrive(
        self,
        relay: SimulatedRelay,
        key: RoutingKey,
        event: NewEvent,
        over: Callable[[Answer | str], None],
    ) -> None:
        run = relay.run
        if run is None:
            over("connection refused")
            return

        def answer(what: Answer) -> None:
            if run.process.alive:  # from a stopped process it leaves when it is woken, or not
                over(what)

        def take() -> None:
            if run.agent is None:
                over("a standby")
            else:
                run.agent.accept(key, event, answer)

        self._machines.run_in(run.process, take)
