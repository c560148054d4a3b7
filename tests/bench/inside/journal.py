"""Writes the journal of an agent that has been busy, with the checkout that is the directory.

    python inside/journal.py DIRECTORY KEYS DELIVERED WAITING held|active

Per key: DELIVERED events that were delivered, WAITING events. An active queue has no snapshot, so
that a start has to apply each record. A held one has a snapshot of its first event, so that the
next record but one makes its Sequencer save another. Prints the number of records.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from actors.core.evolve import evolve
from actors.core.state import QueueState, to_snapshot
from pdagent.events.ids import new_event_id
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import (
    DeliveryStarted,
    EventAccepted,
    EventDelivered,
    EventId,
    QueueHeld,
    QueueId,
    Record,
    RoutingKey,
)

_BATCH = 20_000
_BODY = json.dumps(
    {
        "routing_key": "",
        "event_action": "trigger",
        "dedup_key": "web-17/disk",
        "payload": {
            "summary": "disk usage on /var is 97%",
            "source": "web-17.example.com",
            "severity": "critical",
            "custom_details": {"free": "1.2 GB", "used": "97%", "check": "disk"},
        },
    }
).encode()


def lives(delivered: int, waiting: int, now: float) -> Iterator[Record]:
    """The records of one queue."""
    for position in range(1, delivered + waiting + 1):
        event, at = EventId(new_event_id()), now - 600 + position / 1000
        yield EventAccepted(
            event=event,
            position=position,
            kind="v2",
            action="trigger",
            dedup_key=event,
            body=_BODY,
            at=at,
        )
        if position <= delivered:
            yield DeliveryStarted(event=event, attempt=1, at=at)
            yield EventDelivered(event=event, status=202, at=at, seconds=0.1)


def appends(keys: int, delivered: int, waiting: int, *, held: bool) -> Iterator[Append]:
    """All queues' records, each queue's in pieces."""
    now = time.time()
    for number in range(1, keys + 1):
        queue, key = QueueId(number), RoutingKey(f"{number:032d}")
        records = list(lives(delivered, waiting, now))
        if held:
            first = (QueueHeld(reason="bench", at=now - 700), records.pop(0))
            snapshot = snapshot_of(queue, first)
            yield Append(queue=queue, records=first, routing_key=key, snapshot=snapshot)
        for begin in range(0, len(records), _BATCH):
            yield Append(
                queue=queue,
                records=tuple(records[begin : begin + _BATCH]),
                routing_key=None if begin or held else key,
            )


def snapshot_of(queue: QueueId, records: Iterable[Record]) -> Any:
    """Of a queue with these records, as the checkout's journal wants it."""
    state = QueueState(queue=queue)
    for record in records:
        evolve(state, record)
    return to_snapshot(state)


def main(directory: Path, keys: int, delivered: int, waiting: int, *, held: bool) -> None:
    """Write it all."""
    journal = LmdbJournal(directory, limit=8 << 30)
    batch: list[Append] = []
    pending = total = 0
    for append in appends(keys, delivered, waiting, held=held):
        batch.append(append)
        pending += len(append.records)
        total += len(append.records)
        if pending >= _BATCH:
            journal.commit(batch)
            batch, pending = [], 0
    if batch:
        journal.commit(batch)
    journal.close()
    print(total)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), held=sys.argv[5] == "held")
