"""The events that wait in a queue: their order, their room in memory, their pictures."""

from __future__ import annotations

import gc
import tracemalloc
from uuid import UUID

import msgspec
import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from actors.core.evolve import evolve
from actors.core.state import QueueState, compact, encoded, from_snapshot, picture, to_snapshot
from actors.core.waiting import Waiting, WaitingEvent
from actors.directory import Directory, QueueEntry
from store.records import (
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    JobReport,
    QueueId,
    RoutingKey,
)
from tests.actors.core.life import NOW, QUEUE, after, deferred, started

MANY = 20_000


def accepted(number: int, *, dedup_key: str | None = None) -> EventAccepted:
    """As it is when it has been read: nothing is shared with other events."""
    event = EventId(str(UUID(int=(7 << 76) + number)))
    return EventAccepted(
        event=event,
        position=number,
        kind="v2",
        action="trigger",
        dedup_key=dedup_key or "".join(event),
        body=b"{}",
        at=NOW + number,
    )


@pytest.mark.parametrize(
    ("dedup_key", "most"), [(None, 290), ("web-17.example.com/disk {}", 370)], ids=["id", "own"]
)
def test_a_waiting_event_takes_little_memory(dedup_key: str | None, most: int) -> None:
    """290 bytes: its id takes 96 of them, a dedup key of its own 96 more."""
    state = QueueState(queue=QUEUE)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, MANY + 1):
            key = None if dedup_key is None else dedup_key.format(number)
            evolve(state, accepted(number, dedup_key=key))
        live = tracemalloc.get_traced_memory()[0] / MANY
        data = to_snapshot(state)
        del state
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        restored = from_snapshot(data)
        gc.collect()
        read = (tracemalloc.get_traced_memory()[0] - before) / MANY
    finally:
        tracemalloc.stop()
    assert len(restored.waiting) == MANY
    assert live < most
    assert read < most


@given_any(st.lists(st.tuples(st.sampled_from(["add", "take", "change", "head"]), st.integers(0))))
def test_the_order_is_that_of_an_ordinary_dict(steps: list[tuple[str, int]]) -> None:
    waiting, expected = Waiting(), dict[EventId, WaitingEvent]()
    for number in range(1, 101):
        event = WaitingEvent.accepted(accepted(number))
        waiting.add(event)
        expected[event.id] = event
    for position, (step, choice) in enumerate(steps, 101):
        ids = list(expected)
        event = WaitingEvent.accepted(accepted(choice % 120))
        match step:
            case "add" if event.id not in expected:
                # The same id can come again.
                again = WaitingEvent(event.id, position, event.sort, event.dedup_key, NOW)
                waiting.add(again)
                expected[event.id] = again
            case "take" if ids:
                chosen = ids[choice % len(ids)]
                assert waiting.take(chosen) is expected.pop(chosen)
            case "change" if ids:
                chosen = ids[choice % len(ids)]
                changed = WaitingEvent(chosen, expected[chosen].position, event.sort, "x", NOW)
                waiting.change(changed)
                expected[chosen] = changed
            case "head" if ids:
                assert waiting.take(ids[0]) is expected.pop(ids[0])
        assert waiting.head() is next(iter(expected.values()), None)
        assert list(waiting.items()) == list(expected.items())


def test_the_head_of_a_long_queue_is_found_at_once() -> None:
    """A dict alone would go over all that were taken before."""
    waiting = Waiting(WaitingEvent.accepted(accepted(number)) for number in range(MANY))
    for _ in range(MANY - 1):
        head = waiting.head()
        assert head is not None
        waiting.take(head.id)
        assert waiting._order is not None
        assert len(waiting._order) <= 2 * len(waiting) + 65
    head = waiting.head()
    assert head is not None
    assert head.position == MANY - 1
    waiting.take(head.id)
    assert waiting.head() is None
    assert waiting._order is None


def test_a_picture_stays_as_it_was() -> None:
    """It is encoded in another thread, while the queue goes on."""
    state = QueueState(queue=QueueId(QUEUE))
    for number in range(1, 200):
        evolve(state, accepted(number))
    first, second = list(state.waiting)[:2]
    taken, before = picture(state), to_snapshot(state)
    after(
        state,
        started(first),
        deferred(first, "rate_limited"),
        EventDiscarded(event=second, reason="by an operator", at=NOW),
        started(first, 2),
    )
    assert tuple(encoded(taken)) == before
    assert to_snapshot(state) != before


def test_an_idle_queue_takes_little_memory() -> None:
    """With its state, its key and its places in the directory."""
    directory = Directory()
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, 2_001):
            state, record = QueueState(queue=QueueId(number)), accepted(number)
            delivered = EventDelivered(event=record.event, status=202, at=record.at, seconds=0.1)
            after(state, record, started(record.event), delivered)
            compact(state)
            key = RoutingKey(f"{number:032d}")
            directory.add(QueueEntry(id=state.queue, routing_key=key, state=state))
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / 2_000
    finally:
        tracemalloc.stop()
    assert each < 650


def test_what_idle_queues_share_stays_empty() -> None:
    """A queue that has something to put there has tables of its own."""
    state, other = QueueState(queue=QUEUE), QueueState(queue=QUEUE)
    shared = [other.waiting, other.dead, other.alerts, other.jobs]
    assert state.waiting is other.waiting
    evolve(state, msgspec.structs.replace(accepted(1), occurred_at=NOW, job=JobReport()))
    event = next(iter(state.waiting))
    after(state, started(event), deferred(event, "rate_limited"), started(event, 2))
    evolve(state, EventDeadLettered(event=event, reason="http_400", detail="no", at=NOW))
    assert state.dead
    assert state.alerts
    assert state.jobs
    assert state.pace.interval
    assert not any(shared)
    assert other == QueueState(queue=QUEUE)
