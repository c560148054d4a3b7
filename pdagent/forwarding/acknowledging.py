"""Lets a sender's answer wait until a relay has its event: `acknowledge: relay`."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from actors.core.commands import Receipt, Refusal
from pdagent.operating.followers import wake
from store.port import Journal
from store.records import (
    EventDeadLettered,
    EventDelivered,
    EventDiscarded,
    EventId,
    EventRetried,
    QueueId,
    Record,
)

WITHIN = 10.0
"""Seconds after the commit on this host in which a relay has to have the event."""

NOT_YET = Refusal(
    reason="unacknowledged",
    message="no relay has the event yet: this host has stored it, and sends it until one has",
    retry_after=5,
)

Done = Callable[[Receipt | Refusal], object]

_Ended = EventDelivered | EventDeadLettered | EventDiscarded


class Expected:
    """An event that was handed over; `record` is how it ended, if it has."""

    __slots__ = ("done", "event", "receipt", "record", "timer")

    def __init__(self, event: EventId) -> None:
        self.event = event
        self.record: _Ended | None = None
        self.receipt: Receipt | None = None
        self.done: Done | None = None
        self.timer: asyncio.TimerHandle | None = None


class Acknowledgements:
    """An observer of committed records that tells what became of the expected events.

    Made and used in the event loop; called in the journal writer's thread for each record.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._expected: dict[EventId, list[Expected]] = {}
        self._ended: deque[_Ended] = deque()

    def __call__(self, queue: QueueId, records: Sequence[Record]) -> None:
        """Called in the writer's thread."""
        for record in records:
            if isinstance(record, _Ended) and record.event in self._expected:
                self._ended.append(record)
                wake(self._loop, self._settle_ended)

    def expect(self, event: EventId) -> Expected:
        """Call this before the event is handed over: its delivery may be quicker than its receipt.

        `settle` has to follow.
        """
        expected = Expected(event)
        with self._lock:
            self._expected.setdefault(event, []).append(expected)
        return expected

    def settle(self, expected: Expected, answer: Receipt | Refusal, done: Done) -> None:
        """Call `done`, now or later, with the answer for the sender of an event.

        `answer` is this host's own. A receipt holds once a relay has the event; a `Refusal` takes
        its place if the relay has refused it, or after `WITHIN` seconds.
        """
        if isinstance(answer, Refusal):
            self._forget(expected)
            done(answer)
            return
        if answer.repeated and expected.record is None:
            expected.record = self._end_of(expected.event)
        expected.receipt, expected.done = answer, done
        if expected.record is not None:
            self._finish(expected, expected.record)
        else:
            expected.timer = self._loop.call_later(WITHIN, self._finish, expected, None)

    def _settle_ended(self) -> None:
        while self._ended:
            record = self._ended.popleft()
            for expected in tuple(self._expected.get(record.event, ())):
                expected.record = record
                if expected.done is not None:
                    self._finish(expected, record)

    def _finish(self, expected: Expected, record: _Ended | None) -> None:
        self._forget(expected)
        assert expected.done is not None and expected.receipt is not None
        expected.done(_answer(expected.receipt, record))

    def _forget(self, expected: Expected) -> None:
        if expected.timer is not None:
            expected.timer.cancel()
        with self._lock:
            others = [each for each in self._expected[expected.event] if each is not expected]
            if others:
                self._expected[expected.event] = others
            else:
                del self._expected[expected.event]

    def _end_of(self, event: EventId) -> _Ended | None:
        """How an event ended that was accepted before; None if it waits."""
        end: _Ended | None = None
        for entry in self._journal.history(event):
            if isinstance(entry.record, _Ended):
                end = entry.record
            elif isinstance(entry.record, EventRetried):
                end = None
        return end


def _answer(receipt: Receipt, record: _Ended | None) -> Receipt | Refusal:
    match record:
        case EventDelivered() | EventDiscarded():  # there is nothing to deliver any more
            return receipt
        case EventDeadLettered(reason=reason, detail=detail) if reason.startswith("http_4"):
            return Refusal(reason="refused_by_relay", message=f"the relay refuses it: {detail}")
    return NOT_YET
