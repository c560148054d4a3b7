"""Reading the life of one event, and reading backwards, over both journals."""

from __future__ import annotations

import pytest

from store.port import Journal
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    EventDeadLettered,
    EventDiscarded,
    EventId,
    EventRetried,
    QueueHeld,
    QueueReleased,
    Record,
)
from tests.store.conftest import Shelf
from tests.store.sample_records import (
    FIRST,
    SECOND,
    accepted,
    append,
    commit,
    delivered,
    records_of,
    seqs_of,
    started,
)

E1 = EventId("e1")


def deferred(event: str) -> Record:
    return DeliveryDeferred(
        event=EventId(event), reason="server_error", detail="HTTP 503", at=2.5, retry_at=3.0
    )


def test_a_history_holds_what_is_about_the_event_and_nothing_of_others(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e0"), started("e0"))
    commit(journal, FIRST, accepted("e1"), delivered("e0"), started("e1"), accepted("e2"))
    commit(journal, SECOND, accepted("e3"), started("e3"))
    commit(journal, FIRST, deferred("e1"), started("e1", attempt=2))

    assert records_of(journal.history(E1)) == [
        accepted("e1"),
        started("e1"),
        deferred("e1"),
        started("e1", attempt=2),
    ]


@pytest.mark.parametrize(
    "end", [delivered("e1"), EventDiscarded(event=E1, reason="by an operator", at=4.0)]
)
def test_a_history_ends_with_the_event(journal: Journal, end: Record) -> None:
    commit(journal, FIRST, accepted("e1"), end, QueueHeld(reason="later", at=5.0))

    assert records_of(journal.history(E1)) == [accepted("e1"), end]


def test_a_dead_letter_may_go_on(journal: Journal) -> None:
    records = [
        accepted("e1"),
        EventDeadLettered(event=E1, reason="http_400", detail="", at=2.0),
        EventRetried(event=E1, position=2, at=3.0),
        started("e1", attempt=2),
        delivered("e1"),
    ]
    commit(journal, FIRST, *records)

    assert records_of(journal.history(E1)) == records


def test_a_history_tells_what_happened_to_the_whole_queue_meanwhile(journal: Journal) -> None:
    queue = [
        QueueHeld(reason="maintenance " * 20, at=2.0),
        QueueReleased(at=3.0),
        ActorRestarted(reason="its actor failed", at=4.0),
    ]
    commit(journal, FIRST, QueueHeld(reason="before", at=0.5))
    commit(journal, FIRST, accepted("e1"), *queue)
    commit(journal, SECOND, QueueHeld(reason="another queue", at=3.5))

    assert records_of(journal.history(E1)) == [accepted("e1"), *queue]


def test_an_event_that_only_mentions_the_id_is_not_part_of_the_history(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"), accepted("e2", body=b'{"about":"e1, typeQueueHeld"}'))

    assert records_of(journal.history(E1)) == [accepted("e1")]


def test_an_unknown_event_has_no_history(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"))

    for event in ("e", "e11", "", "e" * 2_000):
        assert list(journal.history(EventId(event))) == []


def test_backwards_reads_from_the_newest_entry_to_the_oldest(shelf: Shelf) -> None:
    assert list(shelf.journal.backwards()) == []
    shelf.journal.commit([append(FIRST, accepted("e1")), append(SECOND, accepted("e2"))])
    commit(shelf.journal, FIRST, started("e1"), delivered("e1"))

    for journal in shelf.before_and_after_a_restart():
        assert seqs_of(journal.backwards()) == [4, 3, 2, 1]
        assert seqs_of(journal.backwards(3)) == [2, 1]
        assert seqs_of(journal.backwards(1)) == []
        assert seqs_of(journal.backwards(99)) == [4, 3, 2, 1]
        assert seqs_of(journal.backwards(None, FIRST)) == [4, 3, 1]
        assert seqs_of(journal.backwards(4, FIRST)) == [3, 1]
        assert seqs_of(journal.backwards(None, SECOND)) == [2]
        assert seqs_of(journal.backwards(2, SECOND)) == []
        assert seqs_of(journal.backwards(None, type(FIRST)(3))) == []
        assert next(journal.backwards()).record == delivered("e1")


def test_the_history_of_a_removed_event_is_gone(shelf: Shelf) -> None:
    commit(shelf.journal, FIRST, accepted("e1"), started("e1"), delivered("e1"))
    shelf.journal.remove(list(shelf.journal.entries(FIRST))[:1])

    for journal in shelf.before_and_after_a_restart():
        assert list(journal.history(E1)) == []
