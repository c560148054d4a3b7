"""A PagerDuty in memory behind the actors' delivery port: it does what a test says."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from actors.core.verdict import Deferred, Delivered, Verdict
from actors.ports import DeliveryPort, OutgoingEvent

_LONGEST_HOLD = 30.0


class ScriptedPagerDuty:
    """Makes ports, all of which ask `answer`; it may raise, as a port with a bug would.

    `attempts` are the event ids per routing key in the order in which they came, `delivered` those
    that were answered with `Delivered`. `most_at_once` is the largest number of attempts of one
    key, and of all keys (`""`), that were under way at the same time. Connections are
    counted by `ports_made` and `ports_closed`.
    """

    def __init__(self, answer: Callable[[OutgoingEvent], Verdict] | None = None) -> None:
        self.answer = answer or (lambda event: Delivered(status=202))
        self.attempts: dict[str, list[str]] = {}
        self.delivered: dict[str, list[str]] = {}
        self.most_at_once: Counter[str] = Counter()
        self.ports_made = self.ports_closed = 0
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    def make_port(self) -> DeliveryPort:
        """One more connection."""
        self.ports_made += 1
        return _Port(self)

    def forget(self) -> None:
        """Forget all that came, so that it takes no memory."""
        for table in (self.attempts, self.delivered, self.most_at_once, self._under_way):
            table.clear()

    def close_port(self) -> None:
        """One connection less."""
        with self._lock:
            self.ports_closed += 1

    def enter(self, event: OutgoingEvent) -> None:
        """An attempt begins."""
        with self._lock:
            self.attempts.setdefault(event.routing_key, []).append(event.event_id)
            for name in (event.routing_key, ""):
                self._under_way[name] += 1
                self.most_at_once[name] = max(self.most_at_once[name], self._under_way[name])

    def leave(self, event: OutgoingEvent, verdict: Verdict | None) -> None:
        """An attempt is over; None if it raised."""
        with self._lock:
            if isinstance(verdict, Delivered):
                self.delivered.setdefault(event.routing_key, []).append(event.event_id)
            for name in (event.routing_key, ""):
                self._under_way[name] -= 1


class Hold:
    """An answer that keeps its caller waiting until `release`, or until its port is closed."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.reached = threading.Semaphore(0)
        self._verdict = verdict or Delivered(status=202)
        self._released = threading.Event()

    def __call__(self, event: OutgoingEvent) -> Verdict:
        self.reached.release()
        assert self._released.wait(_LONGEST_HOLD), "nobody released the answer"
        return self._verdict

    def release(self) -> None:
        """Let all that wait, and those to come, have their answer."""
        self._released.set()


class _Port:
    def __init__(self, pagerduty: ScriptedPagerDuty) -> None:
        self._pagerduty = pagerduty
        self._closed = threading.Event()

    def deliver(self, event: OutgoingEvent) -> Verdict:
        self._pagerduty.enter(event)
        verdict: Verdict | None = None
        try:
            verdict = self._pagerduty.answer(event)
            if self._closed.is_set():
                verdict = Deferred(reason="no_answer", detail="closed")
            return verdict
        finally:
            self._pagerduty.leave(event, verdict)

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._pagerduty.close_port()
