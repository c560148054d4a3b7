"""Starts and restarts every other actor, and routes to queues whose Sequencer is not running.

One for one: a failing Sequencer or Sender concerns nobody else. Only a JournalWriter that died
takes all Sequencers along, because nobody knows which of their writes were committed.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
import pykka

from actors.core.commands import Refusal
from actors.core.restarts import RestartPolicy, SteadyRestarts
from actors.core.state import QueueState
from actors.directory import QueueEntry
from actors.messages import (
    Failed,
    Perform,
    PerformAll,
    Rest,
    Rested,
    Route,
    TimerReplaced,
    Wake,
    WantsRest,
)
from actors.sender import PortFactory, Sender, SenderPool
from actors.sequencer import Sequencer
from actors.slots import SenderId
from actors.supervised import DeadlineInbox, Due, Report, SupervisedActor
from actors.surroundings import Surroundings
from store.records import QueueId, RoutingKey

logger = logging.getLogger(__name__)

TICK = 0.25
STUCK_AFTER = 90.0
_KEPT_BACK = 1_000


Start = Callable[[Report], pykka.ActorRef[Any]]
Singles = dict[str, pykka.ActorRef[Any]]
"""The actors of which there is one, by name; replaced when one is restarted."""

SUPERVISOR, WRITER, TIMER = "supervisor", "writer", "timer"


class Statistics(msgspec.Struct, kw_only=True):
    """Restarts since the start, by the name of the actor."""

    restarts: dict[str, int] = msgspec.field(default_factory=dict)


class Supervisor(SupervisedActor):
    """Ticks by its own inbox, so that it depends on no other actor."""

    actor_inbox: DeadlineInbox

    def __init__(
        self,
        report: Report,
        around: Surroundings,
        singles: Singles,
        pool: SenderPool,
        senders: int,
        make_port: PortFactory,
        start_singles: dict[str, Start],
        statistics: Statistics,
    ) -> None:
        super().__init__(report)
        self._around = around
        self._singles = singles
        self._pool = pool
        self._senders = senders
        self._make_port = make_port
        self._start_singles = start_singles
        self._statistics = statistics
        self._sender_incarnations: Counter[SenderId] = Counter()
        self._policies: dict[tuple[str, int], RestartPolicy | SteadyRestarts] = {}
        self._restart_at: dict[tuple[str, int], float] = {}
        self._kept_back: dict[QueueId, deque[Perform | PerformAll]] = {}
        self._resting_refs: dict[QueueId, pykka.ActorRef[Any]] = {}

    @staticmethod
    def _create_actor_inbox() -> DeadlineInbox:
        return DeadlineInbox()

    def begin(self) -> None:
        """Start the singles, the senders, and a Sequencer for each queue with work."""
        self._singles[SUPERVISOR] = self.actor_ref
        for name in self._start_singles:
            self._start_single(name)
        for number in range(self._senders):
            self._start_sender(number)
        for entry in self._around.directory.entries():
            if entry.state.waiting or entry.state.in_flight is not None:
                self._start_sequencer(entry)
        self.actor_inbox.deadline = time.monotonic() + TICK

    def receive(self, message: Any) -> None:
        """A table of what the Supervisor reacts to."""
        match message:
            case Route(routing_key=key, perform=perform):
                self._route(self._entry_of(key), perform)
            case WantsRest(queue=queue, incarnation=incarnation):
                self._allow_rest(self._around.directory.by_id(queue), incarnation)
            case Rested():
                self._rested(self._around.directory.by_id(message.queue), message)
            case Failed():
                self._note_failed(message)
            case Due():
                self._tick(time.monotonic())
                self.actor_inbox.deadline = time.monotonic() + TICK

    def abandon(self, message: Any) -> None:
        """A command that can't be routed any more."""
        if isinstance(message, Route):
            message.perform.reply(_unavailable())

    # Routing

    def _entry_of(self, key: RoutingKey) -> QueueEntry:
        directory = self._around.directory
        entry = directory.by_key(key)
        if entry is None:
            queue = directory.next_id()
            entry = QueueEntry(id=queue, routing_key=key, state=QueueState(queue=queue))
            directory.add(entry)
        return entry

    def _route(self, entry: QueueEntry, perform: Perform | PerformAll) -> None:
        match entry.phase:
            case "quarantined":
                perform.reply(_unavailable())
                return
            case "passivating" | "restarting":
                kept = self._kept_back.setdefault(entry.id, deque())
                if len(kept) < _KEPT_BACK:
                    kept.append(perform)
                else:
                    perform.reply(_unavailable())
                return
            case "resting":
                self._start_sequencer(entry)
        if not self._around.directory.tell(entry.id, perform):
            self._sequencer_failed(entry, "it was found dead")
            self._route(entry, perform)

    def _allow_rest(self, entry: QueueEntry, incarnation: int) -> None:
        if entry.phase == "running" and entry.incarnation == incarnation and entry.sequencer:
            sequencer, entry.sequencer, entry.phase = entry.sequencer, None, "passivating"
            with contextlib.suppress(pykka.ActorDeadError):
                sequencer.tell(Rest())
            self._resting_refs[entry.id] = sequencer

    def _rested(self, entry: QueueEntry, answer: Rested) -> None:
        if entry.phase != "passivating" or entry.incarnation != answer.incarnation:
            return
        sequencer = self._resting_refs.pop(entry.id)
        match answer.outcome:
            case "stays":
                entry.sequencer, entry.phase = sequencer, "running"
                # A verdict or a turn that came while it could not be told is in the slots still,
                # and what it wanted of a timer that was replaced meanwhile is to be asked for anew.
                self._around.directory.tell(entry.id, Wake())
                self._around.directory.tell(entry.id, TimerReplaced())
            case "rests":
                entry.phase = "resting"
                _stop(sequencer)
            case "lost":
                _stop(sequencer)
                self._start_sequencer(entry)  # which reads the queue again
        self._send_kept_back(entry)

    def _send_kept_back(self, entry: QueueEntry) -> None:
        for perform in self._kept_back.pop(entry.id, ()):
            self._route(entry, perform)

    # Starting

    def _start_sequencer(self, entry: QueueEntry) -> None:
        entry.incarnation += 1
        incarnation = entry.incarnation
        report = self._reporter("sequencer", entry.id, incarnation)
        entry.phase = "running"
        entry.sequencer = Sequencer.start(report, entry, self._around)

    def _start_single(self, name: str) -> None:
        self._singles[name] = self._start_singles[name](self._reporter(name))

    def _start_sender(self, number: SenderId) -> None:
        port = self._make_port()
        around = self._around
        self._sender_incarnations[number] += 1
        ref = Sender.start(
            self._reporter("sender", number, self._sender_incarnations[number]),
            number,
            port,
            around.journal,
            around.slots,
            around.directory,
        )
        queues, grants = self._pool.put(number, port, ref)
        self._tell_given_up(queues)
        self._tell_grants(grants)

    def _reporter(self, name: str, number: int = 0, incarnation: int = 0) -> Report:
        supervisor = self.actor_ref

        def report(error: BaseException) -> None:
            with contextlib.suppress(pykka.ActorDeadError):
                supervisor.tell(Failed(name, number, incarnation, type(error).__name__))

        return report

    # Failures

    def _note_failed(self, failed: Failed) -> None:
        match failed.name:
            case "sequencer":
                entry = self._around.directory.by_id(QueueId(failed.number))
                if entry.incarnation == failed.incarnation:
                    self._sequencer_failed(entry, failed.error)
            case "sender" if self._sender_incarnations[failed.number] == failed.incarnation:
                self._sender_failed(failed.number, failed.error)
            case _:
                pass  # a single is found by the next tick, which asks whether its thread lives

    def _sequencer_failed(self, entry: QueueEntry, error: str) -> None:
        if entry.phase in ("restarting", "quarantined"):
            return
        entry.sequencer = None
        entry.incarnation += 1  # whatever the old one still sends is not listened to
        self._resting_refs.pop(entry.id, None)
        self._tell_grants(self._around.slots.release(entry.id))
        # For whoever writes the log to say whose queue it is, without the key in the message.
        whose = {"routing_key": entry.routing_key}
        delay, quarantine = self._schedule(("sequencer", entry.id), error, whose)
        entry.phase = "quarantined" if quarantine else "restarting"
        if quarantine:
            logger.error(
                "queue %d is quarantined for %.0f s, its actor failed too often (%s): "
                "its events are kept and tried again by themselves",
                entry.id,
                delay,
                error,
                extra=whose,
            )
            for perform in self._kept_back.pop(entry.id, ()):
                perform.reply(_unavailable())
        self._restart_if_due(("sequencer", entry.id))

    def _sender_failed(self, number: SenderId, error: str) -> None:
        if ("sender", number) in self._restart_at:
            return
        self._tell_given_up(self._pool.discard(number))
        self._schedule(("sender", number), error)
        self._restart_if_due(("sender", number))

    def _schedule(
        self, actor: tuple[str, int], error: str, about: dict[str, RoutingKey] | None = None
    ) -> tuple[float, bool]:
        name, number = actor
        kind = RestartPolicy if name == "sequencer" else SteadyRestarts
        policy = self._policies.setdefault(actor, kind())
        delay, quarantine = policy.failed(time.monotonic())
        self._restart_at[actor] = time.monotonic() + delay
        restarts = self._statistics.restarts
        restarts[name] = restarts.get(name, 0) + 1
        told = (name, number, error, delay)
        logger.warning("%s %d failed (%s), restarts in %.2f s", *told, extra=about)
        return delay, quarantine

    def _restart_if_due(self, actor: tuple[str, int]) -> None:
        if self._restart_at[actor] <= time.monotonic():
            self._restart(actor)

    def _restart(self, actor: tuple[str, int]) -> None:
        del self._restart_at[actor]
        name, number = actor
        match name:
            case "sequencer":
                entry = self._around.directory.by_id(QueueId(number))
                self._start_sequencer(entry)
                self._send_kept_back(entry)
            case "sender":
                self._start_sender(number)
            case _:
                self._start_single(name)
                if name == WRITER:
                    self._restart_all_sequencers()
                elif name == TIMER:
                    for entry in self._around.directory.entries():
                        self._around.directory.tell(entry.id, TimerReplaced())

    def _restart_all_sequencers(self) -> None:
        for entry in self._around.directory.entries():
            sequencer = entry.sequencer or self._resting_refs.pop(entry.id, None)
            if sequencer is not None:
                _stop(sequencer)
                self._start_sequencer(entry)
                self._send_kept_back(entry)

    # Liveness

    def _tick(self, now: float) -> None:
        for actor in [actor for actor, at in self._restart_at.items() if at <= now]:
            self._restart(actor)
        for name in self._start_singles:
            if not self._singles[name].is_alive() and (name, 0) not in self._restart_at:
                self._schedule((name, 0), "it was found dead")
                self._restart_if_due((name, 0))
        for number in self._pool.dead():
            self._sender_failed(number, "it was found dead")
        for number in self._around.slots.stuck(STUCK_AFTER):
            self._sender_failed(number, f"no answer within {STUCK_AFTER:.0f} s")
        for entry in self._around.directory.entries():
            dead = entry.sequencer is not None and not entry.sequencer.is_alive()
            resting = self._resting_refs.get(entry.id)
            if resting is not None and not resting.is_alive():
                self._rested(entry, Rested(entry.id, entry.incarnation, "lost"))
            if entry.phase == "running" and dead:
                self._sequencer_failed(entry, "it was found dead")
        self._tell_grants(self._around.slots.due())

    def _tell_given_up(self, queues: list[QueueId]) -> None:
        for queue in queues:
            self._around.directory.tell(queue, Wake())

    def _tell_grants(self, grants: list[Any]) -> None:
        for grant in grants:
            self._around.directory.tell(grant.queue, grant)


def _stop(sequencer: pykka.ActorRef[Any]) -> None:
    with contextlib.suppress(pykka.ActorDeadError):
        sequencer.stop(block=False)


def _unavailable() -> Refusal:
    return Refusal(
        reason="unavailable",
        message="this routing key's queue is being restarted after a failure: "
        "try again, 'pagerduty-agent status' shows when it works",
        retry_after=5,
    )
