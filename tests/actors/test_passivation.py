"""Queues that rest when nothing waits, and come back when something comes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.core.commands import Answer, HoldQueue, Receipt, ReleaseQueue
from actors.core.verdict import Deferred
from actors.messages import WantsRest
from store.errors import CommitFailedError
from store.port import Append
from store.records import EventAccepted, EventDelivered, EventId
from tests.actors.running_actors import KEY, OTHER_KEY, RunningActors, idempotent, wait_for

SOON = 0.02
ROUNDS = 300


def test_a_queue_with_nothing_waiting_rests_and_comes_back_for_the_next_event(
    tmp_path: Path,
) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        events = []
        for _ in range(5):
            events += actors.accepted()
            actors.wait_until_delivered(events)
            wait_for(lambda: actors.entry().phase == "resting", "rest")
            assert actors.entry().sequencer is None
        assert actors.restarts("sequencer") == 0


def test_a_queue_saves_its_state_before_it_rests(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        actors.wait_until_delivered(actors.accepted(count=3))
        wait_for(lambda: actors.entry().phase == "resting", "rest")
        wait_for(lambda: actors.journal.snapshot(actors.entry().id), "a snapshot")


def test_a_queue_rests_after_a_command_that_left_nothing_to_do(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        first = actors.accept(event=idempotent("once")).answer()
        assert isinstance(first, Receipt)
        actors.wait_until_delivered([EventId("once")])
        for command in (HoldQueue("test"), ReleaseQueue()):
            actors.perform(command)
            wait_for(lambda: actors.entry().phase == "resting", "rest")
        assert isinstance(actors.accept(event=idempotent("once")).answer(), Receipt)
        wait_for(lambda: actors.entry().phase == "resting", "rest")


def test_a_queue_whose_last_records_are_lost_does_not_rest_on_a_false_state(
    tmp_path: Path,
) -> None:
    with RunningActors(tmp_path, passivate_after=0.0) as actors:
        resting = threading.Event()

        def fail_the_last(batch: Sequence[Append]) -> None:
            records = [record for append in batch for record in append.records]
            if not resting.is_set() and any(isinstance(r, EventDelivered) for r in records):
                wait_for(lambda: actors.entry().phase == "passivating", "the way to rest")
                resting.set()
                raise CommitFailedError("no space left on device")

        actors.journal.before_commit = fail_the_last
        event = actors.accepted()[0]
        wait_for(lambda: len(actors.delivered()) == 2, "the delivery that was recorded")
        assert actors.delivered() == [event, event]
        wait_for(lambda: actors.entry().phase == "resting", "rest")
        assert actors.entry().state.counters.delivered == 1


def test_a_queue_with_an_event_that_waits_does_not_rest(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        actors.pagerduty.answer = lambda event: Deferred(reason="server_error", retry_after=60.0)
        actors.accepted()
        wait_for(lambda: actors.entry().state.failures == 1, "the first attempt")
        time.sleep(10 * SOON)  # nothing to wait for: it must not happen
        assert actors.entry().phase == "running"


def test_events_that_come_while_a_queue_goes_to_rest_are_answered(tmp_path: Path) -> None:
    """Each is delivered in the order of acceptance, which is known only for what was waited for.

    Of the three that race nobody waits for the answer to one before the next is sent.
    """
    rng = random.Random(5)
    with RunningActors(tmp_path, passivate_after=0.0) as actors:
        answers: list[Answer] = []
        delivered = actors.pagerduty.delivered
        for _ in range(ROUNDS):
            before = len(delivered.get(KEY, ()))
            answers.append(actors.accept().answer(timeout=10))
            wait_for(lambda n=before: len(delivered.get(KEY, ())) > n, "the delivery")
            # From here on the queue goes to rest; the next events meet it somewhere on its way.
            end = time.perf_counter() + rng.uniform(0.0, 0.004)
            while time.perf_counter() < end:
                pass
            racing = [actors.accept() for _ in range(3)]
            answers += [pending.answer(timeout=10) for pending in racing]
            wait_for(lambda n=before: len(delivered.get(KEY, ())) == n + 4, "the deliveries")
        assert all(isinstance(answer, Receipt) for answer in answers)
        sent = [answer.event for answer in answers if isinstance(answer, Receipt)]
        arrived = actors.delivered()
        records = [entry.record for entry in actors.journal.scan()]
        assert arrived == [record.event for record in records if isinstance(record, EventAccepted)]
        assert len(arrived) == len(sent) == 4 * ROUNDS
        for first in range(0, len(sent), 4):
            assert arrived[first] == sent[first]
            assert set(arrived[first : first + 4]) == set(sent[first : first + 4])
        assert actors.entry().incarnation > ROUNDS // 10, "the race was run"
        assert actors.restarts("sequencer") == 0


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_queue_that_dies_on_the_way_to_rest_comes_back(tmp_path: Path, waiting: int) -> None:
    with RunningActors(tmp_path) as actors:
        events = actors.accepted()
        actors.wait_until_delivered(events)
        if waiting:
            actors.perform(HoldQueue("test"))
            events += actors.accepted()
        sequencer = actors.entry().sequencer
        assert sequencer is not None
        with blocked_dispatcher(actors):
            sequencer.stop(block=False)  # it dies before it can answer the Supervisor
            actors.single("supervisor").tell(WantsRest(actors.entry().id, 1))
            wait_for(lambda: actors.entry().phase == "passivating", "the way to rest")
            late = actors.accept()
        answer = late.answer()
        assert isinstance(answer, Receipt)
        if waiting:
            actors.perform(ReleaseQueue())
        actors.wait_until_delivered([*events, answer.event])


@contextmanager
def blocked_dispatcher(actors: RunningActors) -> Iterator[None]:
    """Keep the thread that runs all Sequencers busy with one of them."""
    busy, release = threading.Event(), threading.Event()

    def block(event: str) -> None:
        if event == "blocker":
            busy.set()
            assert release.wait(15)

    actors.journal.before_accepted = block
    actors.accept(OTHER_KEY, idempotent("blocker"))
    assert busy.wait(15)
    try:
        yield
    finally:
        release.set()
