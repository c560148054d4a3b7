"""Answers of an agent for tests of what is drawn: one that is well, and one in an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pdagent.dashboard.report import (
    AgentReport,
    PagerDutyReport,
    QueueReport,
    QueueSummary,
    StatusReport,
    Totals,
    TrafficReport,
)

NOW = datetime(2026, 8, 1, 2, 15, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


_AGENT = AgentReport(
    version="1.0.0",
    pid=4711,
    started_at=ago(3 * 3600),
    address="127.0.0.1:49463",
    traffic=TrafficReport(
        accepted=tuple(10 + n % 7 for n in range(120)),
        delivered=tuple(10 + n % 5 for n in range(108)) + (0,) * 12,
        waiting=(2,) * 108 + tuple(100 * n for n in range(1, 13)),
        accepted_per_second=2.4,
        delivered_per_second=0.0,
    ),
)

QUEUES = (
    QueueReport(
        queue="database",
        pending=812,
        success=31_200,
        state="backing_off",
        deferred_because="unreachable",
        oldest_waiting_at=ago(62),
        next_attempt_at=ago(1),
        last_delivered_at=ago(65),
        last_error="unreachable: events.pagerduty.com:443: Connection refused",
        last_error_at=ago(3),
    ),
    QueueReport(
        queue="checkout",
        pending=380,
        success=980,
        error=2,
        state="active",
        paced=True,
        calls_per_minute=118,
        oldest_waiting_at=ago(41),
        last_error="http_400: Event object is invalid",
        last_error_at=ago(7200),
        last_delivered_at=ago(63),
    ),
    QueueReport(
        queue="v4g5…bvj9",
        pending=8,
        success=77,
        state="held",
        held=True,
        hold_reason="failover test",
        oldest_waiting_at=ago(600),
    ),
    QueueReport(queue="kafka", pending=0, success=12, state="active", last_delivered_at=ago(90)),
)

_SUMMARY = QueueSummary(
    matching=4,
    backing_off=1,
    held=1,
    paced=1,
    oldest_waiting_at=ago(600),
    oldest_waiting_queue="v4g5…bvj9",
)


def agent(**changes: object) -> AgentReport:
    """The agent's part, changed."""
    fields = {name: getattr(_AGENT, name) for name in _AGENT.__struct_fields__}
    return AgentReport(**{**fields, "queues": _SUMMARY, **changes})


OUTAGE = StatusReport(
    agent=agent(),
    pagerduty=PagerDutyReport(
        state="unreachable",
        since=ago(62),
        last_error="events.pagerduty.com:443: Connection refused",
        in_flight=1,
    ),
    totals=Totals(accepted=33_471, delivered=32_269, waiting=1_200, dead_lettered=2),
    queues=QUEUES,
)
WELL = StatusReport(
    agent=agent(queues=QueueSummary(matching=1)),
    pagerduty=PagerDutyReport(state="reachable", since=ago(3600), in_flight=1),
    totals=Totals(accepted=50, delivered=50),
    queues=(QueueReport(queue="kafka", success=50, state="active"),),
)
EMPTY = StatusReport(
    agent=agent(queues=QueueSummary(), traffic=TrafficReport()),
    pagerduty=PagerDutyReport(),
    totals=Totals(),
)
