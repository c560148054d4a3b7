"""What a question about all queues costs does not depend on the number of idle ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.commands import Policy
from actors.core.evolve import evolve
from actors.core.state import Counters, QueueState
from actors.directory import Directory, QueueEntry
from pdagent.operating.known import KnownQueues
from pdagent.operating.names import QueueNames
from pdagent.operating.overview import SORTS, Overview, Wanted
from store.records import EventDelivered, EventId, QueueHeld, QueueId, RoutingKey
from tests.actors.core.life import NOW, accepted, deferred, died, started

IDLE = 2_000
_looked_at: list[int] = []


class Watched(QueueEntry):
    """Notes who looks at its state."""

    def __getattribute__(self, name: str) -> Any:
        if name == "state":
            _looked_at.append(1)
        return super().__getattribute__(name)


def idle(number: int) -> QueueEntry:
    """A queue that has delivered an event."""
    state = QueueState(queue=QueueId(number))
    for record in (accepted(EventId("a")), started(EventId("a"))):
        evolve(state, record)
    evolve(state, EventDelivered(event=EventId("a"), status=202, at=NOW))
    key = RoutingKey(f"{random.Random(number).getrandbits(128):032x}")
    return Watched(id=QueueId(number), routing_key=key, state=state)


@pytest.fixture
def directory() -> Iterator[Directory]:
    """Many idle queues, and some that are not."""
    directory = Directory()
    for number in range(1, IDLE + 1):
        directory.add(idle(number))
    for number, what in enumerate(("waits", "waits more", "died", "held", "deferred") * 2, 1):
        state = directory.by_id(QueueId(100 * number)).state
        b, c = EventId("b"), EventId("c")
        match what:
            case "waits":
                records = [accepted(b, 2, at=NOW + number)]
            case "waits more":
                records = [accepted(b, 2, at=NOW + number), accepted(c, 3)]
            case "died":
                records = [accepted(b, 2), *died(b)]
            case "held":
                records = [QueueHeld(reason="for now", at=NOW)]
            case _:
                records = [accepted(b, 2), started(b), deferred(b)]
        for record in records:
            evolve(state, record)
    directory.figures.begin(directory.entries(), Counters(accepted=5, delivered=5))
    yield directory
    _looked_at.clear()


def ask(known: KnownQueues, wanted: Wanted) -> tuple[list[int], dict[str, object]]:
    """The numbers of the rows, and the summary."""
    overview = Overview(known, wanted, Policy())
    return [entry.id for entry in overview.rows], overview.summary()


def test_a_page_of_the_status_looks_at_no_idle_queue(directory: Directory) -> None:
    known = KnownQueues(directory, QueueNames({}))
    known.by_name()
    for sort in (None, "waiting", "oldest", "dead", "name"):
        _looked_at.clear()
        rows, summary = ask(known, Wanted(sort=sort, limit=20))
        assert len(rows) == 20
        assert (summary["known"], summary["matching"]) == (IDLE, IDLE)
        assert (summary["with_waiting"], summary["held"], summary["backing_off"]) == (6, 2, 2)
        assert len(_looked_at) < 400, sort
    _looked_at.clear()
    assert directory.figures.sums().waiting == 8
    assert directory.figures.sums().accepted == IDLE + 15
    assert not _looked_at


def test_the_rows_are_those_of_a_full_search(directory: Directory) -> None:
    names = QueueNames({"database": directory.by_id(QueueId(100)).routing_key})
    known = KnownQueues(directory, names)
    for sort in SORTS:
        every = Overview(known, Wanted(sort=sort), Policy(), directory.entries())
        expected = [entry.id for entry in every.rows]
        assert len(expected) == IDLE
        for offset, limit in ((0, 3), (0, 20), (5, 10), (1_990, 50), (0, None)):
            rows, _ = ask(known, Wanted(sort=sort, offset=offset, limit=limit))
            end = None if limit is None else offset + limit
            assert rows == expected[offset:end], (sort, offset, limit)


def test_the_order_of_names_follows_what_comes_and_goes(directory: Directory) -> None:
    known = KnownQueues(directory, QueueNames({}))
    for number in range(IDLE + 1, IDLE + 600):
        directory.add(idle(number))
        if number % 100 == 0:
            gone = directory.by_id(QueueId(number - 50))
            gone.forgetting = True
            directory.leave(gone, gone.incarnation)
            assert known.by_name() == sorted(directory.entries(), key=known.names.place_of)


def test_a_queue_that_is_read_again_is_counted_anew() -> None:
    """Its Sequencer failed: what it had counted may never have come to the disk."""
    directory = Directory()
    entry = directory.add(idle(1))
    figures = directory.figures
    figures.begin(directory.entries(), Counters())
    figures.wake(entry)
    for number in range(2, 5):
        evolve(entry.state, accepted(EventId(f"{number}"), number))
        figures.change(entry)
    assert (figures.sums().accepted, figures.sums().waiting) == (4, 3)
    assert figures.notable() == [entry]
    entry.state = idle(1).state
    evolve(entry.state, accepted(EventId("2"), 2))
    figures.change(entry)
    figures.change(entry)
    assert (figures.sums().accepted, figures.sums().waiting) == (2, 1)
    entry.state = idle(1).state
    figures.rest(entry)
    assert (figures.sums().accepted, figures.sums().waiting) == (1, 0)
    assert figures.notable() == []
    figures.change(entry)
    figures.wake(entry)
    assert (figures.sums().accepted, figures.sums().waiting) == (1, 0)
