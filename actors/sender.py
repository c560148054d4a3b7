"""The bounded pool that talks to PagerDuty: one pykka actor a connection, while it is needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pykka

from actors.core.verdict import Verdict
from actors.messages import Delivery, Grant, Report, SenderId, Wake, stop, tell
from actors.ports import DeliveryPort, OutgoingEvent
from actors.slots import DeliverySlots
from actors.supervised import SupervisedActor
from actors.surroundings import Surroundings
from store.records import EventAccepted, EventId, QueueId

PortFactory = Callable[[], DeliveryPort]

_FAILED = "the agent's sender failed"


class Sender(SupervisedActor):
    """Gets an event's body, tries to deliver it once, leaves the verdict in the slots."""

    def __init__(
        self,
        report: Report,
        port: DeliveryPort,
        around: Surroundings,
    ) -> None:
        super().__init__(report)
        self._port = port
        self._around = around

    def receive(self, message: Any) -> None:
        """Deliver, then grant the next turns."""
        match message:
            case Delivery():
                verdict = self._port.deliver(self._outgoing(message))
                self._finish(message, verdict)
            case _:
                raise TypeError(f"a sender can't handle {type(message).__name__}")

    def on_stop(self) -> None:
        """Close the kept-alive connection."""
        self._port.close()

    def _outgoing(self, delivery: Delivery) -> OutgoingEvent:
        record = self._around.bodies.get(delivery.event) or self._read(delivery.event)
        return OutgoingEvent(
            kind=record.kind,
            routing_key=self._around.directory.by_id(delivery.queue).routing_key,
            body=record.body,
            event_id=delivery.event,
            passed=record.passed,
            occurred_at=record.occurred_at,
        )

    def _read(self, event: EventId) -> EventAccepted:
        entry = self._around.journal.accepted(event)
        if entry is None:
            raise LookupError(f"event {event} waits, but its body is not in the journal")
        return entry.record

    def _finish(self, delivery: Delivery, verdict: Verdict) -> None:
        self._around.see_through(lambda: self._leave(delivery, verdict))

    def _leave(self, delivery: Delivery, verdict: Verdict) -> None:
        slots, directory = self._around.slots, self._around.directory
        grants = slots.finish(delivery.queue, delivery.event, delivery.attempt, verdict)
        if grants is None:
            return  # it took so long that the Supervisor gave it up
        directory.tell(delivery.queue, Wake())
        directory.tell_grants(grants)


class SenderPool:
    """The senders by number: the Supervisor starts them, the JournalWriter hands over to them.

    A sender is started when there is a delivery for it; until then the delivery waits here.
    `ask_for_sender` has that done.
    """

    def __init__(self, slots: DeliverySlots, ask_for_sender: Callable[[SenderId], object]) -> None:
        self._slots = slots
        self._ask_for_sender = ask_for_sender
        self._lock = threading.Lock()
        self._refs: dict[SenderId, pykka.ActorRef[Any]] = {}
        self._ports: dict[SenderId, DeliveryPort] = {}
        self._waiting: dict[SenderId, Delivery] = {}
        self._used: set[SenderId] = set()

    def put(self, number: SenderId, port: DeliveryPort, ref: pykka.ActorRef[Any]) -> list[Grant]:
        """Place a started sender and give it what waits; returns the turns that are possible."""
        with self._lock:
            self._refs[number] = ref
            self._ports[number] = port
            delivery = self._waiting.pop(number, None)
            if delivery is not None:
                tell(ref, delivery)
            return self._slots.replaced(number)

    def hand_over(self, delivery: Delivery) -> None:
        """Let the sender that was granted begin, now that the start is on disk."""
        # One lock for both steps; otherwise a replaced sender's attempt is given up and still sent.
        with self._lock:
            if not self._slots.begin(delivery.queue, delivery.event, delivery.attempt):
                return
            number = delivery.sender
            self._used.add(number)
            ref = self._refs.get(number)
            if ref is not None:
                tell(ref, delivery)
                return
            self._waiting[number] = delivery
        self._ask_for_sender(number)

    def missing(self) -> list[SenderId]:
        """Senders that do not run, and have something to deliver."""
        return list(self._waiting)

    def is_missing(self, number: SenderId) -> bool:
        """Whether this one is among the `missing`."""
        return number in self._waiting

    def retire(self) -> None:
        """Stop the senders that have had nothing to do since the last call."""
        with self._lock:
            for number in self._refs.keys() - self._used:
                if self._slots.is_idle(number):
                    del self._ports[number]
                    stop(self._refs.pop(number))
            self._used.clear()

    def dead(self) -> list[SenderId]:
        """Senders whose thread has ended."""
        with self._lock:
            return [number for number, ref in self._refs.items() if not ref.is_alive()]

    def discard(self, number: SenderId) -> list[QueueId]:
        """Forget a dead or stuck sender; closing its connection may free a stuck one.

        What it was busy with counts as without an answer. Returns the queue concerned, if any.
        """
        with self._lock:
            ref, port = self._refs.pop(number, None), self._ports.pop(number, None)
        if ref is not None and port is not None:
            stop(ref)
            # Before its event may be tried by another: a late write would reopen an incident.
            with contextlib.suppress(OSError):
                port.close()
        with self._lock:
            self._waiting.pop(number, None)
            return self._slots.abandon(number, _FAILED)
