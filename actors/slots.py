"""Who may deliver when: at most one delivery a queue, at most one a sender, in turn.

Sequencers and Senders share this object. A turn is asked for and given back many times a second,
so it is a lock and four tables, not a further actor with two more hand-overs for each event.
A verdict stays here until the queue's Sequencer claims it: one that dies meanwhile finds it when
it comes back, so a message lost in a dead actor's inbox costs nothing and no event is in flight
twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from actors.core.breaker import Breaker, LinkState
from actors.core.concurrency import Concurrency
from actors.core.verdict import (
    NOT_SENT,
    THE_KEYS_OWN,
    Deferred,
    Delivered,
    Rejected,
    Verdict,
)
from actors.messages import Grant, SenderId
from store.records import EventId, QueueId

Monotonic = Callable[[], float]


class _Attempt(msgspec.Struct, frozen=True):
    sender: SenderId
    event: EventId
    number: int
    since: float


class _Failed(msgspec.Struct, frozen=True):
    """The last attempt of a queue failed. `accepted`: how many events were accepted until then.

    A `suspect` has failed while others were accepted.
    """

    event: EventId
    accepted: int
    suspect: bool


class EndedAttempt(msgspec.Struct, frozen=True):
    """A verdict that waits to be claimed.

    `counts`: PagerDuty accepted another event since the previous attempt of this one.
    `link_failing`: no key gets through, so the shared probe says when to try again.
    """

    event: EventId
    verdict: Verdict
    counts: bool
    link_failing: bool


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the way to PagerDuty.

    `failing` means that PagerDuty, or something in its place, answers but accepts nothing. `lasts`
    (seconds) is for how long `state` has lasted, None before the first answer. `outage` is how long
    no event has got through, failing and unreachable in turn perhaps, None if one does.
    `last_outage` is how long the last outage took, None if there was none since the start.
    """

    state: LinkState
    lasts: float | None
    outage: float | None
    last_outage: float | None
    last_error: str | None
    in_flight: int
    waiting_for_turn: int


class DeliverySlots:
    """The turns of all queues. Every method may be called from any thread and returns at once."""

    def __init__(self, senders: int, clock: Monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._breaker = Breaker()
        self._concurrency = Concurrency()
        self._idle: list[SenderId] = list(range(senders))[::-1]
        self._vacant: set[SenderId] = set()
        self._waiting: OrderedDict[QueueId, None] = OrderedDict()
        self._granted: dict[QueueId, SenderId] = {}
        self._delivering: dict[QueueId, _Attempt] = {}
        self._outcomes: dict[QueueId, EndedAttempt] = {}
        self._accepted = 0
        self._failed: dict[QueueId, _Failed] = {}
        self._paused = False

    def acquire(self, queue: QueueId, *, untried: bool = False) -> SenderId | None:
        """A sender for this queue now, or None: then a `Grant` follows when its turn comes.

        While queues share a probe, an `untried` event is the next one: those that have failed
        before may themselves be the trouble, and must not keep all others from proving otherwise.
        """
        with self._lock:
            if queue in self._granted:
                return self._granted[queue]
            if self._idle and not self._waiting and not self._paused and self._may_begin():
                return self._grant(queue)
            self._waiting.setdefault(queue)
            if untried and self._breaker.is_open:
                self._waiting.move_to_end(queue, last=False)
            return None

    def release(self, queue: QueueId) -> list[Grant]:
        """Give up a turn or the place in the line (the queue is held, empty or quarantined)."""
        with self._lock:
            self._waiting.pop(queue, None)
            sender = self._granted.pop(queue, None)
            if sender is not None:
                self._idle.append(sender)
            return self._grant_all()

    def begin(self, queue: QueueId, event: EventId, number: int) -> bool:
        """The granted delivery, attempt `number` of its event, is handed to its sender.

        False if the turn was taken back, because the Sequencer that had it died meanwhile.
        """
        with self._lock:
            sender = self._granted.pop(queue, None)
            if sender is None:
                return False
            self._delivering[queue] = _Attempt(sender, event, number, self._clock())
            return True

    def finish(
        self, queue: QueueId, event: EventId, number: int, verdict: Verdict
    ) -> list[Grant] | None:
        """Note a verdict, free its sender, and say who is next; None if it was given up before."""
        with self._lock:
            attempt = self._delivering.get(queue)
            if attempt is None or (attempt.event, attempt.number) != (event, number):
                return None
            del self._delivering[queue]
            self._concurrency.ended(self._clock() - attempt.since)
            counts = self._counts(queue, event, verdict)
            self._learn(queue, attempt, verdict, counts=counts)
            self._outcomes[queue] = EndedAttempt(event, verdict, counts, self._breaker.is_open)
            self._idle.append(attempt.sender)
            return self._grant_all()

    def abandon(self, sender: SenderId, detail: str) -> list[QueueId]:
        """A sender died or hangs: its delivery counts as one without an answer.

        Its place stays empty until `replaced`. Returns the queue concerned, if any.
        """
        with self._lock:
            queues = [q for q, attempt in self._delivering.items() if attempt.sender == sender]
            for queue in queues:
                event = self._delivering.pop(queue).event
                verdict = Deferred(reason="no_answer", detail=detail)
                # It does not count: the trouble is the agent's.
                self._outcomes[queue] = EndedAttempt(event, verdict, False, self._breaker.is_open)
                self._vacant.add(sender)
            return queues

    def replaced(self, sender: SenderId) -> list[Grant]:
        """A sender has started in this place; returns who is next."""
        with self._lock:
            if sender in self._vacant:
                self._vacant.discard(sender)
                self._idle.append(sender)
            return self._grant_all()

    def is_idle(self, sender: SenderId) -> bool:
        """Whether the next turn may be given with this sender."""
        with self._lock:
            return sender in self._idle

    def stuck(self, limit: float) -> list[SenderId]:
        """Senders busy with one delivery for more than `limit` seconds."""
        with self._lock:
            before = self._clock() - limit
            return [a.sender for a in self._delivering.values() if a.since < before]

    def claim(self, queue: QueueId) -> EndedAttempt | None:
        """The verdict that waits for this queue's Sequencer; it is given out once."""
        with self._lock:
            return self._outcomes.pop(queue, None)

    def is_delivering(self, queue: QueueId) -> bool:
        """Whether a sender is busy with an event of this queue, or its verdict is unclaimed."""
        with self._lock:
            return queue in self._delivering or queue in self._outcomes

    def due(self) -> list[Grant]:
        """Turns that have become possible by the passing of time: a probe."""
        with self._lock:
            return self._grant_all()

    def pause(self) -> None:
        """Let no further delivery begin: the agent stops."""
        with self._lock:
            self._paused = True

    def is_crowded(self) -> bool:
        """Whether deliveries could begin if others had ended."""
        with self._lock:
            return bool(self._waiting) and not self._breaker.is_open

    def busy(self) -> int:
        """Deliveries under way, and turns whose delivery begins once its start is on disk."""
        with self._lock:
            return len(self._delivering) + len(self._granted)

    def link(self) -> LinkStatus:
        """The state of the way to PagerDuty, for status and metrics."""
        with self._lock:
            breaker = self._breaker
            return LinkStatus(
                state=breaker.state,
                lasts=None if breaker.since is None else self._clock() - breaker.since,
                outage=None if breaker.open_since is None else self._clock() - breaker.open_since,
                last_outage=breaker.last_outage,
                last_error=breaker.last_error,
                in_flight=len(self._delivering),
                waiting_for_turn=len(self._waiting),
            )

    def _counts(self, queue: QueueId, event: EventId, verdict: Verdict) -> bool:
        """Whether an attempt counts against its event; a first one never does."""
        if isinstance(verdict, Deferred) and verdict.reason == NOT_SENT:
            return False
        before = self._failed.pop(queue, None)
        if not isinstance(verdict, Deferred):
            self._accepted += isinstance(verdict, Delivered)
            return False
        if before is None or before.event != event:
            before = _Failed(event, self._accepted, suspect=False)
        counts = before.accepted < self._accepted
        suspect = before.suspect or counts
        self._failed[queue] = _Failed(event, self._accepted, suspect)
        return counts

    def _learn(self, queue: QueueId, attempt: _Attempt, verdict: Verdict, *, counts: bool) -> None:
        """What a verdict says about the link."""
        breaker, now = self._breaker, self._clock()
        match verdict:
            case Rejected(reason="unreadable") | Deferred(reason="not_owner"):
                pass  # it never left the agent
            case Delivered() | Rejected():
                breaker.accepted(now)
            case Deferred(reason="unreachable"):
                breaker.unreachable(now, verdict.detail)
            case Deferred(reason="loop"):
                breaker.looped(now, verdict.detail)
            case Deferred(reason="no_answer") if (
                breaker.state == "unreachable" and attempt.since < (breaker.since or 0.0)
            ):
                pass  # it began before the outage, and waited for its answer until now
            case Deferred() if counts and not breaker.is_open:
                pass  # others are accepted: it is the event
            case Deferred(reason=reason, detail=detail):
                weak = reason in THE_KEYS_OWN or self._failed[queue].suspect
                breaker.failed(now, queue, detail, weak=weak)

    def _may_begin(self) -> bool:
        now, count = self._clock(), len(self._delivering) + len(self._granted)
        since = (attempt.since for attempt in self._delivering.values())
        return self._breaker.allows(now) and self._concurrency.allows(count, since, now)

    def _grant(self, queue: QueueId) -> SenderId:
        self._breaker.began(self._clock())
        sender = self._granted[queue] = self._idle.pop()
        return sender

    def _grant_all(self) -> list[Grant]:
        grants = []
        while self._waiting and self._idle and not self._paused and self._may_begin():
            queue, _ = self._waiting.popitem(last=False)
            grants.append(Grant(queue, self._grant(queue)))
        return grants
