"""How long a commit takes while another thread computes, with the checkout that is the directory.

    python inside/committing.py DIRECTORY EVENTS COMMITS

Prints the median of some commits in ms. Each has EVENTS events, one per append.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from statistics import median

from pdagent.events.ids import new_event_id
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import EventAccepted, EventId, QueueId, RoutingKey

_KEYS = 200
_SWITCH_INTERVAL = 0.001  # seconds, as in the agent
_BODY = b'{"routing_key":"","event_action":"trigger","payload":"%b"}' % (b"x" * 250)


def batch(first: int, events: int) -> list[Append]:
    """`events` appends of one event each."""
    return [
        Append(
            queue=QueueId(number % _KEYS + 1),
            records=(
                EventAccepted(
                    event=EventId(new_event_id()),
                    position=number // _KEYS + 1,
                    kind="v2",
                    action="trigger",
                    dedup_key="web-17/disk",
                    body=_BODY,
                    at=time.time(),
                ),
            ),
            routing_key=RoutingKey(f"{number % _KEYS:032d}") if number < _KEYS else None,
        )
        for number in range(first, first + events)
    ]


def main(directory: Path, events: int, commits: int) -> None:
    """Measure."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    journal = LmdbJournal(directory, limit=8 << 30)
    batches = [batch(number * events, events) for number in range(commits)]
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            sum(range(1_000))

    computing = threading.Thread(target=compute)
    computing.start()
    took = []
    for appends in batches:
        began = time.perf_counter()
        journal.commit(appends)
        took.append(1000 * (time.perf_counter() - began))
    ended.set()
    computing.join()
    journal.close()
    print(median(took))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
