"""Events of one alert that come in the wrong order, with the time at which they occurred."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from actors.core.accepting import repeated
from actors.core.commands import AcceptEvent, NewEvent, Policy, Receipt, answer
from actors.core.decide import decide
from actors.core.occurrence import MOST_ALERTS, WINDOW
from actors.core.state import QueueState, from_snapshot, to_snapshot
from store.records import EventAccepted, EventId, Record
from tests.actors.core.life import (
    NOW,
    A,
    B,
    C,
    accept,
    accepted,
    after,
    died,
    given,
    started,
    went,
    when,
)

CLOSING = EventId("closing")
ACTIONS = ("trigger", "acknowledge", "resolve")


def at(occurred_at: float | None, action: str, id_: EventId = A, **fields: Any) -> AcceptEvent:
    """An event of the alert that asks to be accepted."""
    closing = None
    if action == "trigger" and occurred_at is not None:
        dedup_key = fields.get("dedup_key", "alert")
        kind = fields.get("kind", "v2")
        closing = NewEvent(
            id=EventId(f"closing {id_}"),
            kind=kind,
            action="resolve",
            dedup_key=dedup_key,
            body=b"closed",
        )
    return accept(id_, action=action, occurred_at=occurred_at, closing=closing, **fields)


def decided(state: QueueState, command: AcceptEvent, now: float = NOW) -> list[Record]:
    """The records, which it is no refusal of."""
    records = when(state, command, now=now)
    assert isinstance(records, list)
    return records


def told(*commands: AcceptEvent) -> QueueState:
    """The state after these have come, in this order, all at once."""
    state = given()
    for command in commands:
        state = after(state, *decided(state, command))
    return state


def kinds(records: list[Record]) -> list[str]:
    """Of each record what it is: an action that is accepted, or a reason to discard."""
    return [
        record.action if isinstance(record, EventAccepted) else getattr(record, "reason", "?")
        for record in records
    ]


def test_a_trigger_from_before_a_resolve_is_delivered_and_resolved_again() -> None:
    state = told(at(900.0, "resolve", B))
    command = at(800.0, "trigger", A, warnings=("shortened",))
    trigger, closing = records = decided(state, command)
    assert isinstance(trigger, EventAccepted)
    assert isinstance(closing, EventAccepted)
    assert (trigger.event, trigger.action, trigger.occurred_at) == (A, "trigger", 800.0)
    assert (closing.event, closing.action, closing.occurred_at) == ("closing a", "resolve", 900.0)
    assert (trigger.position, closing.position, closing.body) == (2, 3, b"closed")
    assert list(after(state, *records).waiting) == [B, A, "closing a"]
    assert A in closing.warnings[0], "its history says why it is there"
    receipt = answer(command, records)
    assert isinstance(receipt, Receipt)
    assert receipt.event == A
    assert receipt.warnings == trigger.warnings
    assert receipt.warnings[0] == "shortened"
    assert "closing a" in receipt.warnings[1]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_what_was_meant_for_an_older_incident_is_not_delivered(action: str) -> None:
    state = after(told(at(900.0, "trigger", B)), started(B))
    command = at(800.0, action)
    records = decided(state, command)
    assert kinds(records) == [action, "overtaken"]
    state = after(state, *records)
    assert (state.in_flight, list(state.waiting)) == (B, [B])
    assert (state.counters.accepted, state.counters.discarded) == (2, 1)
    receipt = answer(command, records)
    assert isinstance(receipt, Receipt)
    assert "overtaken" in receipt.warnings[0]


def test_in_the_order_of_occurrence_nothing_is_changed() -> None:
    state = given()
    for n, action in enumerate(["trigger", "acknowledge", "trigger", "resolve", "trigger"]):
        records = decided(state, at(800.0 + n, action, EventId(str(n))))
        assert kinds(records) == [action]
        assert not records[0].warnings  # type: ignore[union-attr]
        state = after(state, *records)


def test_at_the_same_time_the_order_of_acceptance_counts() -> None:
    assert kinds(decided(told(at(900.0, "resolve")), at(900.0, "trigger", B))) == ["trigger"]
    assert kinds(decided(told(at(900.0, "trigger")), at(900.0, "resolve", B))) == ["resolve"]
    closed = told(at(900.0, "trigger", A), at(900.0, "resolve", B))
    assert kinds(decided(closed, at(800.0, "trigger", C))) == ["trigger", "resolve"]
    opened = told(at(900.0, "resolve", A), at(900.0, "trigger", B))
    assert kinds(decided(opened, at(800.0, "trigger", C))) == ["trigger"]


def test_a_trigger_that_joins_a_newer_incident_does_not_close_it() -> None:
    state = told(at(800.0, "resolve", A), at(900.0, "trigger", B))
    assert kinds(decided(state, at(700.0, "trigger", C))) == ["trigger"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("known", ["trigger", "resolve"])
def test_an_event_without_a_time_is_where_it_was_accepted(known: str, action: str) -> None:
    assert kinds(decided(told(at(900.0, known)), at(None, action, B))) == [action]
    assert kinds(decided(told(at(None, known)), at(100.0, action, B))) == [action]
    if action != "acknowledge":  # what is known of the alert ends with it
        state = told(at(900.0, known), at(None, action, B))
        assert kinds(decided(state, at(100.0, "trigger", C))) == ["trigger"]
        assert kinds(decided(state, at(100.0, "resolve", C))) == ["resolve"]


def test_alerts_have_nothing_to_do_with_each_other_but_v1_and_v2_share_them() -> None:
    state = told(at(900.0, "resolve", B, kind="v1"))
    other = at(800.0, "trigger", A, dedup_key="another")
    assert kinds(decided(state, other)) == ["trigger"]
    assert kinds(decided(state, at(800.0, "trigger", A, kind="v2"))) == ["trigger", "resolve"]
    change = accept(A, kind="change", action="change", dedup_key="", occurred_at=1.0)
    assert kinds(decided(state, change)) == ["change"]


@pytest.mark.parametrize(
    ("later", "remembered"),
    [(0.0, True), (WINDOW - 1, True), (WINDOW, False), (-1.0, False), (-86_400.0, False)],
)
def test_an_alert_is_remembered_for_a_quarter_of_an_hour(later: float, *, remembered: bool) -> None:
    """A clock that was set back would make all that is new look old."""
    state = told(at(900.0, "resolve", B))
    records = decided(state, at(800.0, "trigger"), now=NOW + later)
    assert kinds(records) == (["trigger", "resolve"] if remembered else ["trigger"])


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    state = given()
    for n in range(MOST_ALERTS + 1):
        accepted_ = accepted(EventId(f"{n}"), n, dedup_key=f"{n}", occurred_at=900.0)
        state = after(state, accepted_)
    assert len(state.alerts) == MOST_ALERTS
    assert "0" not in state.alerts
    late = accepted(A, MOST_ALERTS + 1, at=NOW + WINDOW, dedup_key="late", occurred_at=900.0)
    assert list(after(state, late).alerts) == ["late"]


def test_alerts_survive_in_a_snapshot_and_cost_an_idle_queue_nothing() -> None:
    state = told(*(at(900.0, "resolve", EventId(key), dedup_key=key) for key in "cab"))
    again = from_snapshot(to_snapshot(state))
    assert list(again.alerts.items()) == list(state.alerts.items())
    assert kinds(decided(again, at(1.0, "trigger", EventId("d"), dedup_key="a"))) == [
        "trigger",
        "resolve",
    ]
    one, other = given(), given()
    assert one.alerts is other.alerts
    after(one, accepted(A, occurred_at=900.0))
    assert not other.alerts


def test_the_resolve_of_a_trigger_is_accepted_with_it_however_full_the_queue_is() -> None:
    state = told(at(900.0, "resolve", B))
    records = decide(state, at(800.0, "trigger"), NOW, Policy(max_queue_length=2))
    assert isinstance(records, list)
    assert kinds(records) == ["trigger", "resolve"]


def test_a_repeated_request_gets_the_warning_again() -> None:
    command = at(800.0, "trigger", idempotent=True, fingerprint=b"same")
    records = decided(told(at(900.0, "resolve", B)), command)
    assert isinstance(records[0], EventAccepted)
    receipt = answer(command, records)
    assert isinstance(receipt, Receipt)
    assert repeated(command.event, records[0]) == msgspec.structs.replace(receipt, repeated=True)


def test_a_trigger_that_died_is_superseded_by_the_resolve_that_was_made_for_it() -> None:
    state = told(at(900.0, "resolve", B), at(800.0, "trigger", A))
    state = after(state, *went(B), *died(A), *went(EventId("closing a")))
    assert state.dead[A].superseded_by == "closing a"


# Any order


@for_any(
    actions=st.lists(st.sampled_from(ACTIONS), min_size=7, max_size=7),
    order=st.permutations(range(7)),
)
def test_any_order_of_arrival_leaves_the_alert_as_the_order_of_occurrence_does(
    actions: list[str], order: list[int]
) -> None:
    """Event n occurred at second n. An acknowledge may be lost, but never silences a newer page."""
    state = given()
    for place, n in enumerate(order):
        now = NOW + place * WINDOW / 7
        state = after(state, *decided(state, at(100.0 + n, actions[n], EventId(f"{n}")), now))
    opened_by = None  # at PagerDuty, by the trigger that came last
    for event in list(state.waiting):
        action = state.waiting[event].action
        if action == "acknowledge":
            assert opened_by is None or int(event) > opened_by
        else:
            opened_by = int(event) if action == "trigger" else None
        state = after(state, *went(event))
    in_order = [action for action in actions if action != "acknowledge"]
    assert (opened_by is not None) == (in_order[-1:] == ["trigger"])


@for_any(st.lists(st.tuples(st.sampled_from(ACTIONS), st.none() | st.floats(1, NOW)), max_size=12))
def test_events_without_a_time_are_accepted_as_if_there_were_no_times(
    events: list[tuple[str, float | None]],
) -> None:
    state = given()
    for n, (action, occurred_at) in enumerate(events):
        command = at(occurred_at, action, EventId(f"{n}"))
        records = decided(state, command)
        if occurred_at is None:
            position = state.next_position
            assert records == [accepted(command.event.id, position, action=action)]
        state = after(state, *records)
