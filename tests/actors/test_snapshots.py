"""Snapshots say what the records before them say, whatever else happens in the same moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import outbox
from actors.core.commands import HoldQueue, ReleaseQueue
from actors.core.evolve import evolve
from actors.core.state import QueueState, from_snapshot, to_snapshot
from actors.core.verdict import Deferred
from actors.messages import SaveSnapshot
from tests.actors.running_actors import RunningActors, WallClock, wait_for
from tests.actors.scripted_pagerduty import Hold

DAY = 86_400.0


def test_a_snapshot_holds_the_delivery_that_starts_as_it_is_saved(tmp_path: Path) -> None:
    clock = WallClock()
    with RunningActors(tmp_path, clock=clock) as actors:
        actors.pagerduty.answer = lambda event: Deferred(reason="server_error", retry_after=DAY)
        actors.accepted()
        wait_for(lambda: actors.entry().state.failures == 1, "the first attempt")
        actors.pagerduty.answer = hold = Hold()
        clock.now += DAY
        sequencer = actors.entry().sequencer
        assert sequencer is not None
        sequencer.tell(SaveSnapshot())  # it finds the next attempt due
        assert hold.reached.acquire(timeout=15)
        saved = actors.journal.snapshot(actors.entry().id)
        assert saved is not None
        assert from_snapshot(saved.pieces).in_flight is not None
        assert from_snapshot(saved.pieces).counters.started == 2
        hold.release()


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_a_snapshot_is_what_the_records_up_to_it_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(outbox, "SNAPSHOT_EVERY", every)
    with RunningActors(tmp_path) as actors:
        events = actors.accepted(count=5)
        actors.perform(HoldQueue("test"))
        events += actors.accepted(count=5)
        actors.perform(ReleaseQueue())
        actors.wait_until_delivered(events)
        queue = actors.entry().id
        wait_for(lambda: not actors.entry().state.waiting, "an empty queue")
        saved = actors.journal.snapshot(queue)
        assert saved is not None
        replayed = QueueState(queue=queue)
        for entry in actors.journal.entries(queue):
            if entry.seq <= saved.seq:
                evolve(replayed, entry.record)
        assert to_snapshot(replayed) == saved.pieces
