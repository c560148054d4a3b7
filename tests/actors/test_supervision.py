"""Sequencers that fail: restarted from the journal, quarantined, found dead; others go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest

from actors import supervisor
from actors.core import restarts
from actors.core.commands import HoldQueue, Receipt, Refusal, ReleaseQueue
from actors.core.verdict import Deferred, Delivered
from actors.sequencer import Sequencer
from tests.actors.faulty_journal import times
from tests.actors.running_actors import (
    KEY,
    OTHER_KEY,
    Pending,
    RunningActors,
    ask,
    idempotent,
    wait_for,
)
from tests.actors.scripted_pagerduty import Hold

WAITING = 200


class Fragile(Sequencer):
    """A Sequencer in whose `begin` a test can put a fault, and see that it is reached."""

    begin_fault: Any = staticmethod(lambda: None)

    def begin(self) -> None:
        """The fault first."""
        type(self).begin_fault()
        super().begin()


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Fragile]]:
    monkeypatch.setattr(supervisor, "Sequencer", Fragile)
    yield Fragile
    Fragile.begin_fault = staticmethod(lambda: None)


@pytest.fixture
def quick_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "QUARANTINE_FIRST", 3.0)


def receipts(pending: list[Pending]) -> int:
    """How many got a receipt; all others must have been refused as unavailable."""
    count = 0
    for each in pending:
        answer = each.answer()
        if isinstance(answer, Receipt):
            count += 1
        else:
            assert isinstance(answer, Refusal)
            assert answer.reason == "unavailable"
    return count


def test_an_actor_that_fails_on_start_is_restarted_and_the_event_that_started_it_is_delivered(
    actors: RunningActors, fragile: type[Fragile]
) -> None:
    fragile.begin_fault = staticmethod(times(2, RuntimeError("no memory")))
    first = actors.accept()
    receipts([first])
    wait_for(lambda: isinstance(actors.accept().answer(), Receipt), "the queue works again")
    wait_for(lambda: actors.delivered(), "a delivery")
    assert actors.restarts("sequencer") == 2


def test_all_that_waits_in_the_inbox_of_an_actor_that_fails_on_start_is_answered(
    actors: RunningActors, fragile: type[Fragile]
) -> None:
    reached, release = threading.Event(), threading.Event()
    fault = times(1, RuntimeError("no memory"))

    def begin_late() -> None:
        reached.set()
        assert release.wait(15)
        fault()

    fragile.begin_fault = staticmethod(begin_late)
    pending = [actors.accept()]
    assert reached.wait(15)
    pending += [actors.accept() for _ in range(WAITING)]
    release.set()
    accepted = receipts(pending)
    wait_for(lambda: len(actors.delivered()) == accepted, "delivery of what was accepted")


def test_a_handler_that_raises_under_tell_costs_one_event_at_most_a_repetition(
    actors: RunningActors,
) -> None:
    hold = Hold()
    actors.pagerduty.answer = hold
    before = actors.accepted(count=3)
    answer = actors.make_sequencer_fail().answer()
    assert isinstance(answer, Refusal)
    after = actors.accepted(count=3)
    hold.release()
    actors.wait_until_delivered([*before, *after])
    assert actors.restarts("sequencer") == 1
    assert actors.pagerduty.attempts[KEY] == [*before, *after]


def test_a_handler_that_raises_under_ask_tells_the_asker_and_restarts_the_actor(
    actors: RunningActors,
) -> None:
    actors.accepted()
    failing = actors.entry().sequencer
    actors.make_sequencer_fail(OTHER_KEY)
    with pytest.raises(RuntimeError):
        ask(actors).get(timeout=15)
    # The successor may have stopped already: it has nothing to do.
    wait_for(lambda: actors.entry().sequencer is not failing, "its replacement")
    assert failing is not None
    wait_for(lambda: not failing.is_alive(), "the end of the old one")
    events = actors.accepted(count=2)
    wait_for(lambda: actors.delivered()[-2:] == events, "deliveries")


def test_all_that_waits_in_the_inbox_of_a_dying_actor_is_answered_once(
    actors: RunningActors,
) -> None:
    actors.accepted()
    reached, release = threading.Event(), threading.Event()

    def fail_late(event: str) -> None:
        if event == "fatal":
            reached.set()
            assert release.wait(15)
            raise RuntimeError("the disk does not answer")

    actors.journal.before_accepted = fail_late
    pending = [actors.accept(event=idempotent("fatal"))]
    assert reached.wait(15)
    pending += [actors.accept() for _ in range(WAITING)]
    release.set()
    accepted = receipts(pending)
    wait_for(lambda: len(actors.delivered()) == 1 + accepted, "delivery of what was accepted")
    wait_for(lambda: isinstance(actors.accept().answer(), Receipt), "the queue works again")


def test_what_waits_behind_the_message_that_failed_is_carried_out_by_the_successor(
    actors: RunningActors,
) -> None:
    events = actors.accepted()
    reached, release = threading.Event(), threading.Event()

    def fault(event: str) -> None:
        if event == "fatal":
            reached.set()
            assert release.wait(15)
            raise RuntimeError("the disk does not answer")

    actors.journal.before_accepted = fault
    failing = actors.accept(event=idempotent("fatal"))
    assert reached.wait(15)
    behind = [actors.accept() for _ in range(20)]
    release.set()
    assert isinstance(failing.answer(), Refusal)
    for pending in behind:
        answer = pending.answer()
        assert isinstance(answer, Receipt), answer
        events.append(answer.event)
    actors.wait_until_delivered(events)


def test_an_actor_that_can_not_read_its_queue_fails_alone_and_answers_what_it_kept_back(
    actors: RunningActors,
) -> None:
    actors.accepted()
    queue = actors.entry().id

    def unreadable(read: int) -> None:
        if read == queue:
            raise OSError("input/output error")

    actors.journal.before_entries = unreadable
    actors.make_sequencer_fail().answer()
    pending = [actors.accept() for _ in range(WAITING)]
    assert receipts([actors.accept(OTHER_KEY)]) == 1
    receipts(pending)


def test_more_than_five_failures_in_a_minute_quarantine_one_key_while_others_go_on(
    actors: RunningActors, quick_quarantine: None
) -> None:
    hold = Hold(Deferred(reason="server_error"))
    actors.pagerduty.answer = hold
    waiting = actors.accepted()
    assert hold.reached.acquire(timeout=15)
    for failures in range(1, restarts.LIMIT + 2):
        wait_for(lambda: actors.entry().phase == "running", "a running actor")
        actors.make_sequencer_fail().answer()
        wait_for(lambda n=failures: actors.restarts("sequencer") == n, "the restart")
    wait_for(lambda: actors.entry().phase == "quarantined", "the quarantine")

    refusal = actors.accept().answer()
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.retry_after) == ("unavailable", 5)
    actors.pagerduty.answer = lambda event: Delivered(status=202)
    others = actors.accepted(OTHER_KEY, count=20)
    actors.wait_until_delivered(others, OTHER_KEY)
    assert actors.entry().phase == "quarantined", "the others were served meanwhile"

    hold.release()
    wait_for(lambda: actors.entry().phase == "running", "the end of the quarantine")
    later = actors.accepted()
    actors.wait_until_delivered([*waiting, *later])


def test_events_that_come_during_the_restart_delay_are_accepted_in_their_order_after_it(
    actors: RunningActors,
) -> None:
    events = actors.accepted()
    for failures in range(1, restarts.LIMIT + 1):
        assert isinstance(actors.make_sequencer_fail().answer(), Refusal)
        wait_for(lambda n=failures: actors.restarts("sequencer") == n, "the restart is planned")
    for pending in [actors.accept() for _ in range(20)]:
        answer = pending.answer()
        assert isinstance(answer, Receipt)
        events.append(answer.event)
    assert actors.restarts("sequencer") == restarts.LIMIT
    actors.wait_until_delivered(events)


def test_an_actor_that_died_without_a_word_is_found_and_its_events_are_delivered(
    actors: RunningActors,
) -> None:
    actors.perform(HoldQueue("test"))
    events = actors.accepted(count=3)
    sequencer = actors.entry().sequencer
    assert sequencer is not None
    sequencer.stop()  # not by the Supervisor: as if its thread had been killed
    wait_for(lambda: actors.restarts("sequencer") == 1, "the restart")
    actors.perform(ReleaseQueue())
    actors.wait_until_delivered(events)
    assert actors.restarts("sequencer") == 1


def test_an_event_for_an_actor_that_died_without_a_word_is_accepted_at_once(
    actors: RunningActors,
) -> None:
    actors.accepted()
    for _ in range(restarts.LIMIT):
        sequencer = actors.entry().sequencer
        assert sequencer is not None
        sequencer.stop()
        assert isinstance(actors.accept().answer(), Receipt)


def test_a_keyboard_interrupt_in_an_actor_does_not_leave_a_dead_agent_that_looks_alive(
    actors: RunningActors,
) -> None:
    actors.accepted()

    def interrupt(event: str) -> None:
        if event == "fatal":
            raise SystemExit("as a library would")

    actors.journal.before_accepted = interrupt
    actors.accept(event=idempotent("fatal"))
    wait_for(
        lambda: (
            actors.system.supervisor_failure() is not None
            or isinstance(actors.accept().answer(), Receipt)
        ),
        "an agent that works, or that says it does not",
    )


def test_a_failure_in_the_supervisors_own_code_concerns_one_key_only_and_the_log_says_where_it_was(
    actors: RunningActors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = supervisor.Sequencer.start
    faults = iter([MemoryError(), SystemExit(), KeyboardInterrupt(), RecursionError()])

    def fail(report: Any, entry: Any, around: Any) -> Any:
        if entry.routing_key == KEY:
            for fault in faults:
                raise fault
        return start(report, entry, around)

    monkeypatch.setattr(supervisor.Sequencer, "start", fail)
    pending = actors.accept()
    actors.wait_until_delivered(actors.accepted(OTHER_KEY, count=3), OTHER_KEY)
    answer = pending.answer()
    assert isinstance(answer, Receipt)
    actors.wait_until_delivered([answer.event])
    assert actors.restarts("sequencer") == 4
    assert actors.system.supervisor_failure() is None
    assert "an error in the supervisor (MemoryError in fail, line " in caplog.text


def test_a_message_that_the_supervisor_lost_is_made_up_for(
    actors: RunningActors, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_to = supervisor.Supervisor.see_to
    fault = times(1, MemoryError())

    def fail(*given: Any) -> None:
        fault()
        see_to(*given)

    monkeypatch.setattr(supervisor.Supervisor, "see_to", fail)
    actors.wait_until_delivered(actors.accepted())


def test_a_supervisor_that_can_not_start_is_reported_to_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: supervisor.Supervisor, name: str) -> None:
        raise MemoryError

    monkeypatch.setattr(supervisor.Supervisor, "_start_single", fail)
    with RunningActors(tmp_path) as actors:
        wait_for(lambda: actors.system.supervisor_failure() is not None, "the report")
        wait_for(
            lambda: "the supervisor actor is not running" in actors.system.trouble(), "the trouble"
        )
        with pytest.raises(pykka.ActorDeadError):
            actors.single("supervisor").tell(None)
