"""One log line for each transition in the life of an event, except where that says nothing new."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pdagent.agent.logs import Lines
from pdagent.agent.logs.thread import LogThread
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
SAY_AGAIN_AFTER = 60.0
MOST_DEFERRALS = 100
"""Lines in `SAY_AGAIN_AFTER` seconds about attempts that failed for one reason."""

Fields = dict[str, object]

_SHOW_THE_LINK = (EventDelivered, DeliveryDeferred, EventDeadLettered)
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class TransitionLog:
    """An observer of committed records; `name_of` gives a queue's name as people may see it.

    The start of a delivery has no line: its outcome follows with the seconds that it took. Nor has
    what is below the level `least` of `logging`.
    """

    def __init__(
        self,
        thread: LogThread,
        lines: Lines,
        name_of: Callable[[QueueId], str],
        *,
        least: int = logging.INFO,
    ) -> None:
        self._thread = thread
        self._lines = lines
        self._name_of = name_of
        self._least = least
        self._names: dict[QueueId, str] = {}
        self._outage = _Outage()
        self._deferrals = _Deferrals()

    def __call__(self, queue: QueueId, record: Record) -> None:
        """Called in the writer's thread: leaves the work to the log's."""
        if type(record) is not DeliveryStarted:
            self._thread.put(self._render, (queue, record))

    def _render(self, transition: tuple[QueueId, Record]) -> str:
        queue, record = transition
        text = ""
        if type(record) in _SHOW_THE_LINK:
            about_the_link = self._outage.line_about(record)
            if about_the_link is not None:
                text = self._line(record.at, "warning", self._lines.mask(about_the_link), {})
            if isinstance(record, DeliveryDeferred) and _trouble(record):
                return text  # the same for every event: the line about the link covers all
            for left_out in self._deferrals.counts(record.at):
                text += self._line(record.at, "warning", left_out, {})
            if isinstance(record, DeliveryDeferred) and not self._deferrals.is_logged(record):
                return text
        level = _level(record)
        if _LEVELS[level] < self._least:
            return text
        name = self._names.get(queue)
        if name is None:
            name = self._names[queue] = self._name_of(queue)
        message, more = self._told(record)
        fields: Fields = {"event": event_of(record), "queue": name, **more}
        if fields["event"] is None:
            del fields["event"]
        return text + self._line(record.at, level, message, fields)

    def _line(self, at: float, level: str, message: str, fields: Fields) -> str:
        if _LEVELS[level] < self._least:
            return ""
        return self._lines.line(at, level, LOGGER, message, fields)

    def _told(self, record: Record) -> tuple[str, Fields]:
        """What happened in a word, and what belongs to it."""
        mask = self._lines.mask
        match record:
            case EventAccepted():
                return "accepted", {"kind": record.kind, "action": record.action}
            case EventDelivered():
                return "delivered", {"status": record.status, "seconds": record.seconds}
            case DeliveryDeferred():
                return "deferred", {
                    "reason": record.reason,
                    "detail": mask(record.detail),
                    "seconds": record.seconds,
                    "retry_in": max(0.0, record.retry_at - record.at),
                }
            case EventDeadLettered():
                return "dead_lettered", {
                    "reason": record.reason,
                    "detail": mask(record.detail),
                    "seconds": record.seconds,
                    "see": f"pagerduty-agent queue show {record.event}",
                }
            case EventRetried():
                return "retried", {"forced": record.forced}
            case EventDiscarded():
                return "discarded", {"reason": mask(record.reason)}
            case QueueHeld():
                return "held", {"reason": mask(record.reason)}
            case QueueReleased():
                return "released", {}
            case ActorRestarted():
                what = "the outcome of an attempt is unknown, its event is sent again"
                return what, {"reason": mask(record.reason)}
            case DeliveryStarted():
                return "started", {"attempt": record.attempt}


def _level(record: Record) -> str:
    match record:
        case EventDiscarded(reason="journal_full"):
            return "error"  # an alert that is lost
        case EventDeadLettered() | ActorRestarted():
            return "warning"
    return "info"


def _trouble(record: DeliveryDeferred) -> str | None:
    """What is wrong with the link, if this attempt failed because of it."""
    if record.reason == "unreachable":
        return "can't be reached"
    return "answers, but accepts no event" if record.link_failing else None


class _Outage:
    """Logs trouble with the link to PagerDuty once, then once a minute with a count, and its end.

    A link that comes and goes within the minute is not logged more often than that either.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._failed = 0
        self._told = False
        self._next = 0.0

    def line_about(self, record: Record) -> str | None:
        """What to log about the link now that `record` happened."""
        match record:
            case DeliveryDeferred(detail=detail, at=at) if trouble := _trouble(record):
                return self._failure(at, f"PagerDuty {trouble} ({detail})")
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
            f"PagerDuty accepts events again after {at - since:.0f} s, {attempts} attempts failed"
        )


class _Deferrals:
    """Logs the first `MOST_DEFERRALS` failed attempts of each reason in a minute, counts the rest.

    A PagerDuty that answers every event with 503 must not fill the disk with the same line.
    """

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._seen: dict[str, int] = {}

    def counts(self, now: float) -> list[str]:
        """Lines about minutes that are over."""
        over = [
            reason
            for reason, began in self._began.items()
            if not began <= now < began + SAY_AGAIN_AFTER
        ]
        said = []
        for reason in over:
            more = self._seen.pop(reason) - MOST_DEFERRALS
            length = now - self._began.pop(reason)
            if more > 0:
                said.append(f"{more} more attempts were deferred ({reason}) in {length:.0f} s")
        return said

    def is_logged(self, record: DeliveryDeferred) -> bool:
        """Whether this attempt gets a line of its own."""
        self._began.setdefault(record.reason, record.at)
        self._seen[record.reason] = self._seen.get(record.reason, 0) + 1
        return self._seen[record.reason] <= MOST_DEFERRALS
