"""Turns: in line, one a queue, one a sender, one probe at a time during an outage."""

from __future__ import annotations

from collections import Counter

from actors.core.breaker import PROBE_PAUSE
from actors.core.verdict import Deferred, Delivered, Verdict
from actors.slots import DeliverySlots, Grant
from store.records import EventId, QueueId

SENDERS = 8
UNREACHABLE = Deferred(reason="unreachable", detail="connection refused")
DELIVERED = Delivered(status=202)


class Turns:
    """Slots on a clock of its own, with all queues' granted turns begun at once."""

    def __init__(self, senders: int = SENDERS) -> None:
        self.now = 0.0
        self.slots = DeliverySlots(senders, lambda: self.now)
        self.under_way: dict[QueueId, EventId] = {}
        self.begun: Counter[QueueId] = Counter()

    def ask(self, queue: int) -> None:
        sender = self.slots.acquire(QueueId(queue))
        if sender is not None:
            self.begin([Grant(QueueId(queue), sender)])

    def begin(self, grants: list[Grant] | None) -> None:
        assert grants is not None
        for grant in grants:
            self.begun[grant.queue] += 1
            event = EventId(f"{grant.queue}")
            assert self.slots.begin(grant.queue, event, self.begun[grant.queue])
            self.under_way[grant.queue] = event

    def finish(self, queue: QueueId, verdict: Verdict) -> None:
        event = self.under_way.pop(queue)
        grants = self.slots.finish(queue, event, self.begun[queue], verdict)
        outcome = self.slots.claim(queue)
        assert outcome is not None
        assert outcome.verdict == verdict
        self.begin(grants)

    def finish_all(self, verdict: Verdict) -> None:
        for queue in list(self.under_way):
            self.finish(queue, verdict)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.begin(self.slots.due())


def test_at_most_as_many_as_there_are_senders_in_the_order_of_asking() -> None:
    turns = Turns(senders=2)
    for queue in range(5):
        turns.ask(queue)
    assert list(turns.under_way) == [0, 1]
    turns.finish(QueueId(1), DELIVERED)
    turns.ask(1)  # again: behind all others
    turns.finish(QueueId(0), DELIVERED)
    assert list(turns.under_way) == [2, 3]
    turns.finish_all(DELIVERED)
    assert list(turns.under_way) == [4, 1]


def test_5000_queues_with_work_do_not_stampede_during_an_outage_nor_after_it() -> None:
    turns = Turns()
    for queue in range(5_000):
        turns.ask(queue)
    turns.finish_all(UNREACHABLE)
    for queue in list(turns.begun):
        turns.ask(queue)
    assert not turns.under_way
    probes = 0
    for _ in range(600):
        turns.wait(PROBE_PAUSE / 4)
        assert len(turns.under_way) <= 1
        if turns.under_way:
            (probe,) = turns.under_way
            probes += 1
            turns.finish(probe, UNREACHABLE)
            turns.ask(probe)
    assert probes == 150, "one a pause"
    assert turns.slots.link().open_for == turns.now
    turns.wait(PROBE_PAUSE)
    (probe,) = turns.under_way
    turns.finish(probe, DELIVERED)
    assert len(turns.under_way) == SENDERS, "the answer of the probe lets the others begin"
    assert turns.slots.link().open_for is None
    while turns.under_way:
        assert len(turns.under_way) <= SENDERS
        turns.finish_all(DELIVERED)
    assert len(turns.begun) == 5_000


def test_a_probe_whose_sender_dies_is_followed_by_another() -> None:
    turns = Turns(senders=1)
    turns.ask(1)
    turns.finish_all(UNREACHABLE)
    for queue in (1, 2):
        turns.ask(queue)
    turns.wait(PROBE_PAUSE)
    assert turns.slots.abandon(0, "the agent's sender failed") == [1]
    outcome = turns.slots.claim(QueueId(1))
    assert outcome is not None
    assert isinstance(outcome.verdict, Deferred)
    assert outcome.verdict.reason == "no_answer"
    turns.under_way.clear()
    turns.wait(0.0)
    assert not turns.under_way, "its place is empty"
    queues, grants = turns.slots.replaced(0, "the agent's sender failed")
    assert queues == []
    turns.begin(grants)
    assert list(turns.under_way) == [2]


def test_what_is_handed_to_a_dead_sender_is_given_up_by_its_successor() -> None:
    turns = Turns(senders=1)
    assert turns.slots.abandon(0, "the agent's sender failed") == []
    turns.ask(1)
    assert turns.slots.replaced(0, "the agent's sender failed") == ([1], [])
    assert turns.slots.acquire(QueueId(2)) == 0


def test_an_attempt_that_began_before_the_outage_does_not_end_it_without_an_answer() -> None:
    turns = Turns(senders=3)
    for queue in (1, 2, 3):
        turns.ask(queue)
    turns.finish(QueueId(1), UNREACHABLE)
    turns.finish(QueueId(2), Deferred(reason="no_answer", detail="timed out"))
    assert turns.slots.link().open_for is not None
    turns.finish(QueueId(3), Deferred(reason="server_error", detail="HTTP 503"))
    assert turns.slots.link().open_for is None, "that was an answer"


def test_a_probe_that_gets_through_ends_the_outage_even_without_an_answer() -> None:
    turns = Turns(senders=1)
    turns.ask(1)
    turns.finish_all(UNREACHABLE)
    turns.ask(1)
    turns.wait(PROBE_PAUSE)
    turns.finish(QueueId(1), Deferred(reason="no_answer", detail="timed out"))
    assert turns.slots.link().open_for is None


def test_a_turn_that_is_given_back_goes_to_the_next() -> None:
    turns = Turns(senders=1)
    assert turns.slots.acquire(QueueId(1)) == 0
    turns.ask(2)
    turns.begin(turns.slots.release(QueueId(1)))
    assert list(turns.under_way) == [2]
    assert not turns.slots.begin(QueueId(1), EventId("late"), 1), "its Sequencer died meanwhile"


def test_a_probes_turn_that_is_given_back_does_not_keep_others_from_probing() -> None:
    turns = Turns(senders=2)
    turns.ask(1)
    turns.finish_all(UNREACHABLE)
    turns.now += PROBE_PAUSE
    assert turns.slots.acquire(QueueId(1)) is not None
    turns.ask(2)
    assert not turns.under_way
    turns.begin(turns.slots.release(QueueId(1)))
    assert list(turns.under_way) == [2]


def test_a_verdict_of_an_attempt_that_was_given_up_frees_nothing_twice() -> None:
    turns = Turns(senders=1)
    turns.ask(1)
    turns.slots.abandon(0, "no answer within 90 s")
    turns.slots.replaced(0, "no answer within 90 s")
    assert turns.slots.finish(QueueId(1), EventId("1"), 1, DELIVERED) is None
    turns.ask(2)
    turns.ask(3)
    assert list(turns.under_way) == [1, 2], "1 was given up, 3 waits"


def test_while_the_agent_stops_nothing_begins() -> None:
    turns = Turns()
    turns.ask(1)
    turns.slots.pause()
    turns.ask(2)
    turns.finish(QueueId(1), DELIVERED)
    turns.wait(60.0)
    assert not turns.under_way
    assert turns.slots.busy() == 0
