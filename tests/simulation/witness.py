"""Watches every record as it reaches the disk, and knows what must be true of the next one.

It shares nothing with the core: what it knows about a queue it has from the promises alone. A
broken promise raises `Violation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from store.records import (
    ActorRestarted,
    DeliveryDeferred,
    DeliveryStarted,
    Entry,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    EventRetried,
    Expectation,
    QueueHeld,
    QueueId,
    QueueReleased,
    Record,
)


class Violation(AssertionError):
    """A promise was broken."""


def require(condition: object, message: str) -> None:
    """Raise `Violation` unless `condition` holds."""
    if not condition:
        raise Violation(message)


class Life(msgspec.Struct, kw_only=True, eq=False):
    """What is known of one event. `place` counts acceptances of its queue.

    `again`: it was accepted anew after its records had been removed, as retention allows.
    `overtaken`: a trigger of its alert that occurred later was accepted before it.
    """

    event: EventId
    queue: QueueId
    place: int
    action: str
    dedup_key: str
    fingerprint: bytes
    state: str = "waiting"
    attempts: int = 0
    requeued: bool = False
    again: bool = False
    superseded: bool = False
    retries: int = 0
    tried_at: float | None = None
    failing_since: float | None = None
    room: int = 0
    place_of_death: int = 0
    accepted_at: float = 0.0
    occurred_at: float | None = None
    overtaken: bool = False


CLOSING = "closing"
"""How the ids of resolves begin that the agent makes; the id of their trigger follows."""

ALARM = "alarm"
"""How the ids of triggers begin that the agent accepts because a job did not report."""

_REMEMBERED = 900.0


_ROOM_OF_ATTEMPT = 300


def _room(life: Life) -> int:
    """About how many bytes of the journal an event takes."""
    return life.room + _ROOM_OF_ATTEMPT * life.attempts


class Line(msgspec.Struct, kw_only=True, eq=False):
    """One queue: the events that wait in the order of delivery, and how many went where."""

    waiting: list[EventId] = []
    in_flight: EventId | None = None
    held: bool = False
    accepted: int = 0
    delivered: int = 0
    discarded: int = 0
    dead: int = 0


class KnownJob(msgspec.Struct, eq=False):
    """A job by its reports: is its alert open (unknown counts as open), what is expected?"""

    alert_open: bool
    expected: Expectation | None = None


def _time(life: Life) -> float:
    return -math.inf if life.occurred_at is None else life.occurred_at


def occurred_last(alert: Sequence[Life]) -> Life | None:
    """Of these in the order of acceptance; of those at the same time, the last."""
    return max(reversed(alert), key=_time, default=None)  # the first of several largest


class Witness:
    """All queues by id and all events by id, as told by the records alone."""

    def __init__(self, max_queue_length: int, give_up_after: float = math.inf) -> None:
        self.lines: dict[QueueId, Line] = {}
        self.lives: dict[EventId, Life] = {}
        self.died: Callable[[Life, EventDeadLettered], None] = lambda life, record: None
        self.journal_limit = 1 << 62
        self.clock_jumps = False
        self.alerts: dict[tuple[QueueId, str], list[Life]] = {}
        self._open_before: dict[EventId, bool] = {}
        self.jobs: dict[tuple[QueueId, str], KnownJob] = {}
        self._deaths = 0
        self._limit = max_queue_length
        self._give_up_after = give_up_after

    def line(self, queue: QueueId) -> Line:
        """A queue, made known if it is new."""
        return self.lines.setdefault(queue, Line())

    def see(self, queue: QueueId, record: Record) -> None:
        """A record was committed. Raises `Violation`."""
        line = self.line(queue)
        match record:
            case EventAccepted():
                self._accepted(queue, line, record)
            case DeliveryStarted():
                self._started(line, record)
            case DeliveryDeferred():
                self._deferred(self._ended(line, record.event, "waiting"), record)
            case EventDelivered():
                life = self._ended(line, record.event, "delivered")
                line.delivered += 1
                self._supersede(life)
            case EventDeadLettered():
                life = self._ended(line, record.event, "dead")
                self._deaths += 1
                life.place_of_death = self._deaths
                self.died(life, record)
                line.dead += 1
            case EventRetried():
                self._retried(line, record)
            case EventDiscarded():
                if record.reason == "journal_full":
                    self._for_want_of_room(self.lives[record.event])
                self._discarded(line, record.event)
                life = self.lives[record.event]
                require(
                    record.reason != "not_needed" or not self._open_before[life.event],
                    f"{life.event} was not delivered although the alert of its job is open",
                )
                require(
                    life.overtaken or record.reason != "overtaken" or self.clock_jumps,
                    f"{life.event} was discarded although nothing had overtaken it",
                )
            case QueueHeld():
                line.held = True
            case QueueReleased():
                require(line.held, f"queue {queue} was released without being held")
                line.held = False
            case ActorRestarted():
                require(line.in_flight, f"queue {queue}: a restart without an attempt in flight")
                line.in_flight = None

    def removed(self, entries: Iterable[Entry]) -> None:
        """The `EventAccepted` entries of these events are removed: are they done with?"""
        for entry in entries:
            if isinstance(entry.record, EventAccepted):
                life = self.lives[entry.record.event]
                require(
                    life.state in ("delivered", "discarded"),
                    f"{life.event} was removed from the journal while {life.state}",
                )
                life.state += ", removed"

    def forgotten(self, queue: QueueId) -> None:
        """A queue is removed from the journal: is there nothing left of it?"""
        line = self.line(queue)
        require(not line.waiting, f"queue {queue} was forgotten while {line.waiting} wait")
        require(not line.dead, f"queue {queue} was forgotten with {line.dead} dead letters")
        require(not line.held, f"queue {queue} was forgotten while it is held")
        for alert in [alert for alert in self.alerts if alert[0] == queue]:
            del self.alerts[alert]

    def waiting(self) -> list[EventId]:
        """All events that are neither delivered nor given up."""
        return [event for line in self.lines.values() for event in line.waiting]

    def _accepted(self, queue: QueueId, line: Line, record: EventAccepted) -> None:
        known = self.lives.get(record.event)
        require(
            known is None or known.state.endswith("removed"), f"{record.event} was accepted twice"
        )
        closing, alarm = record.event.startswith(CLOSING), record.event.startswith(ALARM)
        self._report(queue, record)
        require(
            alarm or len(line.waiting) < self._limit + closing,
            f"queue {queue} is longer than its limit",
        )
        line.accepted += 1
        life = self.lives[record.event] = Life(
            event=record.event,
            queue=queue,
            place=line.accepted,
            action=record.action,
            dedup_key=record.dedup_key,
            fingerprint=record.fingerprint,
            again=known is not None,
            room=record.room,
            accepted_at=record.at,
            occurred_at=record.occurred_at,
        )
        room = sum(self.lives[event].room for event in line.waiting)
        require(
            room < self.journal_limit // 2 or closing or alarm,
            f"{life.event} goes beyond the share of its key",
        )
        self._occurred(life, line)
        line.waiting.append(record.event)

    def _report(self, queue: QueueId, record: EventAccepted) -> None:
        """What occurred last holds; of what has no time, what was accepted last."""
        last = occurred_last(self.alerts.get((queue, record.dedup_key), []))
        late = (
            record.occurred_at is not None
            and last is not None
            and record.occurred_at < _time(last)
            and record.at - last.accepted_at < _REMEMBERED
        )
        job = self.jobs.get((queue, record.dedup_key))
        if record.event.startswith(ALARM):
            expected = job and job.expected
            require(
                job and expected and expected.event == record.event,
                f"{record.event} came although its job was not expected",
            )
            assert job is not None and expected is not None
            require(record.at >= expected.by, f"{record.event} came before its time")
            job.alert_open, job.expected = True, None
        elif record.job is not None:
            failed = record.action == "trigger"
            if job is None:
                job = self.jobs[queue, record.dedup_key] = KnownJob(alert_open=True)
            self._open_before[record.event] = job.alert_open
            if late:
                return
            job.alert_open = failed
            if not (failed and job.expected and record.job.expected):
                job.expected = record.job.expected

    def expected(self) -> list[str]:
        """The jobs that have to report, or the agent will trigger."""
        return [key for (_, key), job in self.jobs.items() if job.expected is not None]

    def _occurred(self, life: Life, line: Line) -> None:
        """By the times of occurrence: has a later one overtaken it, is a resolve needed again?"""
        alert = self.alerts.setdefault((life.queue, life.dedup_key), [])
        last = occurred_last(alert)
        if last is not None and not 0 <= life.accepted_at - last.accepted_at < _REMEMBERED:
            alert.clear()
            last = None
        if life.event.startswith(CLOSING):
            trigger = line.waiting[-1]
            require(life.event.endswith(f" {trigger}"), f"{life.event} was made for {trigger}")
            require(
                (last is not None and last.action == "resolve") or self.clock_jumps,
                f"{life.event} was made although nothing had resolved its alert",
            )
        elif life.occurred_at is not None and last is not None and last.action == "trigger":
            life.overtaken = life.action != "trigger" and _time(life) < _time(last)
        if life.action in ("trigger", "resolve"):
            if life.occurred_at is None:
                alert.clear()
            alert.append(life)

    def _started(self, line: Line, record: DeliveryStarted) -> None:
        event = record.event
        require(not line.held, f"{event} was started although its queue is held")
        require(line.in_flight is None, f"{event} was started while {line.in_flight} is in flight")
        require(
            line.waiting and line.waiting[0] == event,
            f"{event} was started before its turn, which is {line.waiting[:1]}'s",
        )
        life = self.lives[event]
        require(
            not life.overtaken or life.again or self.clock_jumps,
            f"{event} was started although a newer trigger of its alert had overtaken it",
        )
        life.attempts += 1
        life.tried_at = record.at if life.tried_at is None else life.tried_at
        require(record.attempt == life.attempts, f"{event}: attempt {record.attempt} is miscounted")
        line.in_flight = event

    def _ended(self, line: Line, event: EventId, state: str) -> Life:
        require(line.in_flight == event, f"{event} {state} without being in flight")
        line.in_flight = None
        life = self.lives[event]
        life.state = state
        if state != "waiting":
            line.waiting.remove(event)
        return life

    def _deferred(self, life: Life, record: DeliveryDeferred) -> None:
        if record.reason == "unreachable":
            life.failing_since = None
        elif record.reason != "rate_limited":
            if life.failing_since is None:
                life.failing_since = record.at
            require(
                record.at - life.failing_since < self._give_up_after,
                f"{life.event} is still tried after give_up_after",
            )

    def _retried(self, line: Line, record: EventRetried) -> None:
        life = self.lives[record.event]
        life.retries += 1
        if life.state == "dead":
            require(
                record.forced or not life.superseded,
                f"{life.event}, overtaken by a later event of its alert, was retried without force",
            )
            line.dead -= 1
            line.waiting.append(life.event)
            life.state, life.requeued, life.failing_since = "waiting", True, None
        require(
            life.state == "waiting" and line.in_flight != life.event,
            f"{life.event} was retried while {life.state}",
        )

    def _discarded(self, line: Line, event: EventId) -> None:
        life = self.lives[event]
        if life.state == "dead":
            line.dead -= 1
        else:
            require(
                life.state == "waiting" and line.in_flight != event,
                f"{event} was discarded while {life.state}",
            )
            line.waiting.remove(event)
        line.discarded += 1
        life.state = "discarded"

    def _for_want_of_room(self, life: Life) -> None:
        """Only the oldest dead letter of a key is discarded for it, and only from too many."""
        dead = [each for each in self.lives.values() if each.state == "dead"]
        of_key = [each for each in dead if each.queue == life.queue]
        oldest = min(of_key, key=lambda each: each.place_of_death, default=None)
        require(life is oldest, f"{life.event}, {life.state}, was discarded for want of room")
        require(
            sum(map(_room, of_key)) > self.journal_limit // 4
            or sum(map(_room, dead)) > self.journal_limit // 2,
            f"{life.event} was discarded for want of room although there was some",
        )

    def _supersede(self, delivered: Life) -> None:
        harmed = {"resolve": ("trigger",), "trigger": ("acknowledge", "resolve")}
        for life in self.lives.values():
            if (
                life.state == "dead"
                and life.action in harmed.get(delivered.action, ())
                and (life.queue, life.dedup_key) == (delivered.queue, delivered.dedup_key)
            ):
                life.superseded = True
