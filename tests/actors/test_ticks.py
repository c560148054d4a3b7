"""What the Supervisor does four times a second costs the same for any number of idle queues."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors import supervisor, system
from actors.directory import QueueEntry
from store.lmdb_journal import LmdbJournal
from store.port import Append
from store.records import QueueHeld, QueueId, QueueReleased, RoutingKey
from tests.actors.running_actors import LIMIT, RunningActors, wait_for


def test_a_tick_of_the_supervisor_touches_no_idle_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = 2_000
    now = time.time()
    touched: Counter[int] = Counter()

    class Watched(QueueEntry):
        """Notes what the Supervisor's thread does with it."""

        def __getattribute__(self, name: str) -> Any:
            if threading.current_thread().name.startswith("Supervisor"):
                touched[super().__getattribute__("id")] += 1
            return super().__getattribute__(name)

    journal = LmdbJournal(tmp_path, limit=LIMIT)
    journal.commit(
        [
            Append(
                queue=QueueId(number),
                routing_key=RoutingKey(f"{number:032x}"),
                records=[QueueHeld(reason="a test", at=now), QueueReleased(at=now)],
            )
            for number in range(1, known + 1)
        ]
    )
    journal.close()
    monkeypatch.setattr(system, "QueueEntry", Watched)
    monkeypatch.setattr(supervisor, "TICK", 0.01)
    with RunningActors(tmp_path) as actors:
        keys = [f"{number:032x}" for number in (7, 1_000, known)]
        for key in keys:
            actors.accepted(key)
        active = {actors.entry(key).id for key in keys}
        touched.clear()
        wait_for(lambda: min(touched[queue] for queue in active) > 20, "some ticks")
        assert set(touched) == active
        assert len(actors.system.directory) == known
