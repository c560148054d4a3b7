"""Senders that fail or hang, and the one rule about them: one delivery of a key at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRegistry

from actors import bodies, supervisor
from actors.core import restarts
from actors.core.commands import Refusal
from actors.core.verdict import Deferred, Delivered, Verdict
from actors.ports import OutgoingEvent
from actors.sender import Sender
from store.records import EventId
from tests.actors.faulty_journal import times
from tests.actors.running_actors import (
    KEY,
    OTHER_KEY,
    RunningActors,
    wait_for,
)
from tests.actors.scripted_pagerduty import Hold, ScriptedPagerDuty

MISTAKE = RuntimeError("a mistake of ours")


def test_a_sender_that_fails_is_replaced_and_its_event_is_tried_again(
    actors: RunningActors,
) -> None:
    faults = iter([MISTAKE, MISTAKE])

    def fail(event: OutgoingEvent) -> Verdict:
        for fault in faults:
            raise fault
        return Delivered(status=202)

    actors.pagerduty.answer = fail
    events = actors.accepted(count=3)
    actors.wait_until_delivered(events)
    wait_for(lambda: actors.restarts("sender") == 2, "both restarts are counted")
    assert actors.pagerduty.attempts[KEY] == [events[0], events[0], *events]


@pytest.fixture
def senders() -> Callable[[], int]:
    """How many of this test run."""
    of_others = ActorRegistry.get_by_class(Sender)
    return lambda: len([s for s in ActorRegistry.get_by_class(Sender) if s not in of_others])


def test_senders_start_when_there_is_something_to_deliver(
    tmp_path: Path, senders: Callable[[], int]
) -> None:
    hold = Hold()
    with RunningActors(tmp_path, ScriptedPagerDuty(hold), max_in_flight=64) as actors:
        assert senders() == 0
        events = actors.accepted(count=3)
        assert hold.reached.acquire(timeout=15)
        assert senders() == 1
        other = actors.accepted(OTHER_KEY)
        assert hold.reached.acquire(timeout=15)
        assert senders() == 2
        hold.release()
        actors.wait_until_delivered(events)
        actors.wait_until_delivered(other, OTHER_KEY)
        assert actors.pagerduty.ports_made == 2, "few do the work of few keys"


def test_senders_that_have_nothing_to_do_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, senders: Callable[[], int]
) -> None:
    monkeypatch.setattr(supervisor, "RETIRE_EVERY", 0.0)
    events: list[EventId] = []
    with RunningActors(tmp_path, max_in_flight=64) as actors:
        for _ in range(3):
            hold = actors.pagerduty.answer = Hold()
            events += actors.accepted()
            assert hold.reached.acquire(timeout=15), "one is started for it"
            time.sleep(2 * supervisor.TICK)  # nothing to wait for: it must not happen
            assert senders() == 1, "a busy one goes on"
            hold.release()
            actors.wait_until_delivered(events)
            wait_for(lambda: senders() == 0, "the end of all senders")
            wait_for(
                lambda: actors.pagerduty.ports_closed == actors.pagerduty.ports_made,
                "the end of its connection",
            )
        assert actors.restarts("sender") == 0


def test_a_delivery_whose_sender_can_not_start_waits_until_it_can(tmp_path: Path) -> None:
    pagerduty = ScriptedPagerDuty()
    make_port, faults = pagerduty.make_port, iter([MISTAKE, MISTAKE])

    def make_port_later() -> Any:
        for fault in faults:
            raise fault
        return make_port()

    pagerduty.make_port = make_port_later  # type: ignore[method-assign]
    with RunningActors(tmp_path, pagerduty) as actors:
        actors.wait_until_delivered(actors.accepted(count=2))


def test_senders_that_fail_again_and_again_leave_the_other_keys_their_share(
    tmp_path: Path,
) -> None:
    def fail(event: OutgoingEvent) -> Verdict:
        if event.routing_key == KEY:
            raise MISTAKE
        return Delivered(status=202)

    with RunningActors(tmp_path, ScriptedPagerDuty(fail), max_in_flight=2) as actors:
        actors.accepted()
        wait_for(lambda: actors.restarts("sender") >= 3, "failures")
        events = actors.accepted(OTHER_KEY, count=50)
        actors.wait_until_delivered(events, OTHER_KEY)


def test_a_sender_whose_event_can_not_be_read_is_replaced_and_the_event_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(event: EventId) -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(bodies, "ROOM", 0)
    with RunningActors(tmp_path) as actors:
        actors.journal.before_accepted = unreadable
        events = actors.accepted()
        wait_for(lambda: actors.restarts("sender") >= 1, "a restart")
        actors.journal.before_accepted = lambda event: None
        actors.wait_until_delivered(events)


def test_all_senders_that_fail_again_and_again_are_restarted_for_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight failures of each; six within a minute would quarantine a queue's actor."""
    monkeypatch.setattr(restarts, "RETRY_EVERY", 0.05)
    keys = [f"{number:032d}" for number in range(16)]
    fail = times(len(keys), MISTAKE)

    def answer(event: OutgoingEvent) -> Verdict:
        fail()
        return Delivered(status=202)

    with RunningActors(tmp_path, ScriptedPagerDuty(answer), max_in_flight=2) as actors:
        for key in keys:
            actors.accepted(key)
        wait_for(lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries")
        assert actors.restarts("sender") == len(keys)


def test_a_sender_that_died_without_a_word_is_found(tmp_path: Path) -> None:
    with RunningActors(tmp_path, max_in_flight=1) as actors:
        actors.wait_until_delivered(actors.accepted())
        actors.system._pool._refs[0].stop()  # as if its thread had been killed
        events = actors.accepted(count=2)
        wait_for(lambda: actors.delivered()[-2:] == events, "deliveries", timeout=30)
        assert actors.restarts("sender") == 1


def test_a_sender_that_hangs_is_given_up_and_its_place_goes_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold()

    def answer(event: OutgoingEvent) -> Verdict:
        return hold(event) if event.routing_key == KEY else Delivered(status=202)

    with RunningActors(tmp_path, ScriptedPagerDuty(answer), max_in_flight=1) as actors:
        stuck = actors.accepted()
        assert hold.reached.acquire(timeout=15)
        others = actors.accepted(OTHER_KEY, count=2)
        assert actors.delivered(OTHER_KEY) == []
        monkeypatch.setattr(supervisor, "STUCK_AFTER", 0.5)
        wait_for(lambda: actors.entry().state.failures == 1, "giving up")
        actors.wait_until_delivered(others, OTHER_KEY)
        assert "no_answer" in (actors.entry().state.last_error or "")
        hold.release()
        wait_for(lambda: stuck[0] in actors.delivered(), "the delivery")


def test_a_late_answer_of_a_sender_that_was_given_up_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Hold(), Hold()

    def second_time(event: OutgoingEvent) -> Verdict:
        monkeypatch.setattr(supervisor, "STUCK_AFTER", 90.0)
        return second(event)

    answers = iter([first, second_time])
    pagerduty = ScriptedPagerDuty(lambda event: next(answers)(event))
    with RunningActors(tmp_path, pagerduty, max_in_flight=1) as actors:
        events = actors.accepted()
        assert first.reached.acquire(timeout=15)
        given_up = actors.system._pool._refs[0]
        monkeypatch.setattr(supervisor, "STUCK_AFTER", 0.3)
        assert second.reached.acquire(timeout=15), "the attempt of the successor"
        first.release()
        wait_for(lambda: not given_up.is_alive(), "the late answer")
        assert actors.entry().state.in_flight == events[0]
        assert actors.system.slots.busy() == 1
        second.release()
        actors.wait_until_delivered(events)


def test_the_verdict_of_a_delivery_is_claimed_by_the_successor_of_a_dead_sequencer(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    events = actors.accepted(count=2)
    assert hold.reached.acquire(timeout=15)
    assert isinstance(actors.make_sequencer_fail().answer(), Refusal)
    wait_for(lambda: actors.entry().phase == "running", "the successor")
    actors.accepted(OTHER_KEY)  # the successor has had time to do what it should not
    assert actors.pagerduty.attempts[KEY] == events[:1]
    hold.release()
    actors.wait_until_delivered(events)
    assert actors.pagerduty.attempts[KEY] == events


def test_a_verdict_that_comes_while_no_sequencer_runs_is_claimed_later(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    events = actors.accepted(count=2)
    assert hold.reached.acquire(timeout=15)
    for _ in range(5):  # the fifth restart comes after 0.4 s
        wait_for(lambda: actors.entry().phase == "running", "a running actor")
        actors.make_sequencer_fail().answer()
    wait_for(lambda: actors.entry().phase == "restarting", "the pause")
    hold.release()
    wait_for(lambda: actors.delivered() == events[:1], "the verdict")
    actors.wait_until_delivered(events)
    assert actors.pagerduty.attempts[KEY] == events


def test_killing_at_random_never_has_two_deliveries_of_a_key_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequencers and senders die while 20 keys are delivered over 4 connections."""
    monkeypatch.setattr("actors.core.restarts.LIMIT", 1_000)
    monkeypatch.setattr("actors.core.restarts.FIRST_DELAY", 0.0)
    monkeypatch.setattr("actors.core.restarts.RETRY_EVERY", 0.0)
    rng = random.Random(7)
    mistakes = random.Random(8)

    def answer(event: OutgoingEvent) -> Verdict:
        time.sleep(0.001)
        if mistakes.random() < 0.02:
            raise MISTAKE
        if mistakes.random() < 0.1:
            return Deferred(reason="rate_limited", retry_after=0.01)
        return Delivered(status=202)

    monkeypatch.setattr("actors.core.pace.DOCUMENTED", 0.01)
    monkeypatch.setattr("actors.core.pace.SLOWEST", 0.02)
    keys = [f"{number:032d}" for number in range(20)]
    with RunningActors(tmp_path, ScriptedPagerDuty(answer)) as actors:
        accepted: dict[str, list[EventId]] = {key: [] for key in keys}
        for _ in range(25):
            for key in keys:
                accepted[key] += actors.accepted(key)
            victim = rng.choice(keys)
            assert isinstance(actors.make_sequencer_fail(victim).answer(), Refusal)
        wait_for(
            lambda: actors.system.totals()["waiting"] == 0, "the end of all deliveries", timeout=60
        )
        for key in keys:
            assert list(dict.fromkeys(actors.delivered(key))) == accepted[key]
            assert len(actors.delivered(key)) == len(accepted[key]), "no answer was lost"
            assert actors.pagerduty.most_at_once[key] == 1
        assert actors.pagerduty.most_at_once[""] <= 4
