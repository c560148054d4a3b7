"""Events come in: their place in the queue, repetitions, the limit."""

from __future__ import annotations

from actors.core.commands import AcceptEvent, Policy, Refusal
from actors.core.evolve import supply_room
from actors.core.state import from_snapshot, to_snapshot
from store.records import EventAccepted, EventDiscarded
from tests.actors.core.life import (
    NOW,
    A,
    B,
    C,
    D,
    accept,
    accepted,
    after,
    died,
    given,
    started,
    went,
    when,
)

FULL = Policy(max_queue_length=2)
JOURNAL_FULL = Refusal(reason="journal_full", message="the journal is full", retry_after=30)


def test_an_event_is_accepted_with_all_that_it_brings() -> None:
    command = accept(A, warnings=("shortened",), source="pd-send", body=b'{"routing_key":""}')
    assert when(given(), command) == [
        EventAccepted(
            event=A,
            position=1,
            kind="v2",
            action="trigger",
            dedup_key="alert",
            body=b'{"routing_key":""}',
            at=NOW,
            warnings=("shortened",),
            source="pd-send",
        )
    ]


def test_events_line_up_behind_each_other() -> None:
    state = given(accepted(A), accepted(B, 2), *went(A))
    assert when(state, accept(C)) == [accepted(C, 3)]
    assert list(given(accepted(A), accepted(B, 2)).waiting) == [A, B]


def test_an_event_that_waits_is_in_flight_or_dead_is_not_accepted_again() -> None:
    for state in (
        given(accepted(A)),
        given(accepted(A), started(A)),
        given(accepted(A), *died(A)),
    ):
        assert when(state, accept(A)) == []


def test_a_full_queue_refuses_new_events_and_says_why() -> None:
    refusal = when(given(accepted(A), accepted(B, 2)), accept(C), policy=FULL)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "queue_full"
    assert refusal.retry_after
    assert "2 events wait" in refusal.message
    assert "max_queue_length" in refusal.message


def test_a_full_queue_knows_the_events_that_it_has() -> None:
    assert when(given(accepted(A), accepted(B, 2)), accept(B), policy=FULL) == []


def test_dead_letters_take_no_room_in_the_queue() -> None:
    state = given(accepted(A), *died(A), accepted(B, 2))
    assert when(state, accept(C), policy=FULL) == [accepted(C, 3)]


def test_a_backlog_above_the_limit_is_refused_more_until_it_has_drained_below() -> None:
    backlog = [accepted(A), accepted(B, 2), accepted(C, 3)]
    assert isinstance(when(given(*backlog), accept(D), policy=FULL), Refusal)
    state = given(*backlog, *went(A), EventDiscarded(event=B, reason="test", at=NOW))
    assert when(state, accept(D), policy=FULL) == [accepted(D, 4)]


def test_while_all_new_events_are_refused_only_known_ones_are_answered() -> None:
    new = AcceptEvent(accept(B).event, JOURNAL_FULL)
    known = AcceptEvent(accept(A).event, JOURNAL_FULL)
    assert when(given(accepted(A)), new) == JOURNAL_FULL
    assert when(given(accepted(A)), known) == []


def test_a_key_whose_waiting_events_fill_half_of_the_journal_takes_no_more() -> None:
    policy, body = Policy(max_journal=4_000_000), bytes(1_000_000)
    state = given(accepted(A, body=body), accepted(B, 2, body=body))
    refusal = when(state, accept(C), policy=policy)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "queue_full"
    assert "half of the journal" in refusal.message
    assert when(after(state, *went(A)), accept(C), policy=policy) == [accepted(C, 3)]
    dead = given(accepted(A, body=body), *died(A), accepted(B, 2, body=body))
    assert when(dead, accept(C), policy=policy) == [accepted(C, 3)], "its dead letters don't count"


def test_a_snapshot_of_the_first_version_says_nothing_of_room_and_is_supplied_with_it() -> None:
    state = given(accepted(A), *died(A), accepted(B, 2))
    old = from_snapshot(piece.replace(b"room", b"rest") for piece in to_snapshot(state))
    assert (old.waiting_room, old.dead.room) == (0, 0)
    for record in (accepted(A), accepted(B, 2)):
        supply_room(old, record)
    assert old.waiting_room == old.waiting[B].room > 1_000
    assert old.dead.room == old.dead[A].room > 1_000
