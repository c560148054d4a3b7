"""The status table: order of its rows, ages, and states in words."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from pdagent.dashboard.report import QueueReport, queue_reports, status_report
from pdagent.dashboard.table import print_queues, print_status

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
SOME_SECONDS_AGO, LONG_AGO = NOW - timedelta(seconds=3), NOW - timedelta(seconds=15)


def rows(*queues: QueueReport) -> list[list[str]]:
    buffer = io.StringIO()
    print_queues(queues, Console(file=buffer), NOW)
    return [line.split(maxsplit=5) for line in buffer.getvalue().splitlines()[1:]]


def test_the_longest_queue_stands_first_then_the_one_with_most_refused_events() -> None:
    shown = rows(
        QueueReport(queue="idle"),
        QueueReport(queue="broken", error=2),
        QueueReport(queue="busy", pending=5),
        QueueReport(queue="a-idle"),
    )
    assert [row[0] for row in shown] == ["busy", "broken", "a-idle", "idle"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3725, "1h02m"), (90000, "1d01h"), (-5, "0s")],
)
def test_ages_are_shown_in_their_two_largest_units(seconds: int, shown: str) -> None:
    queue = QueueReport(queue="q", oldest_waiting_at=NOW - timedelta(seconds=seconds))
    assert rows(queue)[0][2] == shown


@pytest.mark.parametrize(
    ("queue", "shown"),
    [
        (QueueReport(queue="q", state="active"), "active"),
        (QueueReport(queue="q", state="active", paced=True), "active, paced"),
        (
            QueueReport(
                queue="q", state="backing_off", next_attempt_at=NOW + timedelta(seconds=12)
            ),
            "backing off 12s",
        ),
        (QueueReport(queue="q", state="backing_off", next_attempt_at=NOW), "backing off"),
        (QueueReport(queue="q", state="active", held=True), "held"),
        (QueueReport(queue="q", state="active", in_flight_since=SOME_SECONDS_AGO), "active"),
        (QueueReport(queue="q", state="active", in_flight_since=LONG_AGO), "sending for 15s"),
        (
            QueueReport(queue="q", state="held", held=True, in_flight_since=LONG_AGO),
            "held",
        ),
        (QueueReport(queue="q", state="held", held=True, quarantined=True), "quarantined"),
        (QueueReport(queue="q", state="held", held=True, hold_reason="why"), "held (why)"),
    ],
)
def test_the_state_is_said_in_words(queue: QueueReport, shown: str) -> None:
    assert rows(queue)[0][5] == shown


@pytest.mark.parametrize(
    ("delivered_at", "deferred", "shown"),
    [
        (None, None, True),
        (LONG_AGO - timedelta(seconds=1), None, True),
        (SOME_SECONDS_AGO, None, False),
        (SOME_SECONDS_AGO, "server_error", True),
    ],
)
def test_an_error_is_shown_until_something_is_delivered_after_it(
    delivered_at: datetime | None, deferred: str | None, shown: bool
) -> None:
    queue = QueueReport(
        queue="q",
        state="active",
        last_error="http_400: Event object is invalid",
        last_error_at=LONG_AGO,
        last_delivered_at=delivered_at,
        deferred_because=deferred,
    )
    # Spelled as in JSON, so that what is read here can be searched for.
    assert ("http_400: Event object is invalid" in " ".join(rows(queue)[0])) is shown


def test_without_any_queue_it_says_so() -> None:
    buffer = io.StringIO()
    print_queues([], Console(file=buffer), NOW)
    assert buffer.getvalue() == "No events yet.\n"


def test_an_answer_of_another_shape_is_a_value_error() -> None:
    for wrong in ({}, {"status_items": 1}, {"status_items": [{"pending": "many"}]}):
        with pytest.raises(ValueError, match=r"Object missing|Expected"):
            queue_reports(wrong)
    with pytest.raises(ValueError, match="Object missing"):
        status_report({"agent": {}})
    assert queue_reports({"status_items": [{"from_a_newer_agent": 1}]}) == (QueueReport(),)


@pytest.mark.parametrize("height", [16, 24, 60])
def test_on_a_terminal_the_first_line_stays_on_the_screen(height: int) -> None:
    queues = [{"queue": f"key-{number}", "pending": 1} for number in range(40)]
    answer = {
        "agent": {"address": "127.0.0.1:1", "queues": {"matching": 40}, "warnings": ["w " * 60]},
        "pagerduty": {"state": "unreachable"},
        "totals": {"waiting": 40},
        "queues": queues,
    }
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, width=80, height=height)
    print_status(status_report(answer), console, NOW, fit=True)
    lines = buffer.getvalue().splitlines()
    assert len(lines) < height
    assert "unreachable" in lines[1]
    assert ("more keys" in lines[-1]) == (height < 60)
    assert len(lines) == height - 1 or height == 60
