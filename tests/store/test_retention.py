"""Which entries may go: all of an event together, long enough after its end, behind a snapshot."""

from __future__ import annotations

from math import inf
from typing import Any

from store.port import Journal
from store.records import (
    DeliveryDeferred,
    Entry,
    EventDeadLettered,
    EventDiscarded,
    EventId,
    QueueHeld,
    QueueId,
    Record,
)
from store.retention import Front, middle_attempts, sweep
from tests.store.sample_records import (
    FIRST,
    SECOND,
    accepted,
    append,
    commit,
    delivered,
    scanned,
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


def swept(journal: Journal, queue: QueueId, before: float, limit: int) -> list[Entry]:
    """What a first sweep chooses, by a clock that no entry's time is ahead of."""
    return sweep(journal, queue, before, limit, now=1e9).entries


def test_an_events_entries_go_together_once_it_ended_before_that_time(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    commit(journal, FIRST, accepted("b", at=3.0), started("b"), delivered("b", at=LATE))
    save(journal)
    assert seqs_of(swept(journal, FIRST, LATE, MANY)) == [1, 2, 3]
    assert seqs_of(swept(journal, FIRST, LATE + 1, MANY)) == [1, 2, 3, 4, 5, 6]


def test_one_that_ended_at_that_very_time_stays(journal: Journal) -> None:
    """So a request is remembered for at least as long as the retention says."""
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a", at=LATE))
    save(journal)
    assert swept(journal, FIRST, LATE, MANY) == []


def test_waiting_and_dead_events_stay_however_old_they_are(journal: Journal) -> None:
    commit(journal, FIRST, accepted("waiting"), started("waiting"), deferred("waiting", 2.0))
    commit(journal, FIRST, accepted("dead"), started("dead"), dead("dead", 3.0))
    commit(journal, FIRST, accepted("done"), started("done"), delivered("done"))
    save(journal)
    gone = {entry.record.event for entry in swept(journal, FIRST, 1e9, MANY)}  # type: ignore[union-attr]
    assert gone == {"done"}


def test_discarded_events_and_old_records_about_the_queue_go(journal: Journal) -> None:
    discarded = EventDiscarded(event=EventId("a"), reason="by an operator", at=3.0)
    commit(journal, FIRST, accepted("a"), QueueHeld(reason="test", at=2.0), discarded)
    save(journal)
    assert sorted(seqs_of(swept(journal, FIRST, LATE, MANY))) == [1, 2, 3]


def test_nothing_goes_that_no_snapshot_covers(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    assert swept(journal, FIRST, LATE, MANY) == []
    save(journal)
    commit(journal, FIRST, accepted("b"), started("b"), delivered("b"))
    assert seqs_of(swept(journal, FIRST, LATE, MANY)) == [1, 2, 3]


def sweep_all(journal: Journal, before: float, now: float, **known: Any) -> list[int]:
    """The numbers of the entries that one sweep of the first queue removes."""
    entries, _ = sweep(journal, FIRST, before, MANY, now=now, **known)
    journal.remove(entries)
    return sorted(seqs_of(entries))


def one_event_at(journal: Journal, event: str, at: float) -> None:
    commit(journal, FIRST, accepted(event, at=at), started(event, at=at), delivered(event, at=at))


def test_a_clock_that_was_ahead_stops_nothing_and_what_it_dated_goes_with_what_came_after(
    journal: Journal,
) -> None:
    for event, at in (("a", 10.0), ("ahead", 90_000.0), ("b", 11.0), ("c", 50.0)):
        one_event_at(journal, event, at)
    save(journal)
    assert sweep_all(journal, 10.5, now=60.0) == [1, 2, 3], "nothing says how old it is"
    assert sweep_all(journal, 20.0, now=60.0) == [4, 5, 6, 7, 8, 9]
    assert sweep_all(journal, 51.0, now=60.0) == [10, 11, 12]


def test_what_a_clock_that_was_ahead_dated_last_goes_when_later_entries_elsewhere_are_old(
    journal: Journal,
) -> None:
    one_event_at(journal, "ahead", 90_000.0)
    save(journal)
    assert sweep_all(journal, 20.0, now=60.0, old_elsewhere=2) == []
    assert sweep_all(journal, 20.0, now=60.0, old_elsewhere=3) == [1, 2, 3]


def test_a_clock_that_was_set_back_ages_nothing(journal: Journal) -> None:
    for event, at in (("a", 10.0), ("b", 50.0), ("back", 1.0), ("c", 55.0)):
        one_event_at(journal, event, at)
    save(journal)
    assert sweep_all(journal, 20.0, now=60.0) == [1, 2, 3]
    assert sweep_all(journal, 54.0, now=60.0) == [4, 5, 6, 7, 8, 9]


def test_without_a_limit_in_time_all_goes_that_has_ended_whatever_its_time(
    journal: Journal,
) -> None:
    for event, at in (("a", 10.0), ("ahead", 90_000.0), ("b", 11.0)):
        one_event_at(journal, event, at)
    save(journal)
    assert sweep_all(journal, inf, now=60.0) == list(range(1, 10))


def test_a_sweep_reads_only_what_is_new_and_goes_back_when_one_that_it_passed_has_ended(
    journal: Journal,
) -> None:
    commit(journal, FIRST, accepted("waits"), started("waits"), deferred("waits", 2.0))
    one_event_at(journal, "a", 3.0)
    commit(journal, FIRST, accepted("b", at=4.0))
    save(journal)

    def again(front: Front, before: float, *alive: str) -> tuple[list[int], Front]:
        entries, front = sweep(journal, FIRST, before, MANY, now=1e9, alive=alive, front=front)
        journal.remove(entries)
        return sorted(seqs_of(entries)), front

    gone, front = again(Front(), 5.0, "waits", "b")
    assert gone == [4, 5, 6]
    assert front.after == 3, "whether the writer removes them is not known yet"
    gone, front = again(front, 5.0, "waits", "b")
    assert (gone, front) == ([], Front(after=7, old=7))

    commit(journal, FIRST, delivered("waits", at=6.0), delivered("b", at=7.0))
    save(journal)
    gone, front = again(front, 6.5, "b")
    assert (gone, front) == ([], Front(after=0, old=8)), "its first entries were passed"
    gone, front = again(front, 6.5, "b")
    assert gone == [1, 2, 3, 8]
    gone, front = again(front, 8.0)
    assert gone == [7, 9]


def test_other_queues_are_not_concerned(journal: Journal) -> None:
    commit(journal, FIRST, accepted("a"), started("a"), delivered("a"))
    commit(journal, SECOND, accepted("b"), started("b"), delivered("b"))
    save(journal)
    journal.commit([append(SECOND, snapshot=b"state")])
    assert seqs_of(swept(journal, SECOND, LATE, MANY)) == [4, 5, 6]


def test_much_that_may_go_is_chosen_in_portions_of_whole_events(journal: Journal) -> None:
    for number in range(10):
        event = f"{number}"
        commit(journal, FIRST, accepted(event), started(event), delivered(event))
    save(journal)
    portions = []
    while portion := swept(journal, FIRST, LATE, 7):
        portions.append(len(portion))
        journal.remove(portion)
    assert portions == [9, 9, 9, 3]
    assert list(scanned(journal)) == []


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
