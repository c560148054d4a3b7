"""Queues that rest when nothing waits, and come back when something comes."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors import janitor
from actors.core.commands import HoldQueue, Receipt, ReleaseQueue, RetryEvents
from actors.core.verdict import Deferred, Delivered, Rejected
from actors.directory import QueueEntry
from store.errors import CommitFailedError
from store.port import Append
from store.records import EventDelivered, EventId, RoutingKey
from tests.actors.running_actors import (
    KEY,
    OTHER_KEY,
    RunningActors,
    WallClock,
    idempotent,
    wait_for,
)

DAY = 86_400.0
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
            wait_for(lambda: actors.entry().phase == "stopped", "rest")
            assert actors.entry().sequencer is None
        assert actors.restarts("sequencer") == 0


def test_a_queue_saves_its_state_before_it_rests(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        actors.wait_until_delivered(actors.accepted(count=3))
        wait_for(lambda: actors.entry().phase == "stopped", "rest")
        wait_for(lambda: actors.journal.snapshot(actors.entry().id), "a snapshot")


def test_a_queue_rests_after_a_command_that_left_nothing_to_do(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        first = actors.accept(event=idempotent("once")).answer()
        assert isinstance(first, Receipt)
        actors.wait_until_delivered([EventId("once")])
        for command in (HoldQueue("test"), ReleaseQueue()):
            actors.perform(command)
            wait_for(lambda: actors.entry().phase == "stopped", "rest")
        assert isinstance(actors.accept(event=idempotent("once")).answer(), Receipt)
        wait_for(lambda: actors.entry().phase == "stopped", "rest")


def test_a_queue_whose_last_records_are_lost_does_not_rest_on_a_false_state(
    tmp_path: Path,
) -> None:
    with RunningActors(tmp_path, passivate_after=0.0) as actors:
        failed = threading.Event()

        def fail_the_last(batch: Sequence[Append]) -> None:
            records = [record for append in batch for record in append.records]
            if not failed.is_set() and any(isinstance(r, EventDelivered) for r in records):
                writer = actors.single("writer")
                if not any(append.snapshot for append in batch):
                    # Behind the record of the delivery, the snapshot with which the queue stops.
                    wait_for(lambda: not writer.actor_inbox.empty(), "the last write")
                failed.set()
                raise CommitFailedError("no space left on device")

        actors.journal.before_commit = fail_the_last
        event = actors.accepted()[0]
        wait_for(failed.is_set, "the commit that fails")

        def recorded() -> bool:
            entries = actors.journal.entries(actors.entry().id)
            return any(isinstance(entry.record, EventDelivered) for entry in entries)

        wait_for(recorded, "the record that was lost")
        # Not before: a queue is also "stopped" between a Sequencer that gives up and its successor.
        wait_for(lambda: actors.entry().phase == "stopped", "rest")
        assert actors.delivered() == [event], "the verdict was still known"
        assert actors.entry().state.counters.delivered == 1


def test_a_queue_with_an_event_that_waits_does_not_rest(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        actors.pagerduty.answer = lambda event: Deferred(reason="server_error", retry_after=60.0)
        actors.accepted()
        wait_for(lambda: actors.entry().state.failures == 1, "the first attempt")
        time.sleep(10 * SOON)  # nothing to wait for: it must not happen
        assert actors.entry().phase == "running"


def test_events_that_come_while_a_queue_stops_are_accepted_in_the_order_in_which_they_came(
    tmp_path: Path,
) -> None:
    rng = random.Random(5)
    with RunningActors(tmp_path, passivate_after=0.0) as actors:
        sent: list[EventId] = []
        for _ in range(ROUNDS):
            events = actors.accepted()
            _delivered(actors, len(sent) + 1)
            # From here on the queue stops; the next events meet it somewhere on its way.
            end = time.perf_counter() + rng.uniform(0.0, 0.004)
            while time.perf_counter() < end:
                pass
            for pending in [actors.accept() for _ in range(3)]:
                answer = pending.answer(timeout=10)
                assert isinstance(answer, Receipt)
                events.append(answer.event)
            sent += events
            _delivered(actors, len(sent))
        assert actors.delivered() == sent
        assert actors.entry().incarnation > ROUNDS // 10, "the race was run"
        assert actors.restarts("sequencer") == 0


def test_an_idle_queue_keeps_what_operators_ask_for(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=SOON) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        dead = actors.accepted()
        actors.perform(HoldQueue("maintenance"))
        wait_for(lambda: actors.entry().phase == "stopped", "its end")
        state = actors.entry().state
        assert (list(state.dead), state.hold, state.counters.accepted) == (dead, "maintenance", 1)
        actors.pagerduty.answer = lambda event: Delivered(status=202)
        actors.perform(RetryEvents(None))
        actors.perform(ReleaseQueue())
        actors.wait_until_delivered(dead)


def test_after_a_start_only_queues_with_work_have_a_sequencer_and_a_full_state(
    tmp_path: Path,
) -> None:
    keys = [f"{number:032d}" for number in range(20)]
    with RunningActors(tmp_path) as actors:
        actors.pagerduty.answer = lambda event: (
            Deferred(reason="server_error", retry_after=60.0)
            if event.routing_key == keys[0]
            else Delivered(status=202)
        )
        for key in keys:
            actors.accepted(key)
        wait_for(lambda: actors.system.totals()["waiting"] == 1, "the deliveries")
    with RunningActors(tmp_path) as actors:
        wait_for(lambda: actors.entry(keys[0]).sequencer, "its actor")
        assert [entry.routing_key for entry in actors.system.directory.active()] == keys[:1]
        idle = [actors.entry(key).state for key in keys[1:]]
        assert len({id(state.waiting) for state in idle}) == 1, "they share their empty tables"
        assert actors.system.totals()["delivered"] == len(idle)
        actors.wait_until_delivered(actors.accepted(keys[1]), keys[1])
        assert not idle[1].waiting


def test_an_idle_key_costs_less_than_a_kilobyte(tmp_path: Path) -> None:
    count = 100
    with RunningActors(tmp_path, passivate_after=0.0) as actors:

        def used_by(first: int) -> float:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(first, first + count):
                actors.accepted(f"{number:032x}")
            _all_stopped(actors)
            actors.pagerduty.forget()
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / count

        tracemalloc.start()
        try:
            # What a thread loads or sets up once is in one of them only.
            used = min(used_by(round_ * count) for round_ in range(3))
        finally:
            tracemalloc.stop()
    assert used < 1_024


def _delivered(actors: RunningActors, count: int) -> None:
    wait_for(lambda: len(actors.delivered()) == count, f"{count} deliveries")


def _all_stopped(actors: RunningActors) -> None:
    wait_for(
        lambda: not actors.system.directory.active() and actors.system.totals()["waiting"] == 0,
        "the end of all sequencers",
    )


def test_a_queue_without_history_is_forgotten_and_its_counters_are_not(tmp_path: Path) -> None:
    def totals() -> dict[str, int]:
        return actors.system.totals()

    with RunningActors(tmp_path, passivate_after=SOON, retention=0.2) as actors:
        actors.wait_until_delivered(actors.accepted(count=3))
        wait_for(lambda: totals()["delivered"] == 3, "the record of it")
        before = totals()
        wait_for(lambda: _by_key(actors) is None, "the end of the queue")
        assert actors.journal.queues() == {}
        assert totals() == before
        actors.wait_until_delivered(actors.accepted(OTHER_KEY), OTHER_KEY)
    with RunningActors(tmp_path, passivate_after=SOON, retention=0.2) as actors:
        assert totals()["delivered"] == 4
        wait_for(lambda: not actors.system.directory.entries(), "the end of the other")
        assert totals()["accepted"] == totals()["delivered"] == 4
        events = actors.accepted()
        wait_for(lambda: actors.delivered(), "the delivery of one whose queue was forgotten")
        assert actors.delivered() == events
    with RunningActors(tmp_path) as actors:
        assert totals()["delivered"] == 5


@pytest.mark.parametrize("kept", ["held", "dead"])
def test_a_queue_that_is_held_or_has_a_dead_letter_is_not_forgotten(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = WallClock()
    for name, value in (("PERIOD", 0.02), ("LOOK_EVERY", 0.02), ("_BELIEVED_AFTER", 1)):
        monkeypatch.setattr(janitor, name, value)
    with RunningActors(tmp_path, passivate_after=SOON, retention=DAY, clock=clock) as actors:
        actors.accepted(count=3)
        wait_for(lambda: actors.system.totals()["delivered"] == 3, "the records of it")
        if kept == "held":
            actors.perform(HoldQueue("maintenance"))
        else:
            clock.now += 2 * DAY
            actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
            actors.accepted()
        actors.accepted(OTHER_KEY)
        wait_for(lambda: not actors.system.directory.active(), "the end of all sequencers")
        clock.now += DAY / 2
        if kept == "held":
            clock.now += 2 * DAY
            wait_for(lambda: _by_key(actors, OTHER_KEY) is None, "the end of the other")
        else:
            wait_for(lambda: actors.journal.usage().entries < 9, "the end of the history")
        state = actors.entry().state
        assert state.counters.delivered == 3
        assert state.hold if kept == "held" else state.dead


def test_an_event_for_a_queue_that_is_just_being_forgotten_is_accepted(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=0.0, retention=0.05) as actors:
        removed, release = threading.Event(), threading.Event()

        def wait(batch: Sequence[Append]) -> None:
            if any(append.forget is not None for append in batch) and not removed.is_set():
                removed.set()
                assert release.wait(15)

        actors.journal.after_commit = wait
        first = actors.accepted()
        assert removed.wait(15)
        pending = [actors.accept() for _ in range(3)]
        release.set()
        later = [each.answer() for each in pending]
        assert all(isinstance(answer, Receipt) for answer in later)
        sent = first + [answer.event for answer in later if isinstance(answer, Receipt)]
        wait_for(lambda: len(actors.delivered()) == 4, "the deliveries")
        assert actors.delivered() == sent
        assert actors.system.totals()["accepted"] == 4


def test_a_removal_that_only_seemed_to_fail_is_counted_once(tmp_path: Path) -> None:
    with RunningActors(tmp_path, passivate_after=0.0, retention=0.05) as actors:
        failures = []

        def fail(batch: Sequence[Append]) -> None:
            if any(append.forget is not None for append in batch) and not failures:
                failures.append(True)
                raise CommitFailedError("no space left on device")

        actors.journal.after_commit = fail
        actors.accepted(count=2)
        wait_for(lambda: failures and _by_key(actors) is None, "the end of the queue")
        assert actors.system.totals()["delivered"] == 2
        assert actors.journal.forgotten()["delivered"] == 2


def _by_key(actors: RunningActors, key: str = KEY) -> QueueEntry | None:
    return actors.system.directory.by_key(RoutingKey(key))
