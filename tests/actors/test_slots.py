"""Turns: in line, one a queue, one a sender, one probe at a time during an outage."""

from __future__ import annotations

from collections import Counter

from actors.core.breaker import LONGEST_PROBE, PROBE_PAUSE
from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from actors.messages import Grant
from actors.slots import DeliverySlots
from store.records import EventId, QueueId

SENDERS = 8
UNREACHABLE = Deferred(reason="unreachable", detail="connection refused")
FAILED = Deferred(reason="server_error", detail="HTTP 503")
DELIVERED = Delivered(status=202)


class Turns:
    """Slots on a clock of its own, with all queues' granted turns begun at once."""

    def __init__(self, senders: int = SENDERS) -> None:
        self.now = 0.0
        self.slots = DeliverySlots(senders, lambda: self.now)
        self.under_way: dict[QueueId, EventId] = {}
        self.begun: Counter[QueueId] = Counter()

    def ask(self, queue: int, *, untried: bool = False) -> None:
        sender = self.slots.acquire(QueueId(queue), untried=untried)
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

    def counts(self, queue: int, verdict: Verdict) -> bool:
        """Whether an attempt that ends so counts against its event."""
        while queue not in self.under_way:
            self.ask(queue)
            self.wait(PROBE_PAUSE)
        event = self.under_way.pop(QueueId(queue))
        grants = self.slots.finish(QueueId(queue), event, self.begun[QueueId(queue)], verdict)
        outcome = self.slots.claim(QueueId(queue))
        assert outcome is not None
        self.begin(grants)
        return outcome.counts

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
    assert turns.slots.link().state == "unreachable"
    assert turns.slots.link().lasts == turns.now
    turns.wait(PROBE_PAUSE)
    (probe,) = turns.under_way
    turns.finish(probe, DELIVERED)
    assert len(turns.under_way) == SENDERS, "the answer of the probe lets the others begin"
    assert turns.slots.link().state == "reachable"
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
    turns.wait(LONGEST_PROBE)
    assert not turns.under_way, "its place is empty"
    turns.begin(turns.slots.replaced(0))
    assert list(turns.under_way) == [2]


def test_an_attempt_that_began_before_the_outage_tells_nothing_without_an_answer() -> None:
    turns = Turns(senders=3)
    for queue in (1, 2, 3):
        turns.ask(queue)
    turns.wait(1.0)
    turns.finish(QueueId(1), UNREACHABLE)
    turns.finish(QueueId(2), Deferred(reason="no_answer", detail="timed out"))
    assert turns.slots.link().state == "unreachable"
    turns.wait(2.0)
    turns.finish(QueueId(3), FAILED)
    link = turns.slots.link()
    assert (link.state, link.lasts) == ("failing", 0.0), "that was an answer"
    assert link.outage == 2.0


def test_a_probe_without_an_answer_shows_that_pagerduty_is_reached_but_fails() -> None:
    turns = Turns(senders=1)
    turns.ask(1)
    turns.finish_all(UNREACHABLE)
    turns.ask(1)
    turns.wait(PROBE_PAUSE)
    turns.finish(QueueId(1), Deferred(reason="no_answer", detail="timed out"))
    assert turns.slots.link().state == "failing"


def fail_all(turns: Turns, queues: int) -> None:
    """Have so many queues fail until the link is failing."""
    for _ in range(2):
        for queue in range(queues):
            turns.ask(queue)
        turns.wait(2.0)
        while turns.under_way:
            turns.finish_all(FAILED)
    assert turns.slots.link().state == "failing"


def test_while_all_fail_they_share_a_probe_that_goes_round() -> None:
    turns = Turns()
    fail_all(turns, 50)
    before = turns.begun.total()
    for queue in range(50):
        turns.ask(queue)
    for _ in range(100):
        turns.wait(0.5)
        for queue in list(turns.under_way):
            turns.finish(queue, FAILED)
            turns.ask(queue)
    assert turns.begun.total() - before == 50, "one a second"
    assert set(turns.begun) == set(range(50))
    turns.wait(PROBE_PAUSE)
    turns.finish_all(DELIVERED)
    assert turns.slots.link().state == "reachable"
    assert len(turns.under_way) == SENDERS


def test_an_event_that_was_never_tried_is_the_next_probe() -> None:
    turns = Turns()
    fail_all(turns, 50)
    for queue in range(50):
        turns.ask(queue)
    turns.ask(99, untried=True)
    turns.wait(PROBE_PAUSE)
    assert list(turns.under_way) == [99]


def test_a_probe_that_hangs_does_not_keep_others_from_probing() -> None:
    turns = Turns()
    fail_all(turns, 2)
    for queue in (0, 1):
        turns.ask(queue)
    turns.wait(PROBE_PAUSE)
    turns.wait(PROBE_PAUSE)
    assert set(turns.under_way) == {0, 1}


def test_an_attempt_counts_if_another_event_was_accepted_since_the_one_before() -> None:
    turns = Turns()
    assert not turns.counts(1, FAILED), "the first has none before it"
    assert not turns.counts(1, FAILED), "nothing was accepted"
    assert not turns.counts(2, DELIVERED)
    assert turns.counts(1, FAILED)
    assert not turns.counts(1, FAILED)
    assert not turns.counts(2, Rejected(reason="http_400"))
    assert not turns.counts(1, FAILED), "a refused event is no accepted one"


def test_one_poisonous_event_among_others_says_nothing_about_the_link() -> None:
    turns = Turns()
    for _ in range(100):
        turns.counts(1, FAILED)
        turns.now += 30.0
        turns.counts(2, DELIVERED)
        assert turns.slots.link().state == "reachable"


def test_a_turn_that_is_given_back_goes_to_the_next() -> None:
    turns = Turns(senders=1)
    assert turns.slots.acquire(QueueId(1)) == 0
    turns.ask(2)
    turns.begin(turns.slots.release(QueueId(1)))
    assert list(turns.under_way) == [2]
    assert not turns.slots.begin(QueueId(1), EventId("late"), 1), "its Sequencer died meanwhile"


def test_a_verdict_of_an_attempt_that_was_given_up_frees_nothing_twice() -> None:
    turns = Turns(senders=1)
    turns.ask(1)
    turns.slots.abandon(0, "no answer within 90 s")
    turns.slots.replaced(0)
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


def test_what_was_not_sent_says_nothing_about_the_link_or_the_event() -> None:
    turns = Turns()
    not_sent = Deferred(reason="not_owner", detail="the lease")
    assert not turns.counts(1, not_sent)
    assert turns.slots.link().state == "unknown"
    turns.counts(1, FAILED)
    turns.counts(2, DELIVERED)
    assert not turns.counts(1, not_sent)
    assert turns.counts(1, FAILED), "it counts from the attempt before on"
    for queue in range(3, 50):
        turns.counts(queue, not_sent)
    assert turns.slots.link().state == "reachable"
