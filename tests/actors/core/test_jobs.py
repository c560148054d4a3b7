"""Jobs report their ends: what is resolved, and what happens when no success is reported."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import jobs
from actors.core.commands import AcceptEvent, Policy, TriggerOverdue
from actors.core.state import QueueState, from_snapshot, to_snapshot
from store.records import EventAccepted, EventDiscarded, EventId, Expectation, JobReport, Record
from tests.actors.core.life import NOW, accept, after, given, when

ALERT = "run/web1/backup"


def expectation(by: float, alarm: str = "alarm") -> Expectation:
    return Expectation(by=by, event=EventId(alarm), body=b'{"the": "alarm"}')


def report(
    id_: str,
    action: str,
    *,
    expected: Expectation | None = None,
    only_if_open: bool = True,
    **fields: Any,
) -> AcceptEvent:
    return accept(
        EventId(id_),
        **{
            "action": action,
            "dedup_key": ALERT,
            "job": JobReport(expected=expected),
            "only_if_open": only_if_open and action == "resolve",
            **fields,
        },
    )


def lived(state: QueueState, *reports: AcceptEvent, now: float = NOW) -> list[Record]:
    """The records of the last of these reports; the state has gone on to it."""
    records: list[Record] = []
    for each in reports:
        decided = when(state, each, now=now)
        assert isinstance(decided, list)
        records = decided
        after(state, *records)
    return records


def is_delivered(records: list[Record]) -> bool:
    return [type(record) for record in records] == [EventAccepted]


def overdue(state: QueueState, now: float) -> list[EventAccepted]:
    """The alarms that are accepted now; the state goes on."""
    records = when(state, TriggerOverdue(), now=now)
    assert isinstance(records, list)
    after(state, *records)
    return [record for record in records if isinstance(record, EventAccepted)]


# Resolving


def test_the_first_success_is_delivered_as_nothing_is_known_of_the_alert() -> None:
    assert is_delivered(lived(given(), report("a", "resolve")))


def test_a_success_after_a_success_is_recorded_and_not_delivered() -> None:
    records = lived(given(), report("a", "resolve"), report("b", "resolve"))
    assert records[1:] == [EventDiscarded(event=EventId("b"), reason="not_needed", at=NOW)]


def test_a_success_after_a_failure_is_delivered() -> None:
    successes = report("a", "resolve"), report("c", "resolve")
    assert is_delivered(lived(given(), successes[0], report("b", "trigger"), successes[1]))


def test_always_resolve_delivers_each_success() -> None:
    second = report("b", "resolve", only_if_open=False)
    assert is_delivered(lived(given(), report("a", "resolve"), second))


def test_another_sender_of_the_alert_counts_too() -> None:
    by_hand = accept(EventId("b"), dedup_key=ALERT)
    assert is_delivered(lived(given(), report("a", "resolve"), by_hand, report("c", "resolve")))


def test_a_failure_that_arrives_late_leaves_the_alert_closed() -> None:
    success = report("a", "resolve", occurred_at=NOW - 1)
    closing = accept(EventId("closing"), action="resolve", dedup_key=ALERT).event
    failure = report("b", "trigger", occurred_at=NOW - 5, closing=closing)
    state = given()
    assert [record.event for record in lived(state, success, failure)] == ["b", "closing"]  # type: ignore[union-attr]
    assert not is_delivered(lived(state, report("c", "resolve")))


# Expecting


def test_a_job_that_reports_no_success_in_time_triggers_once() -> None:
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    assert overdue(state, NOW + 59) == []
    (alarm,) = overdue(state, NOW + 60)
    assert (alarm.event, alarm.action, alarm.dedup_key) == ("alarm", "trigger", ALERT)
    assert alarm.body == b'{"the": "alarm"}'
    assert overdue(state, NOW + 9_999) == []


def test_the_next_success_resolves_it_and_is_expected_anew() -> None:
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    overdue(state, NOW + 60)
    again = report("b", "resolve", expected=expectation(NOW + 160, "another"))
    assert is_delivered(lived(state, again, now=NOW + 100))
    assert [alarm.event for alarm in overdue(state, NOW + 160)] == ["another"]


def test_a_success_moves_the_deadline_a_failure_does_not() -> None:
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    lived(state, report("b", "resolve", expected=expectation(NOW + 90, "second")))
    lived(state, report("c", "trigger", expected=expectation(NOW + 120, "third")))
    assert [alarm.event for alarm in overdue(state, NOW + 90)] == ["second"]


def test_a_job_whose_first_run_fails_is_expected_too() -> None:
    state = given()
    lived(state, report("a", "trigger", expected=expectation(NOW + 60)))
    assert overdue(state, NOW + 60)


@pytest.mark.parametrize("action", ["trigger", "resolve"])
def test_a_report_that_expects_nothing_ends_the_expectation(action: str) -> None:
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)), report("b", action))
    assert overdue(state, NOW + 60) == []


def test_a_success_from_the_spool_resolves_an_alarm_that_was_quicker() -> None:
    state = given()
    lived(state, report("a", "resolve", occurred_at=NOW, expected=expectation(NOW + 60)))
    overdue(state, NOW + 100)
    spooled = report("b", "resolve", occurred_at=NOW + 50, expected=expectation(NOW + 110, "next"))
    assert is_delivered(lived(state, spooled, now=NOW + 101))


def test_a_full_queue_takes_the_alarm() -> None:
    state, full = given(), Policy(max_queue_length=1)
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    records = when(state, TriggerOverdue(), now=NOW + 60, policy=full)
    assert [type(record) for record in records] == [EventAccepted]  # type: ignore[union-attr]


def test_what_is_expected_survives_a_snapshot() -> None:
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    restored = from_snapshot(to_snapshot(state))
    assert to_snapshot(restored) == to_snapshot(state)
    assert [alarm.event for alarm in overdue(restored, NOW + 60)] == ["alarm"]


# Limits


def test_with_too_many_jobs_those_that_owe_nothing_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "MOST_JOBS", 2)
    state = given()
    lived(state, report("a", "resolve", expected=expectation(NOW + 60)))
    lived(state, report("b", "resolve", dedup_key="idle"), report("c", "trigger", dedup_key="new"))
    assert set(state.jobs) == {ALERT, "new"}
    refused = report("d", "resolve", dedup_key="more", expected=expectation(NOW + 1, "lost"))
    (accepted,) = lived(state, refused)
    assert isinstance(accepted, EventAccepted)
    assert "NOT" in accepted.warnings[0]
    assert [alarm.event for alarm in overdue(state, NOW + 60)] == ["alarm"]
