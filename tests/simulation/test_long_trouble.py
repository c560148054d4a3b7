"""Hours of trouble at PagerDuty, in simulated time: no event is lost, and one that is bad ends."""

from __future__ import annotations

import random

import pytest

from actors.core.commands import NewEvent, Policy
from actors.core.verdict import Delivered
from actors.ports import OutgoingEvent
from actors.system import ActorSystem
from pdagent.eventsapi.verdict import verdict_of_answer
from store.records import EventId, EventKind, RoutingKey
from tests.memory_journal import MemoryJournal
from tests.simulation.pagerduty import SimulatedPort
from tests.simulation.runtime import Runtime
from tests.simulation.substitution import substituted, substitutes
from tests.system.full_run import FULL

HOUR = 3_600.0
HOURS = 3.0 if FULL else 0.25
KEYS = [RoutingKey(f"key-{number}") for number in range(50)]
KINDS: tuple[EventKind, ...] = ("v1", "v2", "change")
PAGE = b"<html><head><title>Sign in</title></head></html>"
SUCCESS = b'{"status":"success"}'


class PagerDuty:
    """Answers each request after 0.1 s: with `trouble` for all, or for the `poison` event only."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.trouble: tuple[int, bytes] | None = None
        self.process = 0
        self.poison = ""
        self.times: list[float] = []
        self.delivered: dict[str, list[str]] = {}
        self.first_delivered_at: float | None = None

    def make_port(self) -> SimulatedPort:
        return SimulatedPort(self)  # type: ignore[arg-type]  # it needs no more of it than this

    def delay_before_write(self) -> float:
        return 0.0

    def receive(self, event: OutgoingEvent, attempt: int) -> tuple[OutgoingEvent, float, object]:
        self.times.append(self.runtime.clock.now)
        status, body = 200 if event.kind == "v1" else 202, SUCCESS
        if event.event_id == self.poison:
            status, body = 500, b""
        elif self.trouble is not None:
            status, body = self.trouble
        wall = self.runtime.clock.wall
        return event, 0.1, verdict_of_answer(event.kind, status, None, body, wall, 0.1)

    def end(self, event: OutgoingEvent, verdict: object) -> bool:
        if isinstance(verdict, Delivered):
            self.delivered.setdefault(event.routing_key, []).append(event.event_id)
            self.first_delivered_at = self.first_delivered_at or self.runtime.clock.now
        return True


class Running:
    """An agent in simulated time."""

    def __init__(self, policy: Policy | None = None) -> None:
        chance = random.Random(7)
        self.runtime = Runtime(chance)
        self.pagerduty = PagerDuty(self.runtime)
        self.accepted: dict[str, list[str]] = {}
        self._substituted = substituted(
            substitutes(self.runtime, chance, snapshot_every=1_000, turn=64, tick=0.25)
        )
        self._policy = policy or Policy()

    def __enter__(self) -> Running:
        self._substituted.__enter__()
        self.agent = ActorSystem(
            MemoryJournal(limit=1 << 30),
            self.pagerduty.make_port,  # type: ignore[arg-type]
            policy=self._policy,
            max_in_flight=16,
            retention=1e9,
            clock=self.runtime.clock.time,
        )
        self.agent.recover()
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runtime.lose_everything()
        self._substituted.__exit__(None, None, None)

    def send(self, key: RoutingKey, name: str, kind: EventKind = "v2") -> None:
        event = NewEvent(
            id=EventId(name),
            kind=kind,
            action="trigger",
            dedup_key=name,
            body=b'{"routing_key":""}',
        )
        self.agent.accept(key, event, lambda answer: None)
        self.accepted.setdefault(key, []).append(name)


@pytest.mark.parametrize(
    "trouble", [(503, b""), (200, PAGE), (403, PAGE)], ids=["503", "200 page", "403 page"]
)
def test_hours_in_which_pagerduty_accepts_nothing_cost_no_event(
    trouble: tuple[int, bytes],
) -> None:
    with Running() as running:
        runtime, pagerduty = running.runtime, running.pagerduty
        for number, key in enumerate(KEYS):
            running.send(key, f"{key}-before", KINDS[number % 3] if trouble[0] != 403 else "v2")
        runtime.run_for(5.0)
        assert running.agent.totals()["delivered"] == len(KEYS)
        pagerduty.trouble, began = trouble, runtime.clock.now
        for step in range(int(60 * HOURS)):
            for number in range(3):  # each key gets one about every 17 minutes
                key = KEYS[(3 * step + number) % len(KEYS)]
                running.send(key, f"{key}-{step}-{number}")
            runtime.run_for(60.0)
        link = running.agent.link()
        assert link.state == "failing"
        assert link.lasts is not None and link.lasts > HOURS * HOUR - 120
        assert link.last_error is not None and f"HTTP {trouble[0]}" in link.last_error
        totals = running.agent.totals()
        assert (totals["dead_lettered"], totals["waiting"]) == (0, 180 * HOURS)
        during = [at - began for at in pagerduty.times if at > began]
        busiest = max(sum(at <= other < at + 10 for other in during) for at in during[::50])
        assert busiest <= 20, "two a second"
        assert len(during) <= 2 * HOURS * HOUR

        pagerduty.trouble, pagerduty.first_delivered_at = None, None
        recovered = runtime.clock.now
        runtime.run_for(60.0)
        assert pagerduty.first_delivered_at is not None
        assert pagerduty.first_delivered_at - recovered <= 5.0
        assert running.agent.totals()["waiting"] == 0
        assert pagerduty.delivered == running.accepted, "all of it, in order"
        assert running.agent.link().state == "reachable"


def test_a_poisonous_event_is_given_up_after_an_hour_and_its_key_goes_on() -> None:
    with Running() as running:
        runtime, pagerduty = running.runtime, running.pagerduty
        pagerduty.poison = "poison"
        running.send(KEYS[0], "poison")
        running.send(KEYS[0], "behind")
        began, died = runtime.clock.now, 0.0
        for step in range(360):
            running.send(KEYS[1 + step % 5], f"other-{step}")
            runtime.run_for(20.0)
            assert running.agent.totals()["waiting"] <= 3, "no other key waits"
            assert running.agent.link().state == "reachable"
            if running.agent.totals()["dead_lettered"]:
                died = died or runtime.clock.now
        assert HOUR <= died - began <= 2 * HOUR
        assert pagerduty.delivered[KEYS[0]] == ["behind"]
        entry = running.agent.directory.by_key(KEYS[0])
        assert entry is not None
        assert entry.state.dead[EventId("poison")].error.startswith("gave_up: max_attempts: ")


def test_a_poisonous_event_alone_is_tried_until_give_up_after_and_keeps_nobody_waiting() -> None:
    with Running(Policy(give_up_after=HOUR)) as running:
        runtime, pagerduty = running.runtime, running.pagerduty
        pagerduty.poison = "poison"
        running.send(KEYS[0], "poison")
        running.send(KEYS[0], "behind")
        runtime.run_for(600.0)
        assert running.agent.link().state == "failing", "nothing is accepted"
        pagerduty.first_delivered_at, sent = None, runtime.clock.now
        running.send(KEYS[1], "other")
        runtime.run_for(5.0)
        assert pagerduty.first_delivered_at is not None
        assert pagerduty.first_delivered_at - sent <= 3.0
        assert running.agent.totals()["dead_lettered"] == 0
        runtime.run_for(HOUR)
        entry = running.agent.directory.by_key(KEYS[0])
        assert entry is not None
        assert entry.state.dead[EventId("poison")].error.startswith("gave_up: give_up_after: ")
        assert pagerduty.delivered[KEYS[0]] == ["behind"]
