"""Folds a queue's records into its state: the snapshot first, then what came after it."""

from __future__ import annotations

from collections.abc import Iterable

from actors.core.evolve import evolve, supply_room
from actors.core.state import QueueState, compact, from_snapshot
from actors.directory import QueueEntry
from store.errors import JournalDamagedError
from store.port import Journal
from store.records import EventAccepted, Numbered, QueueId


def recover_queue(journal: Journal, queue: QueueId) -> tuple[QueueState, int]:
    """The queue's state and how many records lie behind its snapshot.

    Reads nothing of other queues. Raises `store.errors.JournalDamagedError`.
    """
    state, after = _from_last_snapshot(journal, queue)
    entries = journal.entries(queue, after)
    return state, _apply(state, ((entry.seq, entry.record) for entry in entries))


def recover_entry(journal: Journal, entry: QueueEntry) -> int:
    """Bring a queue's state up to date; returns how many records lie behind its snapshot.

    What the start has read is not read a second time: with thousands of queues, that would keep
    the first events waiting. Raises `store.errors.JournalDamagedError`.
    """
    if entry.tail is None:
        entry.state, tail = recover_queue(journal, entry.id)
    else:
        tail, entry.tail = entry.tail, None
    return tail


def recover_all(journal: Journal) -> dict[QueueId, tuple[QueueState, int]]:
    """What `recover_queue` gives, for all queues, in one pass that checks every record's checksum.

    The states are compact: most of many queues are idle. Raises `store.errors.JournalDamagedError`
    for a record that is not intact, and for an index that doesn't name all events: one that isn't
    found by its id can't be delivered.
    """
    begun: dict[QueueId, tuple[QueueState, int]] = {}
    covered: dict[QueueId, int] = {}
    for queue in journal.queues():
        state, after = begun[queue] = _from_last_snapshot(journal, queue)
        if not _lacks_rooms(state):
            covered[queue] = after
    tails = dict.fromkeys(begun, 0)
    state, after = QueueState(queue=QueueId(0)), 0
    for queue, records in journal.scan(covered):
        if queue != state.queue:
            compact(state)
            if queue not in begun:
                raise JournalDamagedError(f"its queue {queue} is unknown", seq=records[0][0])
            state, after = begun[queue]
        if queue not in covered:
            for seq, record in records:
                if seq <= after and isinstance(record, EventAccepted):
                    supply_room(state, record)
            records = [each for each in records if each[0] > after]
        tails[queue] += _apply(state, records)
    compact(state)
    return {queue: (state, tails[queue]) for queue, (state, _) in begun.items()}


def _lacks_rooms(state: QueueState) -> bool:
    """Whether an earlier version has saved the snapshot: `supply_room` needs to see its records."""
    rooms = [event.room for event in state.waiting.values()]
    return not all(rooms) or not all(letter.room for letter in state.dead.values())


def _apply(state: QueueState, records: Iterable[Numbered]) -> int:
    """Apply records of one queue in their order; returns how many they are."""
    count = 0
    for seq, record in records:
        try:
            evolve(state, record)
        except KeyError:
            raise JournalDamagedError(
                f"it ({type(record).__name__}) does not fit what came before it", seq=seq
            ) from None
        count += 1
    return count


def _from_last_snapshot(journal: Journal, queue: QueueId) -> tuple[QueueState, int]:
    snapshot = journal.snapshot(queue)
    if snapshot is None:
        return QueueState(queue=queue), 0
    return from_snapshot(snapshot.pieces), snapshot.seq
