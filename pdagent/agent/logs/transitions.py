"""One log line for each transition in the life of an event, except where that says nothing new."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

from actors.core.verdict import NOT_AT_PAGERDUTY
from pdagent.agent.logs import Lines, shown
from pdagent.agent.logs.thread import LogThread
from pdagent.occurrence import utc_timestamp
from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventRetried,
    QueueHeld,
    QueueId,
    QueueReleased,
    Record,
    event_of,
)

LOGGER = "pdagent.agent.logs.transitions"
SAY_AGAIN_AFTER = 60.0  # seconds

_MOST_KEPT = 2_000

Fields = dict[str, object]

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# What happened in a word, and the fields that belong to it.
_LINES: dict[type[Record], tuple[str, tuple[str, ...]]] = {
    EventAccepted: ("accepted", ("kind", "action", "source")),
    EventDelivered: ("delivered", ("status", "seconds")),
    DeliveryDeferred: ("deferred", ("reason", "detail", "seconds")),
    EventDeadLettered: ("dead_lettered", ("reason", "detail", "seconds")),
    EventRetried: ("retried", ("forced",)),
    EventDiscarded: ("discarded", ("reason",)),
    QueueHeld: ("held", ("reason",)),
    QueueReleased: ("released", ()),
    ActorRestarted: (
        "the outcome of an attempt is unknown, its event is sent again",
        ("reason",),
    ),
}


class TransitionLog:
    """An observer of committed records; `name_of` gives a queue's name as people may see it.

    The start of a delivery has no line: its outcome follows with the seconds that it took. Nor has
    what is below the level `least` of `logging`. `target` is what takes the events, in words.
    """

    def __init__(
        self,
        thread: LogThread,
        lines: Lines,
        name_of: Callable[[QueueId], str],
        *,
        least: int = logging.INFO,
        target: str = "PagerDuty",
    ) -> None:
        self._thread = thread
        self._lines = lines
        self._name_of = name_of
        self._least = least
        self._outage = _Outage(target)
        self._what_was_accepted = lru_cache(_MOST_KEPT)(self._shown_of_accepted)

    def __call__(self, queue: QueueId, records: Sequence[Record]) -> None:
        """Called in the writer's thread: leaves the work to the log's."""
        for record in records:
            if type(record) is not DeliveryStarted:
                self._thread.put(self._render, (queue, record))

    def _render(self, transition: tuple[QueueId, Record]) -> str:
        queue, record = transition
        if isinstance(record, EventAccepted) and not self._lines.are_json:
            return self._accepted(queue, record)
        text = ""
        about_the_link = self._outage.line_about(record)
        if about_the_link is not None:
            text = self._line(record.at, "warning", self._lines.mask(about_the_link), {})
        if isinstance(record, DeliveryDeferred) and _trouble(record):
            return text  # the same for every event: the line about the link covers all
        level = _level(record)
        if _LEVELS[level] < self._least:
            return text
        message, names = _LINES[type(record)]
        event = event_of(record)
        fields: Fields = {} if event is None else {"event": event}
        fields["queue"] = self._name_of(queue)
        for field in names:
            value = getattr(record, field)
            masked = field in ("reason", "detail")
            fields[field] = self._lines.mask(value) if masked else value
        if isinstance(record, DeliveryDeferred):
            fields["retry_in"] = max(0.0, record.retry_at - record.at)
        elif isinstance(record, EventDeadLettered):
            fields["see"] = f"pagerduty-agent queue show {record.event}"
        return text + self._line(record.at, level, message, fields)

    def _accepted(self, queue: QueueId, record: EventAccepted) -> str:
        """The most frequent line, put together from what many events share and what they don't."""
        if self._least > logging.INFO:
            return ""
        rest = self._what_was_accepted(queue, record.kind, record.action, record.source)
        return f"{utc_timestamp(record.at)} INFO    accepted event={record.event}{rest}\n"

    def _shown_of_accepted(self, queue: QueueId, kind: str, action: str, source: str) -> str:
        name = self._name_of(queue)
        return shown({"queue": name, "kind": kind, "action": action, "source": source})

    def _line(self, at: float, level: str, message: str, fields: Fields) -> str:
        if _LEVELS[level] < self._least:
            return ""
        return self._lines.line(at, level, LOGGER, message, fields)


def _level(record: Record) -> str:
    match record:
        case EventDiscarded(reason="journal_full"):
            return "error"  # an alert that is lost
        case EventDeadLettered() | ActorRestarted():
            return "warning"
    return "info"


def _trouble(record: DeliveryDeferred) -> str | None:
    """What is wrong with the link, if this attempt failed because of it."""
    if record.reason in NOT_AT_PAGERDUTY:
        return "can't be reached"
    return "answers, but accepts no event" if record.link_failing else None


class _Outage:
    """Logs trouble with the link to `who` once, then once a minute with a count, and its end.

    A link that comes and goes within the minute is not logged more often than that either.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._since: float | None = None
        self._failed = 0
        self._told = False
        self._next = 0.0

    def line_about(self, record: Record) -> str | None:
        """What to log about the link now that `record` happened."""
        match record:
            case DeliveryDeferred(detail=detail, at=at) if trouble := _trouble(record):
                return self._failure(at, f"{self._who} {trouble} ({detail})")
            case EventDelivered(at=at):
                return self._success(at)
            case EventDeadLettered(at=at, reason=reason) if reason != "gave_up":
                return self._success(at)
        return None

    def _failure(self, at: float, trouble: str) -> str | None:
        self._failed += 1
        if self._since is None:
            self._since = at
        if self._next - SAY_AGAIN_AFTER <= at < self._next:
            return None
        self._next, told_before, self._told = at + SAY_AGAIN_AFTER, self._told, True
        if not told_before:
            return f"{trouble}: events are kept, one attempt a second finds out when it is back"
        return f"{trouble} for {at - self._since:.0f} s, {self._failed} attempts"

    def _success(self, at: float) -> str | None:
        since, self._since = self._since, None
        if since is None or not self._told:
            return None
        attempts, self._failed, self._told = self._failed, 0, False
        return (
            f"{self._who} accepts events again after {at - since:.0f} s, {attempts} attempts failed"
        )
