"""What is kept for how long, and what a full journal gives up first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors import janitor, outbox
from actors.core.commands import DiscardEvents, HoldQueue, Receipt
from actors.core.verdict import Delivered, Rejected
from actors.janitor import Janitor
from store.errors import JournalFullError
from store.records import Entry, QueueId
from tests.actors.running_actors import RunningActors, WallClock, idempotent, wait_for

HOUR = 3_600.0
WEEK = 7 * 24 * HOUR


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of an agent whose janitor goes round every few milliseconds."""
    monkeypatch.setattr(janitor, "PERIOD", 0.02)
    monkeypatch.setattr(janitor, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(janitor, "_BELIEVED_AFTER", 10)
    return WallClock()


def rounds(clock: WallClock, count: int = 3) -> None:
    """Wait until the janitor has looked at the time again, several times."""
    before = clock.reads
    wait_for(lambda: clock.reads >= before + count, "the janitor's rounds")


def test_a_repeated_request_gets_its_first_receipt_for_as_long_as_the_retention(
    tmp_path: Path, clock: WallClock
) -> None:
    event = idempotent("once")
    with RunningActors(tmp_path, clock=clock, retention=WEEK, passivate_after=0.02) as actors:
        receipt = actors.accept(event=event).answer()
        assert isinstance(receipt, Receipt)
        again = msgspec.structs.replace(receipt, repeated=True)
        actors.wait_until_delivered([event.id])
        wait_for(lambda: actors.entry().phase == "stopped", "a snapshot of it")
        clock.now += WEEK - 60
        rounds(clock)
        assert actors.accept(event=event).answer() == again
    with RunningActors(tmp_path, clock=clock, retention=WEEK, passivate_after=0.02) as actors:
        assert actors.accept(event=event).answer() == again
        assert actors.entry().state.counters.accepted == 1
        clock.now += 120
        wait_for(lambda: actors.journal.accepted(event.id) is None, "it is forgotten after that")
        assert actors.system.totals()["accepted"] == 1, "counters live on"


def test_an_event_whose_end_lies_beyond_the_last_snapshot_is_forgotten_too(
    tmp_path: Path, clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SNAPSHOT_EVERY", 2)
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        (event,) = actors.accepted()  # and its delivery has begun
        actors.wait_until_delivered([event])
    clock.now += WEEK + 1
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        assert actors.entry().state.counters.delivered == 1
        wait_for(lambda: actors.journal.accepted(event) is None, "it is forgotten")


def test_dead_letters_expire_after_the_retention_and_no_sooner(
    tmp_path: Path, clock: WallClock
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        actors.accepted()
        wait_for(lambda: actors.entry().state.dead, "a dead letter")
        clock.now += WEEK - 1
        rounds(clock)
        assert actors.entry().state.dead
        clock.now += 2
        wait_for(lambda: not actors.entry().state.dead, "its end")
        assert actors.entry().state.counters.discarded == 1


def test_a_full_journal_gives_up_history_before_it_refuses_for_good_and_no_dead_letter(
    tmp_path: Path, clock: WallClock
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: (
            Rejected(reason="http_400") if event.event_id == "bad" else Delivered(status=202)
        )
        for name in ("bad", "good"):
            assert isinstance(actors.accept(event=idempotent(name)).answer(), Receipt)
        wait_for(lambda: actors.entry().state.counters.delivered, "the delivery is decided")
        clock.now += 2 * HOUR
        rounds(clock)
        assert actors.journal.accepted(idempotent("good").id)

        full = threading.Event()

        def full_while_good_is_there() -> None:
            if actors.journal.accepted(idempotent("good").id):
                full.set()
                raise JournalFullError("the journal is full")

        actors.journal.before_admit = full_while_good_is_there
        actors.accepted()  # the one that fills it
        assert full.wait(15)
        wait_for(lambda: not actors.journal.accepted(idempotent("good").id), "its removal")
        wait_for(lambda: actors.system.admission.refusal is None, "room again")
        assert list(actors.entry().state.dead) == ["bad"]
        assert actors.journal.accepted(idempotent("bad").id)


def test_what_waits_and_what_died_is_not_read_again_in_each_round(
    tmp_path: Path, clock: WallClock
) -> None:
    """A full journal is looked at each second: reading all that waits would take as long."""
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        actors.accepted(count=3)
        wait_for(lambda: len(actors.entry().state.dead) == 3, "dead letters")
        actors.perform(HoldQueue("an outage"))
        actors.accepted(count=3)

        def full() -> None:
            raise JournalFullError("the journal is full")

        read: list[int] = []
        entries = actors.journal.entries

        def noted(queue: QueueId, after: int = 0) -> Iterator[Entry]:
            for entry in entries(queue, after):
                read.append(entry.seq)
                yield entry

        actors.journal.before_admit = full
        actors.accepted()
        wait_for(lambda: actors.system.admission.refusal, "a full journal")
        actors.journal.entries = noted  # type: ignore[method-assign]

        def is_quiet() -> bool:
            read.clear()
            rounds(clock, 5)
            return not read

        wait_for(is_quiet, "rounds that read nothing")
        actors.perform(DiscardEvents(None, "test"))
        wait_for(lambda: not list(entries(actors.entry().id)), "all of it is removed")


def test_a_clock_that_is_ahead_for_a_moment_costs_no_dead_letter(
    tmp_path: Path, clock: WallClock
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        actors.accepted()
        wait_for(lambda: actors.entry().state.dead, "a dead letter")
        rounds(clock)
        clock.now += 2 * WEEK
        rounds(clock, 4)
        clock.now -= 2 * WEEK
        rounds(clock, 12)
        assert actors.entry().state.dead


def test_a_dead_letter_of_a_clock_that_was_ahead_expires_with_the_one_after_it(
    tmp_path: Path, clock: WallClock
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        for number, ahead in enumerate((1_000 * WEEK, 0.0), 1):
            clock.now += ahead
            actors.accepted()
            wait_for(lambda count=number: len(actors.entry().state.dead) == count, "its death")
            clock.now -= ahead
        clock.now += WEEK + 1
        wait_for(lambda: not actors.entry().state.dead, "the end of both")


@pytest.mark.parametrize("jump", [24 * HOUR, -24 * HOUR])
def test_a_full_journal_makes_room_although_the_clock_jumped_for_an_event(
    tmp_path: Path, clock: WallClock, jump: float
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        events = actors.accepted()
        actors.wait_until_delivered(events)
        clock.now += jump
        events += actors.accepted()
        actors.wait_until_delivered(events)
        clock.now -= jump
        events += actors.accepted()
        actors.wait_until_delivered(events)

        full = threading.Event()

        def full_while_they_are_there() -> None:
            if any(actors.journal.accepted(event) for event in events):
                full.set()
                raise JournalFullError("the journal is full")

        actors.journal.before_admit = full_while_they_are_there
        actors.accepted()
        assert full.wait(15)
        wait_for(lambda: not any(map(actors.journal.accepted, events)), "their removal")
        wait_for(lambda: actors.system.admission.refusal is None, "room again")


def test_one_round_removes_about_one_batch_over_all_keys_as_commits_wait_for_it(
    tmp_path: Path, clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 keys with 1,000 records each stopped all commits for a minute."""
    monkeypatch.setattr(janitor, "_BATCH", 20)
    removed = [0]
    go_round, remove = Janitor._go_round, Janitor._remove

    def note_round(self: Janitor, now: float) -> bool:
        removed.append(0)
        return go_round(self, now)

    def note_removal(self: Janitor, entries: list[Entry]) -> None:
        removed[-1] += len(entries)
        remove(self, entries)

    monkeypatch.setattr(Janitor, "_go_round", note_round)
    monkeypatch.setattr(Janitor, "_remove", note_removal)
    keys = [f"{number:032d}" for number in range(30)]
    with RunningActors(tmp_path, clock=clock, retention=WEEK, passivate_after=0.02) as actors:
        for key in keys:
            actors.wait_until_delivered(actors.accepted(key, count=2), key)
        for key in keys:
            wait_for(lambda key=key: actors.entry(key).phase == "stopped", "a snapshot")
        clock.now += WEEK + 1
        wait_for(lambda: sum(removed) >= len(keys) * 6, "all is removed")
    assert max(removed) < 2 * 20
