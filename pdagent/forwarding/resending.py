"""Sends to the relays again what this host has forwarded, should they have lost it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from actors.core.verdict import Deferred, Delivered, Rejected
from actors.directory import Directory
from actors.ports import OutgoingEvent
from pdagent.forwarding.forwarder import Forwarder
from store.port import Journal
from store.records import EventDelivered, EventId, QueueId

_PORTION_SECONDS = 2.0
_MOST_NAMED = 20


class BadPlace(ValueError):
    """`after` is not the `next` of a portion."""


class ResentPortion(msgspec.Struct, kw_only=True):
    """What became of some events.

    `already_there` were known to the relay, `refused` are ids with the relay's reason. `next` is
    where to go on, None at the end; `error` is why no relay takes events now.
    """

    sent: int = 0
    already_there: int = 0
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    refused_count: int = 0
    next: str | None = None
    error: str | None = None


class Resender:
    """Goes through the delivered events, key by key, oldest first, in portions.

    An event keeps its id, so that a relay which has it takes it for a repetition.
    """

    def __init__(
        self, journal: Journal, directory: Directory, make_port: Callable[[], Forwarder]
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._make_port = make_port
        self._lock = threading.Lock()

    def portion(self, since: float, after: str | None) -> ResentPortion:
        """Send what was delivered at `since` (seconds since 1970) or later, for about 2 s.

        `after` is the `next` of the portion before. Blocks; one caller after the other.

        Raises:
            BadPlace: `after` is something else.
            store.errors.JournalError: The journal can't be read.
        """
        first, seq = _place(after)
        done = ResentPortion()
        with self._lock:
            port = self._make_port()
            try:
                self._send(port, since, first, seq, done)
            finally:
                port.close()
        return done

    def _send(
        self, port: Forwarder, since: float, first: QueueId, seq: int, done: ResentPortion
    ) -> None:
        until = time.monotonic() + _PORTION_SECONDS
        done.next = f"{first}:{seq}"
        for queue, number, event in self._delivered(since, first, seq):
            if time.monotonic() > until:
                return
            outgoing = self._outgoing(queue, event)
            match port.deliver(outgoing) if outgoing is not None else None:
                case Delivered():
                    done.sent += not port.repeated
                    done.already_there += port.repeated
                case Rejected(detail=detail):
                    done.refused_count += 1
                    if len(done.refused) < _MOST_NAMED:
                        done.refused[event] = detail
                case Deferred(detail=detail):
                    done.error = detail
                    return
            done.next = f"{queue}:{number}"
        done.next = None

    def _delivered(
        self, since: float, first: QueueId, seq: int
    ) -> Iterator[tuple[QueueId, int, EventId]]:
        for known in self._directory.entries():
            if known.id >= first:
                for entry in self._journal.entries(known.id, seq if known.id == first else 0):
                    record = entry.record
                    if isinstance(record, EventDelivered) and record.at >= since:
                        yield known.id, entry.seq, record.event

    def _outgoing(self, queue: QueueId, event: EventId) -> OutgoingEvent | None:
        entry = self._journal.accepted(event)
        if entry is None:
            return None  # the retention has just removed it
        record = entry.record
        return OutgoingEvent(
            kind=record.kind,
            routing_key=self._directory.by_id(queue).routing_key,
            body=record.body,
            event_id=event,
            passed=record.passed,
            occurred_at=record.occurred_at,
        )


def _place(after: str | None) -> tuple[QueueId, int]:
    if after is None:
        return QueueId(0), 0
    try:
        queue, seq = map(int, after.split(":"))
    except ValueError:
        raise BadPlace(after) from None
    return QueueId(queue), seq
