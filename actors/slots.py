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

from actors.core.breaker import Breaker
from actors.core.verdict import Deferred, Verdict
from store.records import EventId, QueueId

SenderId = int
Monotonic = Callable[[], float]


class Grant(msgspec.Struct, frozen=True):
    """It is this queue's turn, with this sender."""

    queue: QueueId
    sender: SenderId


class _Attempt(msgspec.Struct, frozen=True):
    sender: SenderId
    event: EventId
    number: int
    since: float


class Outcome(msgspec.Struct, frozen=True):
    """A verdict that waits to be claimed."""

    event: EventId
    verdict: Verdict


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about the way to PagerDuty.

    `open_for` (seconds) is None while it is reachable; `answering_for`, for how long PagerDuty has
    answered without an outage in between, is None before its first answer. `last_outage` is how
    long the outage before that took, None if there was none since the start.
    """

    open_for: float | None
    answering_for: float | None
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
        self._idle: list[SenderId] = list(range(senders))[::-1]
        self._vacant: set[SenderId] = set()
        self._waiting: OrderedDict[QueueId, None] = OrderedDict()
        self._granted: dict[QueueId, SenderId] = {}
        self._delivering: dict[QueueId, _Attempt] = {}
        self._outcomes: dict[QueueId, Outcome] = {}
        self._probe: QueueId | None = None
        self._answering_since: float | None = None
        self._last_outage: float | None = None
        self._paused = False

    def acquire(self, queue: QueueId) -> SenderId | None:
        """A sender for this queue now, or None: then a `Grant` follows when its turn comes."""
        with self._lock:
            if queue in self._granted:
                return self._granted[queue]
            if self._idle and not self._waiting and not self._paused and self._may_begin():
                return self._grant(queue)
            self._waiting.setdefault(queue)
            return None

    def release(self, queue: QueueId) -> list[Grant]:
        """Give up a turn or the place in the line (the queue is held, empty or quarantined)."""
        with self._lock:
            self._waiting.pop(queue, None)
            sender = self._granted.pop(queue, None)
            if sender is not None:
                self._idle.append(sender)
                self._lose_probe(queue)
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
            self._outcomes[queue] = Outcome(event, verdict)
            now = self._clock()
            was_probe = self._probe == queue
            reason = verdict.reason if isinstance(verdict, Deferred) else None
            if isinstance(verdict, Deferred) and reason == "unreachable":
                self._breaker.unreachable(now, verdict.detail, was_probe=was_probe)
                self._answering_since = None
            elif reason == "no_answer" and self._breaker.is_open and not was_probe:
                pass  # it began before the outage, and waited for its answer until now
            else:
                if self._breaker.open_since is not None:
                    self._last_outage = now - self._breaker.open_since
                if self._answering_since is None:
                    self._answering_since = now
                self._breaker.reached()
            self._idle.append(attempt.sender)
            return self._grant_all()

    def abandon(self, sender: SenderId, detail: str) -> list[QueueId]:
        """A sender died or hangs: its delivery counts as one without an answer.

        Its place stays empty until `replaced`. Returns the queue concerned, if any.
        """
        with self._lock:
            return self._give_up(sender, detail)

    def replaced(self, sender: SenderId, detail: str) -> tuple[list[QueueId], list[Grant]]:
        """A sender has started in this place: whom its predecessor leaves, and who is next."""
        with self._lock:
            queues = self._give_up(sender, detail)  # what was handed to it after its death
            if sender in self._vacant:
                self._vacant.discard(sender)
                self._idle.append(sender)
            return queues, self._grant_all()

    def stuck(self, limit: float) -> list[SenderId]:
        """Senders busy with one delivery for more than `limit` seconds."""
        with self._lock:
            before = self._clock() - limit
            return [a.sender for a in self._delivering.values() if a.since < before]

    def claim(self, queue: QueueId) -> Outcome | None:
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

    def busy(self) -> int:
        """Deliveries under way, and turns whose delivery begins once its start is on disk."""
        with self._lock:
            return len(self._delivering) + len(self._granted)

    def link(self) -> Link:
        """The state of the way to PagerDuty, for status and metrics."""
        with self._lock:
            now, since = self._clock(), self._breaker.open_since
            answering = self._answering_since
            return Link(
                open_for=None if since is None else now - since,
                answering_for=None if answering is None else now - answering,
                last_outage=self._last_outage,
                last_error=self._breaker.last_error,
                in_flight=len(self._delivering),
                waiting_for_turn=len(self._waiting),
            )

    def _give_up(self, sender: SenderId, detail: str) -> list[QueueId]:
        queues = [q for q, attempt in self._delivering.items() if attempt.sender == sender]
        for queue in queues:
            event = self._delivering.pop(queue).event
            self._outcomes[queue] = Outcome(event, Deferred(reason="no_answer", detail=detail))
            self._vacant.add(sender)
            self._lose_probe(queue)
        return queues

    def _may_begin(self) -> bool:
        return self._breaker.allows(self._clock())

    def _grant(self, queue: QueueId) -> SenderId:
        if self._breaker.is_open:
            self._breaker.probe_started()
            self._probe = queue
        sender = self._granted[queue] = self._idle.pop()
        return sender

    def _lose_probe(self, queue: QueueId) -> None:
        if self._probe == queue:
            self._probe = None
            self._breaker.probe_lost()

    def _grant_all(self) -> list[Grant]:
        grants = []
        while self._waiting and self._idle and not self._paused and self._may_begin():
            queue, _ = self._waiting.popitem(last=False)
            grants.append(Grant(queue, self._grant(queue)))
        return grants
