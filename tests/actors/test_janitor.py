"""What is kept for how long, and what a full journal gives up first."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import janitor
from actors.core.commands import DiscardEvents, HoldQueue, Receipt
from actors.core.verdict import Delivered, Rejected
from store.errors import JournalFullError
from tests.actors.running_actors import RunningActors, WallClock, idempotent, wait_for

HOUR = 3_600.0
WEEK = 7 * 24 * HOUR


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of an agent whose janitor goes round every few milliseconds."""
    monkeypatch.setattr(janitor, "PERIOD", 0.02)
    monkeypatch.setattr(janitor, "PERIOD_WHEN_FULL", 0.02)
    return WallClock()


def rounds(actors: RunningActors, count: int = 3) -> None:
    """Wait until the janitor has looked at the journal again, several times."""
    seen = [0]

    def look(_: object) -> None:
        seen[0] += 1

    actors.journal.before_snapshot = look
    wait_for(lambda: seen[0] >= count, "the janitor's rounds")


def test_a_repeated_request_gets_its_first_receipt_for_as_long_as_the_retention(
    tmp_path: Path, clock: WallClock
) -> None:
    event = idempotent("once")
    with RunningActors(tmp_path, clock=clock, retention=WEEK, passivate_after=0.02) as actors:
        receipt = actors.accept(event=event).answer()
        assert isinstance(receipt, Receipt)
        actors.wait_until_delivered([event.id])
        wait_for(lambda: actors.entry().phase == "resting", "a snapshot of it")
        clock.now += WEEK
        rounds(actors)
        assert actors.accept(event=event).answer() == receipt
    with RunningActors(tmp_path, clock=clock, retention=WEEK, passivate_after=0.02) as actors:
        assert actors.accept(event=event).answer() == receipt
        assert actors.entry().state.counters.accepted == 1
        clock.now += 1
        wait_for(lambda: actors.journal.accepted(event.id) is None, "it is forgotten after that")
        assert actors.entry().state.counters.accepted == 1, "counters live on"


def test_dead_letters_expire_after_the_retention_and_no_sooner(
    tmp_path: Path, clock: WallClock
) -> None:
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.pagerduty.answer = lambda event: Rejected(reason="http_400")
        actors.accepted()
        wait_for(lambda: actors.entry().state.dead, "a dead letter")
        clock.now += WEEK
        rounds(actors)
        assert actors.entry().state.dead
        clock.now += 1
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
        rounds(actors)
        assert actors.journal.accepted(idempotent("good").id)

        def full_while_good_is_there() -> None:
            if actors.journal.accepted(idempotent("good").id):
                raise JournalFullError("the journal is full")

        actors.journal.before_admit = full_while_good_is_there
        actors.accepted()  # the one that fills it
        wait_for(lambda: actors.system.admission.refusal, "a full journal")
        wait_for(lambda: actors.system.admission.refusal is None, "room again")
        assert list(actors.entry().state.dead) == ["bad"]
        assert actors.journal.accepted(idempotent("bad").id)


def test_a_long_queue_in_which_nothing_ends_is_not_read_again_and_again(
    tmp_path: Path, clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During an outage with a full journal, that would cost seconds of computing each time."""
    monkeypatch.setattr(janitor, "_LONGEST_PAUSE", 1_000_000)
    monkeypatch.setattr(janitor, "_MUCH", 0)
    with RunningActors(tmp_path, clock=clock, retention=WEEK) as actors:
        actors.perform(HoldQueue("an outage"))
        actors.accepted(count=3)
        clock.now += 2 * WEEK
        reads = [0]

        def full() -> None:
            raise JournalFullError("the journal is full")

        def look(_: object) -> None:
            reads[0] += 1

        actors.journal.before_admit = full
        actors.accepted()
        wait_for(lambda: actors.system.admission.refusal, "a full journal")
        rounds(actors)
        actors.journal.before_entries = look
        seen = _rounds_of(actors)
        wait_for(lambda: _rounds_of(actors) >= seen + 64, "many rounds")
        assert reads[0] <= 8, "each pause is twice as long as the one before"
        actors.perform(DiscardEvents(None, "test"))
        wait_for(lambda: reads[0] > 8, "it is read as soon as something has ended")


def _rounds_of(actors: RunningActors) -> int:
    """How often the janitor went round while the journal was full."""
    running = actors.single("janitor")._actor_weakref()
    return int(running._full_rounds)
