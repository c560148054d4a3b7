"""Commits that fail: refused, read again, and on it goes without a restart of the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from actors import journal_writer
from actors.core.commands import DiscardEvents, Done, HoldQueue, Receipt, Refusal
from store.errors import CommitFailedError, JournalFullError
from store.port import Append
from store.records import EventId, event_of
from tests.actors.faulty_journal import nothing, times
from tests.actors.running_actors import (
    KEY,
    OTHER_KEY,
    Pending,
    RunningActors,
    idempotent,
    wait_for,
)
from tests.actors.scripted_pagerduty import Hold

NO_SPACE = CommitFailedError("a commit to the journal failed: no space left on device")


@pytest.fixture(autouse=True)
def look_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "_LOOK_AGAIN", 0.1)


def wait_until_open(actors: RunningActors) -> None:
    wait_for(lambda: actors.system.admission.refusal is None, "an agent that accepts")


def test_of_an_event_whose_commit_fails_nobody_says_that_it_was_not_stored(
    actors: RunningActors,
) -> None:
    actors.journal.before_commit = times(1, NO_SPACE)
    refusal = actors.accept().answer()
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "unconfirmed"
    assert refusal.retry_after
    assert "no space left on device" in refusal.message
    wait_until_open(actors)
    events = actors.accepted(count=2)
    actors.wait_until_delivered(events)


@pytest.mark.parametrize("fingerprint", [b"one", b"other"])
def test_a_request_under_a_key_whose_first_commit_fails_is_not_answered_as_if_that_were_on_disk(
    actors: RunningActors, fingerprint: bytes
) -> None:
    actors.perform(HoldQueue("no other commit comes in between"))
    committing, release = threading.Event(), threading.Event()

    def fail_late(batch: object) -> None:
        committing.set()
        assert release.wait(15)
        actors.journal.before_commit = nothing
        raise NO_SPACE

    one = msgspec.structs.replace(idempotent("once"), fingerprint=b"one")
    again = msgspec.structs.replace(one, fingerprint=fingerprint)
    actors.journal.before_commit = fail_late
    first = actors.accept(event=one)
    assert committing.wait(15)
    second = actors.accept(event=again)
    wait_for(lambda: one.id in actors.entry().state.waiting, "the state ahead of the disk")
    release.set()
    lost = first.answer()
    assert isinstance(lost, Refusal)
    assert lost.reason == "unconfirmed"
    answer = second.answer()  # a receipt if the queue's next Sequencer was the one to take it
    assert isinstance(answer, Receipt) or answer.reason in ("unconfirmed", "unavailable")
    wait_until_open(actors)
    assert isinstance(actors.accept(event=again).answer(), Receipt)
    assert actors.entry().state.counters.accepted == 1
    answer = actors.accept(event=one).answer()
    assert isinstance(answer, Receipt) == (fingerprint == b"one")
    assert isinstance(answer, Receipt) or answer.reason == "idempotency_key_reused"


def test_new_events_are_refused_with_the_reason_until_the_journal_works_again(
    actors: RunningActors,
) -> None:
    works = threading.Event()

    def broken(*_: object) -> None:
        if not works.is_set():
            raise NO_SPACE

    actors.journal.before_commit = actors.journal.before_recover = broken
    actors.accept().answer()
    refusal = actors.accept(OTHER_KEY).answer()
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "unavailable"
    assert "no space left on device" in refusal.message
    assert refusal.retry_after is not None
    assert actors.system.trouble() == [refusal.message]
    works.set()
    wait_until_open(actors)
    assert actors.system.trouble() == []
    assert isinstance(actors.accept(OTHER_KEY).answer(), Receipt)


def test_what_was_accepted_before_is_delivered_after_it_in_order_and_once(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    before = actors.accepted(count=3)
    assert hold.reached.acquire(timeout=15)
    actors.journal.before_commit = times(3, NO_SPACE)
    hold.release()  # the record of this delivery is the one that fails
    wait_for(lambda: actors.system.writer_statistics.failures == 3, "three failed commits")
    wait_until_open(actors)
    wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
    after = actors.accepted(count=3)
    wait_for(lambda: actors.delivered()[-3:] == after, "deliveries afterwards")
    assert actors.pagerduty.attempts[KEY] == [*before, *after], "the verdict was not lost"
    assert actors.restarts("sequencer") == 0, "a full disk is no fault of the queue's actor"


def test_a_commit_that_failed_after_it_reached_the_disk_is_noticed_and_not_repeated(
    actors: RunningActors,
) -> None:
    """Nobody can tell whether a failed commit was persisted; the journal is what counts."""
    actors.wait_until_delivered(actors.accepted(OTHER_KEY), OTHER_KEY)
    event = idempotent()

    def fail_afterwards(batch: Sequence[Append]) -> None:
        if any(event_of(record) == event.id for append in batch for record in append.records):
            actors.journal.after_commit = nothing
            raise NO_SPACE

    actors.journal.after_commit = fail_afterwards
    refusal = actors.accept(event=event).answer()
    assert isinstance(refusal, Refusal)
    wait_until_open(actors)
    receipt = actors.accept(event=event).answer()
    assert isinstance(receipt, Receipt)
    wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
    assert actors.delivered() == [event.id]
    assert actors.system.totals()["accepted"] == 2


def test_a_new_key_whose_first_commit_failed_is_known_after_the_next_start(tmp_path: Path) -> None:
    with RunningActors(tmp_path) as actors:
        hold = Hold()
        actors.pagerduty.answer = hold
        actors.journal.before_commit = times(1, NO_SPACE)
        actors.accept().answer()
        wait_until_open(actors)
        events = actors.accepted(count=2)
        actors.system.slots.pause()  # the second one is left for the next start
        hold.release()
    with RunningActors(tmp_path) as actors:
        wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
        assert set(actors.delivered()) <= set(events)
        assert actors.system.totals()["accepted"] == 2


def test_turns_of_refused_events_go_back_to_the_others(tmp_path: Path) -> None:
    """An idle queue's first event asks for its turn in the same commit that fails."""
    with RunningActors(tmp_path, max_in_flight=2) as actors:
        for number in range(4):
            actors.journal.before_commit = times(1, NO_SPACE)
            answer = actors.accept(f"{number:032d}").answer()
            assert isinstance(answer, Refusal)
            wait_until_open(actors)
            wait_for(lambda: not actors.system.directory.active(), "the end of its sequencer")
        events = actors.accepted(OTHER_KEY, count=3)
        actors.wait_until_delivered(events, OTHER_KEY)


def test_a_full_journal_refuses_new_events_delivers_the_old_and_opens_by_itself(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    before = actors.accepted()

    def full() -> None:
        raise JournalFullError("the journal is full")

    actors.journal.before_admit = full
    before += actors.accepted()  # the one that fills it
    wait_for(lambda: actors.system.admission.refusal, "a full journal")
    refusal = actors.accept().answer()
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.message) == ("journal_full", "the journal is full")
    hold.release()
    actors.wait_until_delivered(before)
    assert isinstance(actors.accept().answer(), Refusal)
    actors.journal.before_admit = nothing
    wait_until_open(actors)
    after = actors.accepted()
    actors.wait_until_delivered([*before, *after])


def test_a_repeated_request_gets_its_receipt_although_the_journal_is_full_by_now(
    actors: RunningActors,
) -> None:
    event = idempotent("once")
    first = actors.accept(event=event).answer()
    actors.wait_until_delivered([EventId("once")])

    def full() -> None:
        raise JournalFullError("the journal is full")

    actors.journal.before_admit = full
    actors.accepted()  # the one that fills it
    wait_for(lambda: actors.system.admission.refusal, "a full journal")
    assert isinstance(first, Receipt)
    assert actors.accept(event=event).answer() == msgspec.structs.replace(first, repeated=True)
    refusal = actors.accept(event=idempotent("twice")).answer()
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "journal_full"


def test_a_repetition_of_what_is_being_stored_is_not_queued_although_it_was_discarded_meanwhile(
    actors: RunningActors,
) -> None:
    actors.perform(HoldQueue("test"))
    committing, release = threading.Event(), threading.Event()

    def wait(batch: object) -> None:
        committing.set()
        assert release.wait(15)

    actors.journal.before_commit = wait
    event = idempotent("once")
    first = actors.accept(event=event)
    assert committing.wait(15)
    discarded = Pending()
    actors.system.perform(KEY, DiscardEvents(None, "test"), discarded.reply)
    second = actors.accept(event=event)
    release.set()
    receipt = first.answer()
    assert isinstance(receipt, Receipt)
    again = msgspec.structs.replace(receipt, repeated=True)
    assert second.answer() == again
    assert discarded.answer() == Done(events=(event.id,))
    assert actors.accept(event=event).answer() == again
    assert actors.entry().state.counters.accepted == 1
