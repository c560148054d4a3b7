"""The actors of which there is one: found dead they are replaced, and nobody is left waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.core import restarts
from actors.core.commands import Receipt, Refusal
from actors.messages import Remove
from store.errors import JournalFullError
from tests.actors.faulty_journal import nothing, times
from tests.actors.running_actors import (
    KEY,
    OTHER_KEY,
    RunningActors,
    wait_for,
)
from tests.actors.scripted_pagerduty import Hold

MISTAKE = RuntimeError("a mistake of ours")


def test_a_journal_writer_that_dies_answers_all_that_wait_for_it(actors: RunningActors) -> None:
    actors.accepted()
    committing, release = threading.Event(), threading.Event()

    def fail_late(batch: object) -> None:
        committing.set()
        assert release.wait(15)
        actors.journal.before_commit = nothing
        raise MISTAKE

    actors.journal.before_commit = fail_late
    pending = [actors.accept()]
    assert committing.wait(15)
    pending += [actors.accept(key) for key in (KEY, OTHER_KEY) for _ in range(100)]
    release.set()
    answers = [each.answer() for each in pending]
    assert isinstance(answers[0], Refusal)
    accepted = sum(isinstance(answer, Receipt) for answer in answers)
    wait_for(lambda: isinstance(actors.accept().answer(), Receipt), "an agent that accepts")
    wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
    assert actors.system.totals()["delivered"] == accepted + 2
    assert actors.restarts("writer") == 1


def test_events_accepted_before_the_writer_died_are_delivered_in_order(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    before = actors.accepted(count=5)
    others = actors.accepted(OTHER_KEY, count=5)
    actors.journal.before_commit = times(1, MISTAKE)
    actors.accept().answer()
    wait_for(lambda: actors.restarts("writer") == 1, "a new writer")
    hold.release()
    wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
    assert list(dict.fromkeys(actors.delivered())) == before
    assert list(dict.fromkeys(actors.delivered(OTHER_KEY))) == others
    assert actors.pagerduty.most_at_once[KEY] == actors.pagerduty.most_at_once[OTHER_KEY] == 1


def test_a_writer_that_fails_again_and_again_is_restarted_for_as_long_as_it_takes(
    actors: RunningActors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten failures; six within a minute would quarantine a queue's actor for 30 seconds."""
    monkeypatch.setattr(restarts, "RETRY_EVERY", 0.1)
    failures = 10
    actors.journal.before_commit = times(failures, MISTAKE)
    accepted = [actors.accept().answer()]
    while actors.restarts("writer") < failures:
        accepted.append(actors.accept().answer())
    wait_for(lambda: isinstance(actors.accept().answer(), Receipt), "an agent that accepts")
    assert not any(isinstance(answer, Receipt) for answer in accepted[:failures])


def test_a_writer_that_dies_with_the_journal_full_leaves_one_that_looks_again(
    actors: RunningActors,
) -> None:
    def full() -> None:
        raise JournalFullError("the journal is full")

    actors.journal.before_admit = full
    actors.accepted()
    wait_for(lambda: actors.system.admission.refusal, "a full journal")
    writer = actors.single("writer")
    writer.tell(Remove(None))  # type: ignore[arg-type]  # the fault
    wait_for(lambda: not writer.is_alive(), "the end of the writer")
    actors.journal.before_admit = nothing
    wait_for(lambda: actors.system.admission.refusal is None, "an agent that accepts")


def test_a_janitor_that_fails_is_replaced_and_tries_again(tmp_path: Path) -> None:
    with RunningActors(tmp_path, retention=0.2, passivate_after=0.05) as actors:
        events = actors.accepted()
        actors.journal.before_snapshot = times(2, MISTAKE)
        actors.wait_until_delivered(events)
        wait_for(lambda: actors.restarts("janitor") == 2, "two restarts")
        wait_for(lambda: not actors.journal.usage().entries, "the removal of old entries")


class Heart:
    """A heartbeat whose first beat fails unexpectedly."""

    def __init__(self) -> None:
        self.beats: Iterator[int] = iter(range(1000))
        self.last = -1

    def beat(self) -> float | None:
        """The first one raises."""
        self.last = next(self.beats)
        if self.last == 0:
            raise MISTAKE
        return 3600.0


def test_a_heartbeat_that_fails_is_replaced_and_matters_to_nothing_else(tmp_path: Path) -> None:
    heart = Heart()
    with RunningActors(tmp_path, heartbeat=heart.beat) as actors:
        wait_for(lambda: heart.last == 1, "the beat of its successor")
        actors.wait_until_delivered(actors.accepted())
        assert actors.restarts("heartbeat") == 1
