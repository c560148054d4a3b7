"""Starts and restarts every other actor.

One for one: a failing Sequencer or Sender affects no other actor. Only when the JournalWriter died
are all Sequencers restarted, because it is unknown which of their writes were committed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pykka

from actors.core.restarts import QUARANTINE_FIRST, RestartPolicy, SteadyRestarts
from actors.directory import QueueEntry
from actors.messages import (
    QUARANTINED,
    Due,
    Failed,
    Needed,
    Report,
    SenderId,
    SenderNeeded,
    Wake,
    WriteFailed,
    stop,
    tell,
)
from actors.sender import PortFactory, Sender, SenderPool
from actors.sequencer import Sequencer
from actors.supervised import SupervisedActor, place_of
from actors.surroundings import Surroundings
from store.records import QueueId, RoutingKey

logger = logging.getLogger(__name__)

TICK = 0.25  # seconds
STUCK_AFTER = 90.0  # seconds that one delivery may take
LOOKED_AT = 1_000  # queues at one tick
RETIRE_EVERY = 60.0  # seconds; a sender stops that had nothing to do for so long

Start = Callable[[Report], pykka.ActorRef[Any]]
Singles = dict[str, pykka.ActorRef[Any]]
"""The actors of which there is one, by name; replaced when one is restarted."""

SUPERVISOR, WRITER = "supervisor", "writer"
_SEQUENCER, _SENDER = "sequencer", "sender"

ActorId = tuple[str, int]
"""Name and number: a Sequencer's is its queue, 0 for a single."""


class Supervisor(SupervisedActor):
    """Ticks by its own inbox, so that it depends on no other actor.

    It holds no commands: those wait in the directory, whatever becomes of a message to it. A
    failure in its own code counts as one of the actor that it was about.
    """

    def __init__(
        self,
        report: Report,
        around: Surroundings,
        singles: Singles,
        pool: SenderPool,
        make_port: PortFactory,
        start_singles: dict[str, Start],
        restarts: Counter[str],
    ) -> None:
        super().__init__(report)
        self._around = around
        self._singles = singles
        self._pool = pool
        self._make_port = make_port
        self._start_singles = start_singles
        self._restarts = restarts
        self._sender_incarnations: Counter[SenderId] = Counter()
        # Of a queue by its key: one that is forgotten between two failures has a new number.
        self._policies: dict[ActorId | RoutingKey, RestartPolicy | SteadyRestarts] = {}
        self._restart_at: dict[ActorId, float] = {}
        self._round: list[QueueEntry] = []
        self._retire_at = time.monotonic() + RETIRE_EVERY

    def begin(self) -> None:
        """Start the singles, and a Sequencer for each queue with work."""
        self._singles[SUPERVISOR] = self.actor_ref
        for name in self._start_singles:
            self._start_single(name)
        for entry in self._around.directory.entries():
            if entry.state.waiting or entry.state.jobs.next_deadline() is not None:
                self._start_sequencer(entry)
        self.actor_inbox.deadline = time.monotonic() + TICK

    def receive(self, message: Any) -> None:
        """The Supervisor's messages. The next tick finds what a failure left undone."""
        try:
            match message:
                case Needed(queue=queue):
                    self.see_to((_SEQUENCER, queue), self._needed, queue)
                case SenderNeeded(number=number):
                    self.see_to((_SENDER, number), self._sender_needed, number)
                case Failed(name=name, number=number):
                    self.see_to((name, number), self._note_failed, message)
                case Due():
                    self.actor_inbox.deadline = time.monotonic() + TICK
                    self._tick(time.monotonic())
        except BaseException as error:  # noqa: BLE001 - only a new process could replace this actor
            self._note_own_error(error)

    def see_to(self, actor: ActorId, step: Callable[..., None], *given: Any) -> None:
        """Do something about one actor. Whatever it raises, all others go on."""
        try:
            step(*given)
        except BaseException as error:  # noqa: BLE001 - the actor is restarted as if it had failed
            self._note_own_error(error)
            try:
                self._ended(actor, f"the supervisor: {type(error).__name__}")
            except BaseException as another:  # noqa: BLE001 - something has to be tried all the same
                self._note_own_error(another)
                self._restart_at[actor] = time.monotonic() + QUARANTINE_FIRST

    @staticmethod
    def _note_own_error(error: BaseException) -> None:
        logger.error("an error in the supervisor (%s): it goes on", place_of(error))

    # Starting

    def _needed(self, queue: QueueId) -> None:
        entry = self._around.directory.get(queue)
        if entry is not None and entry.phase == "stopped":
            self._start_sequencer(entry)
        elif entry is not None and entry.phase == "quarantined":
            for command in self._around.directory.take_commands(entry):
                command.reply(QUARANTINED)

    def _sender_needed(self, number: SenderId) -> None:
        if self._pool.is_missing(number) and (_SENDER, number) not in self._restart_at:
            self._start_sender(number)

    def _start_sequencer(self, entry: QueueEntry) -> None:
        def start(incarnation: int) -> pykka.ActorRef[Any]:
            report = self._reporter(_SEQUENCER, entry.id, incarnation)
            return Sequencer.start(report, entry, self._around)

        self._around.directory.attach(entry, start)

    def _start_single(self, name: str) -> None:
        if name not in self._singles or not self._singles[name].is_alive():
            self._singles[name] = self._start_singles[name](self._reporter(name))

    def _start_sender(self, number: SenderId) -> None:
        port = self._make_port()
        self._sender_incarnations[number] += 1
        ref = Sender.start(
            self._reporter(_SENDER, number, self._sender_incarnations[number]),
            port,
            self._around,
        )
        self._around.directory.tell_grants(self._pool.put(number, port, ref))

    def _reporter(self, name: str, number: int = 0, incarnation: int = 0) -> Report:
        supervisor = self.actor_ref

        def report(error: BaseException) -> None:
            tell(supervisor, Failed(name, number, incarnation, type(error).__name__))

        return report

    # Failures

    def _note_failed(self, failed: Failed) -> None:
        current: int | None = None  # the next tick finds a single, once its thread has ended
        if failed.name == _SEQUENCER:
            entry = self._around.directory.get(QueueId(failed.number))
            current = None if entry is None else entry.incarnation
        elif failed.name == _SENDER:
            current = self._sender_incarnations[failed.number]
        if current == failed.incarnation:
            self._ended((failed.name, failed.number), failed.error)

    def _ended(self, actor: ActorId, error: str) -> None:
        """Plan the restart of an actor that failed."""
        if actor in self._restart_at:
            return
        (name, number), directory = actor, self._around.directory
        entry = directory.get(QueueId(number)) if name == _SEQUENCER else None
        if name == _SEQUENCER and entry is None:
            return  # forgotten
        about: dict[str, RoutingKey] = {}
        if entry is not None:
            # The log shows whose queue it is; the key itself is not part of the message.
            about = {"routing_key": entry.routing_key}
            stop(directory.detach(entry))
            directory.tell_grants(self._around.slots.release(entry.id))
            policy = self._policies.setdefault(entry.routing_key, RestartPolicy())
        else:
            for queue in self._pool.discard(number) if name == _SENDER else ():
                directory.tell(queue, Wake())
            policy = self._policies.setdefault(actor, SteadyRestarts())
        delay, quarantine = policy.failed(time.monotonic())
        self._restart_at[actor] = time.monotonic() + delay
        self._restarts[name] += 1
        facts = (name, number, error, delay)
        logger.warning("%s %d failed (%s), restarts in %.2f s", *facts, extra=about)
        if entry is not None:
            entry.phase = "restarting"
        if entry is not None and quarantine:
            directory.quarantine(entry)
            logger.error(
                "queue %d is quarantined for %.0f s, its actor failed too often (%s): "
                "its events are kept and tried again after that",
                *(number, delay, error),
                extra=about,
            )
            self._needed(entry.id)
        if not delay:
            self.see_to(actor, self._restart, actor)

    def _restart(self, actor: ActorId) -> None:
        del self._restart_at[actor]
        (name, number), directory = actor, self._around.directory
        if name == _SEQUENCER:
            entry = directory.get(QueueId(number))
            if entry is not None and entry.sequencer is None:
                self._start_sequencer(entry)
        elif name == _SENDER:
            self._start_sender(number)
        else:
            self._start_single(name)
            for entry in directory.active() if name == WRITER else ():
                directory.tell(entry.id, WriteFailed())

    # Liveness

    def _tick(self, now: float) -> None:
        for actor in [actor for actor, at in self._restart_at.items() if at <= now]:
            self.see_to(actor, self._restart, actor)
        for name in self._start_singles:
            if not self._singles[name].is_alive():
                self._found((name, 0), "it was found dead")
        for number in self._pool.dead():
            self._found((_SENDER, number), "it was found dead")
        for number in self._pool.missing():
            self.see_to((_SENDER, number), self._sender_needed, number)
        if now >= self._retire_at:
            self._retire_at = now + RETIRE_EVERY
            self._pool.retire()
        for number in self._around.slots.stuck(STUCK_AFTER):
            self._found((_SENDER, number), f"no answer within {STUCK_AFTER:.0f} s")
        for entry in self._to_look_at():
            sequencer = entry.sequencer
            if sequencer is None:
                if entry.phase == "stopped":  # `Needed` was lost
                    self.see_to((_SEQUENCER, entry.id), self._needed, entry.id)
            elif not sequencer.is_alive() and entry.sequencer is sequencer:
                self._found((_SEQUENCER, entry.id), "it was found dead")
        self._around.directory.tell_grants(self._around.slots.due())

    def _to_look_at(self) -> list[QueueEntry]:
        """All active queues in turn, so many at each tick: 50,000 would keep a core busy."""
        if not self._round:
            self._round = self._around.directory.active()
        looked_at, self._round = self._round[:LOOKED_AT], self._round[LOOKED_AT:]
        return looked_at

    def _found(self, actor: ActorId, error: str) -> None:
        self.see_to(actor, self._ended, actor, error)
