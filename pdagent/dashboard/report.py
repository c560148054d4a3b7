"""What the agent says of itself (`GET /status`, `GET /queue/status`), as typed structs.

Fields this version doesn't know are ignored, missing ones have neutral values, so that a command
and an agent of different versions still understand each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """One routing key's queue: counts of events, times in UTC.

    `queue` and `routing_key` are the configured name or the masked key; the full key only when it
    was asked for. `pending` events wait or are being delivered, `success` ones were delivered,
    `error` ones were dead-lettered, `discarded` ones were given up by an operator. A `paced` queue
    is delivered slowly because PagerDuty limited its rate. `in_flight_since` is when the attempt
    that is under way began.
    """

    queue: str = ""
    routing_key: str = ""
    pending: int = 0
    success: int = 0
    error: int = 0
    discarded: int = 0
    state: str = ""
    held: bool = False
    hold_reason: str | None = None
    quarantined: bool = False
    deferred_because: str | None = None
    paced: bool = False
    calls_per_minute: int | None = None
    oldest_waiting_at: Moment | None = None
    next_attempt_at: Moment | None = None
    in_flight_since: Moment | None = None
    last_delivered_at: Moment | None = None
    last_error: str | None = None
    last_error_at: Moment | None = None


class TrafficReport(msgspec.Struct, frozen=True, kw_only=True):
    """The last minutes in steps of `step_seconds`, oldest first: counts of events in each step.

    `waiting` is how many waited at the end of the step. The rates are of now.
    """

    step_seconds: int = 5
    accepted: tuple[int, ...] = ()
    delivered: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    accepted_per_second: float = 0.0
    delivered_per_second: float = 0.0


class QueueSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How many queues there are, and how many in which state.

    `matching` are those that the question was about, which may be more than the rows in its answer.
    `full` ones take no new events for now. Each name with `_queue` is that of one of them.
    """

    matching: int = 0
    with_dead_letters: int = 0
    dead_letters_queue: str | None = None
    backing_off: int = 0
    backing_off_queue: str | None = None
    held: int = 0
    held_queue: str | None = None
    quarantined: int = 0
    quarantined_queue: str | None = None
    paced: int = 0
    full: int = 0
    full_queue: str | None = None
    oldest_waiting_at: Moment | None = None
    oldest_waiting_queue: str | None = None
    longest_in_flight_since: Moment | None = None
    longest_in_flight_queue: str | None = None


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """The process that answered. `trouble` says why it can't do its work, one sentence per reason.

    `warnings` are about what else needs attention.
    """

    version: str = ""
    pid: int = 0
    started_at: Moment | None = None
    address: str = ""
    trouble: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    traffic: TrafficReport = TrafficReport()
    queues: QueueSummary = QueueSummary()


class PagerDutyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The link to PagerDuty: `reachable`, `failing`, `unreachable` or `unknown`, since when.

    `failing` means that PagerDuty answers but accepts nothing. `last_outage_seconds` is how long
    the outage took that ended at `since`, if one did. `relay` is the URL of the relay that took the
    last event if relays take them in PagerDuty's place.
    """

    state: str = "unknown"
    since: Moment | None = None
    last_outage_seconds: float | None = None
    events_url: str = ""
    relay: str | None = None
    last_error: str | None = None
    in_flight: int = 0

    @property
    def is_down(self) -> bool:
        """Whether all keys wait for it."""
        return self.state in ("failing", "unreachable")

    @property
    def who(self) -> str:
        """What takes this agent's events."""
        return "PagerDuty" if self.relay is None else "the relay"

    @property
    def title(self) -> str:
        """The same, and which relay it is."""
        return "PagerDuty" if self.relay is None else f"relay {self.relay}"


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of events over all routing keys, since the journal was made."""

    accepted: int = 0
    delivered: int = 0
    waiting: int = 0
    dead_lettered: int = 0
    discarded: int = 0


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `GET /status`."""

    agent: AgentReport
    pagerduty: PagerDutyReport
    totals: Totals
    queues: tuple[QueueReport, ...] = ()


class _QueueList(msgspec.Struct):
    status_items: tuple[QueueReport, ...]


def status_report(answer: Mapping[str, object]) -> StatusReport:
    """Read the answer of `GET /status`; ValueError for any other."""
    return msgspec.convert(answer, StatusReport)


def queue_reports(answer: Mapping[str, object]) -> tuple[QueueReport, ...]:
    """Read the answer of `GET /queue/status`; ValueError for any other."""
    return msgspec.convert(answer, _QueueList).status_items
