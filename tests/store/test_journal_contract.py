"""What every journal promises, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from store.errors import JournalFullError
from store.port import Append, Journal
from store.records import EventId, QueueId, QueueReleased, RoutingKey
from tests.store.conftest import Shelf
from tests.store.sample_records import (
    FIRST,
    KEYS,
    SECOND,
    accepted,
    append,
    commit,
    delivered,
    everything_in,
    records_of,
    scanned,
    seqs_of,
    started,
)


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert list(scanned(journal)) == []
    assert journal.queues() == {}
    assert list(journal.entries(FIRST)) == []
    assert journal.snapshot(FIRST) is None
    assert journal.accepted(EventId("e1")) is None
    assert journal.find_events("", 10) == []
    assert journal.usage().entries == 0


def test_a_journal_has_an_agent_id_that_stays(shelf: Shelf) -> None:
    agent_id = shelf.journal.agent_id

    assert agent_id
    assert shelf.reopened().agent_id == agent_id


def test_records_are_numbered_from_one_in_the_order_of_the_commits(journal: Journal) -> None:
    assert commit(journal, FIRST, accepted("e1"), started("e1")) == 2
    assert commit(journal, SECOND, accepted("e2")) == 3
    assert seqs_of(scanned(journal)) == [1, 2, 3]
    assert records_of(scanned(journal)) == [accepted("e1"), started("e1"), accepted("e2")]


def test_all_appends_of_a_commit_get_their_numbers_in_the_order_given(journal: Journal) -> None:
    last = journal.commit(
        [
            append(SECOND, accepted("e1")),
            append(FIRST, accepted("e2"), started("e2")),
            append(SECOND, started("e1")),
        ]
    )

    assert last == 4
    assert [(e.queue, e.seq) for e in scanned(journal)] == [
        (FIRST, 2),
        (FIRST, 3),
        (SECOND, 1),
        (SECOND, 4),
    ]
    assert seqs_of(journal.backwards()) == [4, 3, 2, 1]


def test_a_commit_without_records_takes_no_number(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"))

    assert journal.commit([append(FIRST)]) == 1
    assert journal.commit([]) == 1
    assert commit(journal, FIRST, started("e1")) == 2


def test_one_queue_is_read_without_the_records_of_others(journal: Journal) -> None:
    journal.commit([append(FIRST, accepted("e1")), append(SECOND, accepted("e2"))])
    commit(journal, FIRST, started("e1"))

    assert records_of(journal.entries(FIRST)) == [accepted("e1"), started("e1")]
    assert records_of(journal.entries(SECOND)) == [accepted("e2")]
    assert list(journal.entries(QueueId(3))) == []


def test_a_scan_leaves_out_what_is_known_of_a_queue(journal: Journal) -> None:
    journal.commit([append(FIRST, accepted("e1"), started("e1")), append(SECOND, accepted("e2"))])
    commit(journal, FIRST, delivered("e1"))

    assert seqs_of(scanned(journal, {FIRST: 1})) == [2, 4, 3]
    assert seqs_of(scanned(journal, {FIRST: 4, SECOND: 3})) == []


def test_reading_begins_behind_the_number_given(journal: Journal) -> None:
    journal.commit([append(FIRST, accepted("e1")), append(SECOND, accepted("e2"))])
    journal.commit([append(FIRST, started("e1")), append(SECOND, started("e2"))])

    assert seqs_of(journal.entries(FIRST, 1)) == [3]
    assert seqs_of(journal.entries(FIRST, 2)) == [3]
    assert seqs_of(journal.entries(FIRST, 3)) == []


def test_queue_ids_that_differ_in_one_byte_are_kept_apart(journal: Journal) -> None:
    ids = [QueueId(number) for number in (1, 255, 256, 257, 65_536, 2**31)]
    journal.commit(
        [
            Append(
                queue=queue,
                records=[accepted(f"e{queue}")],
                routing_key=RoutingKey(f"key {queue}"),
            )
            for queue in ids
        ]
    )

    for queue in ids:
        assert records_of(journal.entries(queue)) == [accepted(f"e{queue}")]
    assert journal.queues() == {queue: f"key {queue}" for queue in ids}


def test_a_queue_is_known_by_its_routing_key(shelf: Shelf) -> None:
    journal = shelf.journal
    journal.commit([append(FIRST, accepted("e1")), append(SECOND, accepted("e2"))])
    journal.commit([Append(queue=FIRST, records=[started("e1")])])

    assert journal.queues() == KEYS
    assert shelf.reopened().queues() == KEYS


def test_a_snapshot_covers_its_own_append_and_all_before(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"))
    journal.commit(
        [
            append(FIRST, started("e1"), snapshot=b"folded"),
            append(SECOND, accepted("e2"), accepted("e3")),
        ]
    )

    snapshot = journal.snapshot(FIRST)
    assert snapshot is not None
    assert snapshot.pieces == (b"folded",)
    assert list(journal.entries(FIRST, snapshot.seq)) == []
    assert journal.snapshot(SECOND) is None


def test_what_follows_a_snapshot_in_the_same_commit_lies_behind_it(journal: Journal) -> None:
    journal.commit([append(FIRST, accepted("e1"), snapshot=b"one"), append(FIRST, started("e1"))])

    snapshot = journal.snapshot(FIRST)
    assert snapshot is not None
    assert records_of(journal.entries(FIRST, snapshot.seq)) == [started("e1")]


def test_a_snapshot_comes_back_in_its_pieces_and_leaves_nothing_of_a_longer_one(
    shelf: Shelf,
) -> None:
    def pieces(count: int) -> Iterator[bytes]:
        for number in range(count):
            yield b"%d of the pieces" % number

    commit(shelf.journal, SECOND, accepted("e0"))
    shelf.journal.commit([append(SECOND, snapshot=b"another")])
    for count in (1, 5, 3, 0):
        shelf.journal.commit([Append(queue=FIRST, snapshot=pieces(count))])
        for journal in shelf.before_and_after_a_restart():
            snapshot = journal.snapshot(FIRST)
            assert snapshot is not None
            assert snapshot.pieces == (tuple(pieces(count)) or (b"",))
            another = journal.snapshot(SECOND)
            assert another is not None
            assert another.pieces == (b"another",)


def test_only_the_last_snapshot_is_kept(shelf: Shelf) -> None:
    for number in range(3):
        shelf.journal.commit([append(FIRST, accepted(f"e{number}"), snapshot=b"%d" % number)])

    for journal in shelf.before_and_after_a_restart():
        snapshot = journal.snapshot(FIRST)
        assert snapshot is not None
        assert (snapshot.seq, snapshot.pieces) == (3, (b"2",))


def test_a_snapshot_may_come_without_records_and_may_be_empty(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"))
    journal.commit([append(FIRST, snapshot=b"")])

    snapshot = journal.snapshot(FIRST)
    assert snapshot is not None
    assert (snapshot.seq, snapshot.pieces) == (1, (b"",))


def test_an_accepted_event_is_found_by_its_id(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"), started("e1"), delivered("e1"), accepted("e2"))

    entry = journal.accepted(EventId("e2"))
    assert entry is not None
    assert (entry.seq, entry.queue, entry.record) == (4, FIRST, accepted("e2"))
    assert journal.accepted(EventId("e3")) is None


def test_event_ids_are_found_by_prefix_in_order_up_to_a_limit(journal: Journal) -> None:
    commit(journal, FIRST, *(accepted(event) for event in ("b2", "a1", "b1", "c", "b10")))

    assert journal.find_events("b", 10) == ["b1", "b10", "b2"]
    assert journal.find_events("b", 2) == ["b1", "b10"]
    assert journal.find_events("b", 0) == []
    assert journal.find_events("", 2) == ["a1", "b1"]
    assert journal.find_events("d", 10) == []


def test_event_ids_are_found_by_a_part_if_none_begins_with_it(journal: Journal) -> None:
    commit(journal, FIRST, *(accepted(event) for event in ("b2", "a1", "b1", "2c")))

    assert journal.find_events("1", 10) == ["a1", "b1"]
    assert journal.find_events("1", 1) == ["a1"]
    assert journal.find_events("2", 10) == ["2c"]


def test_a_removed_entry_is_gone_from_every_index(shelf: Shelf) -> None:
    commit(shelf.journal, FIRST, accepted("e1"), started("e1"), delivered("e1"), accepted("e2"))
    shelf.journal.remove(list(shelf.journal.entries(FIRST))[:3])

    for journal in shelf.before_and_after_a_restart():
        assert seqs_of(scanned(journal)) == [4]
        assert seqs_of(journal.entries(FIRST)) == [4]
        assert journal.accepted(EventId("e1")) is None
        assert journal.find_events("", 10) == ["e2"]
        assert journal.usage().entries == 1


def test_entries_of_one_append_can_be_removed_one_by_one(shelf: Shelf) -> None:
    records = [
        accepted("e1"),
        started("e1"),
        accepted("e2", position=2),
        delivered("e1"),
        started("e2"),
    ]
    commit(shelf.journal, FIRST, *records)
    commit(shelf.journal, FIRST, delivered("e2"))
    left = list(range(1, 7))
    for seq in (2, 1, 5, 3, 6, 4):
        [entry] = [each for each in shelf.journal.entries(FIRST) if each.seq == seq]
        shelf.journal.remove([entry])
        left.remove(seq)
        for journal in shelf.before_and_after_a_restart():
            assert seqs_of(scanned(journal)) == left
            assert seqs_of(journal.backwards(queue=FIRST)) == left[::-1]
            for after in range(7):
                assert seqs_of(journal.entries(FIRST, after)) == [n for n in left if n > after]
                below = [n for n in reversed(left) if n < after]
                assert seqs_of(journal.backwards(after, FIRST)) == below
            known = {event: journal.accepted(EventId(event)) for event in ("e1", "e2")}
            assert [event for event in known if known[event]] == [
                event for event, at in (("e1", 1), ("e2", 3)) if at in left
            ]


def test_a_queue_and_its_snapshot_outlive_its_entries(shelf: Shelf) -> None:
    shelf.journal.commit([append(FIRST, accepted("e1"), snapshot=b"folded")])
    shelf.journal.remove(list(scanned(shelf.journal)))

    journal = shelf.reopened()
    snapshot = journal.snapshot(FIRST)
    assert snapshot is not None
    assert (snapshot.seq, snapshot.pieces) == (1, (b"folded",))
    assert journal.queues() == {FIRST: KEYS[FIRST]}


def test_numbers_are_never_used_twice_even_when_the_newest_entries_were_removed(
    shelf: Shelf,
) -> None:
    commit(shelf.journal, FIRST, accepted("e1"), accepted("e2"), accepted("e3"))
    shelf.journal.remove(list(scanned(shelf.journal)))

    assert commit(shelf.reopened(), FIRST, accepted("e4")) == 4
    shelf.journal.remove(list(scanned(shelf.journal)))
    assert commit(shelf.reopened(), FIRST, accepted("e5")) == 5
    assert seqs_of(scanned(shelf.journal)) == [5]


def test_ids_that_could_never_be_stored_are_unknown(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"))

    for event in (EventId(""), EventId("e" * 2_000), EventId("é" * 300)):
        assert journal.accepted(event) is None
    assert journal.find_events("e" * 2_000, 10) == []


def test_removing_what_is_gone_already_does_nothing(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"), accepted("e2"))
    first = list(scanned(journal))[:1]
    journal.remove(first)
    journal.remove(first)

    assert seqs_of(scanned(journal)) == [2]


def test_removing_an_old_entry_twice_spares_a_later_event_with_the_same_id(
    journal: Journal,
) -> None:
    commit(journal, FIRST, accepted("e1"), delivered("e1"))
    old = list(scanned(journal))
    journal.remove(old)
    commit(journal, FIRST, accepted("e1", position=2))
    journal.remove(old)

    entry = journal.accepted(EventId("e1"))
    assert entry is not None
    assert entry.record == accepted("e1", position=2)
    assert journal.find_events("", 10) == ["e1"]


def test_all_that_was_committed_is_there_after_a_restart(shelf: Shelf) -> None:
    shelf.journal.commit([append(FIRST, accepted("e1"), snapshot=b"folded")])
    shelf.journal.commit([append(SECOND, accepted("e2"), started("e2")), append(FIRST)])
    before = everything_in(shelf.journal)

    assert everything_in(shelf.reopened()) == before
    assert commit(shelf.journal, SECOND, delivered("e2")) == 4


def test_recovering_a_sound_journal_changes_nothing(journal: Journal) -> None:
    journal.commit([append(FIRST, accepted("e1"), snapshot=b"folded")])
    before = everything_in(journal)
    journal.recover()

    assert everything_in(journal) == before
    assert commit(journal, FIRST, started("e1")) == 2


def test_a_body_of_half_a_megabyte_comes_back_byte_for_byte(shelf: Shelf) -> None:
    body = bytes(range(256)) * 2_000
    commit(shelf.journal, FIRST, accepted("e1", body=body))

    entry = shelf.reopened().accepted(EventId("e1"))
    assert entry is not None
    assert entry.record == accepted("e1", body=body)


def test_an_iterator_may_stay_open_while_more_is_committed(journal: Journal) -> None:
    commit(journal, FIRST, accepted("e1"), accepted("e2"))
    reading = scanned(journal)
    assert next(reading).seq == 1
    commit(journal, FIRST, accepted("e3"))

    assert seqs_of(reading)[:1] == [2]
    assert seqs_of(scanned(journal)) == [1, 2, 3]


def test_new_events_are_admitted_until_the_limit_and_again_after_removal(
    make_shelf: Callable[[int], Shelf],
) -> None:
    journal = make_shelf(4 << 20).journal
    count = 0
    with pytest.raises(JournalFullError, match=r"full|reached"):
        while True:
            journal.admit()
            count += 1
            commit(journal, FIRST, accepted(f"e{count}", body=bytes(100_000)))
    assert 20 <= count <= 45
    usage = journal.usage()
    assert usage.used >= usage.limit == 4 << 20
    with pytest.raises(JournalFullError):
        journal.admit()

    for number in range(1, count + 1):
        commit(journal, FIRST, started(f"e{number}"), delivered(f"e{number}"))
    assert seqs_of(scanned(journal)) == list(range(1, 3 * count + 1))

    journal.remove(list(scanned(journal)))
    journal.admit()
    commit(journal, FIRST, accepted("later"))
    assert journal.find_events("", 2) == ["later"]


def test_records_of_a_whole_queue_have_no_event(journal: Journal) -> None:
    commit(journal, FIRST, QueueReleased(at=1.0))

    assert records_of(journal.entries(FIRST)) == [QueueReleased(at=1.0)]
    assert journal.find_events("", 10) == []
