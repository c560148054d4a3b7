"""Waiting events in memory: deliveries find them, and they never take more than their room."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import bodies
from actors.bodies import Bodies
from actors.core.commands import DiscardEvents, HoldQueue, ReleaseQueue
from actors.core.verdict import Delivered, Rejected, Verdict
from actors.ports import OutgoingEvent
from store.records import EventAccepted, EventDelivered, EventId
from tests.actors.running_actors import RunningActors, new_event, wait_for
from tests.actors.scripted_pagerduty import ScriptedPagerDuty


def test_an_event_that_is_delivered_is_not_read_from_the_journal(tmp_path: Path) -> None:
    read: list[EventId] = []
    with RunningActors(tmp_path) as actors:
        actors.journal.before_accepted = read.append
        actors.perform(HoldQueue("a test"))
        events = actors.accepted(count=20)
        actors.perform(ReleaseQueue())
        actors.wait_until_delivered(events)
    assert read == []


def test_events_without_room_are_read_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "ROOM", 5_000)
    read: list[EventId] = []
    with RunningActors(tmp_path) as actors:
        actors.perform(HoldQueue("a test"))
        events = actors.accepted(count=20)
        actors.journal.before_accepted = read.append
        actors.perform(ReleaseQueue())
        actors.wait_until_delivered(events)
    assert read
    assert read == events[-len(read) :], "the first ones had room"


def test_whatever_ends_an_event_makes_room_again(tmp_path: Path) -> None:
    def answer(event: OutgoingEvent) -> Verdict:
        refused = event.event_id in wrong
        return Rejected(reason="http_400", detail="no") if refused else Delivered(status=202)

    wrong: set[str] = set()
    with RunningActors(tmp_path, ScriptedPagerDuty(answer)) as actors:
        kept = actors.system._around.bodies
        free = kept._free
        actors.perform(HoldQueue("a test"))
        delivered, refused, discarded = actors.accepted(count=3)
        assert kept._free < free
        wrong.add(refused)
        actors.perform(DiscardEvents((discarded,), reason="a test"))
        actors.perform(ReleaseQueue())
        actors.wait_until_delivered([delivered])
        wait_for(lambda: actors.system.totals()["dead_lettered"] == 1, "the dead letter")
        wait_for(lambda: kept._free == free, "the room of all three")
        assert [kept.get(event) for event in (delivered, refused, discarded)] == [None] * 3


def test_the_room_is_never_exceeded_and_an_event_is_kept_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "ROOM", 10_000)
    kept, records = Bodies(), [_accepted(number) for number in range(100)]
    kept.note(records + records)
    known = [record for record in records if kept.get(record.event) is record]
    assert known == records[: len(known)]
    assert 5 < len(known) < 20
    kept.note([EventDelivered(event=record.event, status=202, at=0.0) for record in records])
    kept.note(records[50:])
    assert [record for record in records if kept.get(record.event)] == records[50 : 50 + len(known)]


def _accepted(number: int) -> EventAccepted:
    event = new_event(body=b"x" * 200)
    return EventAccepted(
        event=event.id,
        position=number,
        kind="v2",
        action="trigger",
        dedup_key="x",
        body=event.body,
        at=0.0,
    )
