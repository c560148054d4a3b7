"""Which entries may go: all of an event together, long enough after its end, behind a snapshot."""

from __future__ import annotations

from store.port import Journal
from store.records import (
    DeliveryDeferred,
    EventDeadLettered,
    EventDiscarded,
    EventId,
    QueueHeld,
    Record,
)
from store.retention import ended_before, middle_attempts
from tests.store.sample_records import (
    FIRST,
    SECOND,
    accepted,
    append,
    commit,
    delivered,
    seqs_of,
    started,
)

MANY = 1_000
LATE = 100.0


def save(journal: Journal) -> None:
    """A snapshot that covers all there is."""
    journal.commit([append(FIRST, snapshot=b"state")])


def dead(event: str, at: float) -> Record:
    return EventDeadLettered(event=EventId(event), reason="http_400", detail="", at=at)


def deferred(event: str, at: float) -> Record:
    return DeliveryDeferred(
        event=EventId(event), reason="unreachable", detail="", at=at, retry_at=at
    )


def test_an_events_entries_go_together_once_it_ended_before_that_time(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    commit(journal, FIRST, accepted("b", at=3.0), started("b"), delivered("b", at=LATE))
    save(journal)
    assert seqs_of(ended_before(journal, FIRST, LATE, MANY).entries) == [1, 2, 3]
    assert seqs_of(ended_before(journal, FIRST, LATE + 1, MANY).entries) == [1, 2, 3, 4, 5, 6]


def test_one_that_ended_at_that_very_time_stays(journal: Journal) -> None:
    """So a request is remembered for at least as long as the retention says."""
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a", at=LATE))
    save(journal)
    assert ended_before(journal, FIRST, LATE, MANY).entries == []


def test_waiting_and_dead_events_stay_however_old_they_are(journal: Journal) -> None:
    commit(journal, FIRST, accepted("waiting"), started("waiting"), deferred("waiting", 2.0))
    commit(journal, FIRST, accepted("dead"), started("dead"), dead("dead", 3.0))
    commit(journal, FIRST, accepted("done"), started("done"), delivered("done"))
    save(journal)
    gone = {entry.record.event for entry in ended_before(journal, FIRST, 1e9, MANY).entries}  # type: ignore[union-attr]
    assert gone == {"done"}


def test_discarded_events_and_old_records_about_the_queue_go(journal: Journal) -> None:
    discarded = EventDiscarded(event=EventId("a"), reason="by an operator", at=3.0)
    commit(journal, FIRST, accepted("a"), QueueHeld(reason="test", at=2.0), discarded)
    save(journal)
    assert sorted(seqs_of(ended_before(journal, FIRST, LATE, MANY).entries)) == [1, 2, 3]


def test_nothing_goes_that_no_snapshot_covers(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    assert ended_before(journal, FIRST, LATE, MANY).entries == []
    save(journal)
    commit(journal, FIRST, accepted("b"), started("b"), delivered("b"))
    assert seqs_of(ended_before(journal, FIRST, LATE, MANY).entries) == [1, 2, 3]


def test_other_queues_are_not_concerned(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    commit(journal, SECOND, accepted("b"), started("b"), delivered("b"))
    save(journal)
    journal.commit([append(SECOND, snapshot=b"state")])
    assert seqs_of(ended_before(journal, SECOND, LATE, MANY).entries) == [4, 5, 6]


def test_much_that_may_go_is_chosen_in_portions_of_whole_events(journal: Journal) -> None:
    for number in range(10):
        event = f"{number}"
        commit(journal, FIRST, accepted(event), started(event), delivered(event))
    save(journal)
    portions = []
    while portion := ended_before(journal, FIRST, LATE, 7).entries:
        portions.append(len(portion))
        journal.remove(portion)
    assert portions == [9, 9, 9, 3]
    assert list(journal.scan()) == []


def test_of_very_many_attempts_the_last_are_kept(journal: Journal) -> None:
    """So a journal outlasts an outage of weeks."""
    commit(journal, FIRST, accepted("a"))
    for attempt in range(1, 11):
        commit(journal, FIRST, started("a", attempt=attempt), deferred("a", 2.0 + attempt))
    commit(journal, FIRST, accepted("b", position=2))
    assert middle_attempts(journal, FIRST, EventId("a"), 4) == [], "no snapshot covers them"
    save(journal)
    commit(journal, FIRST, started("a", attempt=11))
    chosen = middle_attempts(journal, FIRST, EventId("a"), 4)
    assert seqs_of(chosen) == list(range(2, 18))
    assert middle_attempts(journal, FIRST, EventId("unknown"), 4) == []
