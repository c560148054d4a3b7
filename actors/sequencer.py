"""One pykka actor per routing key: owns the queue's order, decides, and has its records written.

The state runs ahead of the disk by the commit that is under way; whatever leaves the actor (a
receipt, a delivery) travels with its records and goes out after their commit. If that commit
fails, the state is thrown away and read from the journal again.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from typing import Any, Literal

import pykka

from actors.core.commands import (
    AcceptEvent,
    Answer,
    Answers,
    Command,
    DiscardEvents,
    Done,
    FinishDelivery,
    Receipt,
    Refusal,
    ResumeQueue,
    RetryEvents,
    StartDelivery,
)
from actors.core.decide import Deliver, WakeAfter, decide, repeated, resume
from actors.core.evolve import evolve
from actors.core.state import QueueState
from actors.directory import QueueEntry
from actors.dispatcher import DispatchedActor
from actors.messages import (
    UNAVAILABLE,
    Delivery,
    Fence,
    FencePassed,
    IdleCheck,
    Perform,
    PerformAll,
    Rest,
    Rested,
    Route,
    SaveSnapshot,
    TimerReplaced,
    VerdictReady,
    Wake,
    WantsRest,
    Write,
    WriteFailed,
)
from actors.outbox import Outbox
from actors.recovery import recover_queue
from actors.slots import Grant
from actors.supervised import Report
from actors.surroundings import Surroundings
from actors.timer import Schedule
from store.records import EventAccepted, EventId, Record, event_of


class Sequencer(DispatchedActor):
    """Recovers its queue behind a fence, then runs; until then it keeps messages back."""

    def __init__(self, report: Report, entry: QueueEntry, around: Surroundings) -> None:
        super().__init__(report, around.dispatcher)
        self._entry = entry
        self._incarnation = entry.incarnation
        self._around = around
        self._state: QueueState | None = None
        self._stash: deque[Any] = deque()
        self._resting = False
        self._out = Outbox(entry, entry.incarnation, self._tell_writer)
        self._wake_at: float | None = None
        self._wants_turn = False
        self._idle_since: float | None = None
        self._idle_check_pending = False
        self._handled: Any = None
        self._answered: Any = None

    def begin(self) -> None:
        """Ask the writer to let everything pass that an earlier incarnation had sent it."""
        if self._is_superseded():
            return  # its fence would shut out the one that runs
        self._tell_writer(Fence(self._entry.id, self._incarnation, self.actor_ref))

    def receive(self, message: Any) -> None:
        """A table of what a Sequencer reacts to."""
        if self._resting or self._is_superseded():
            self._forward(message)
            return
        self._handled = message
        match message:
            case FencePassed():
                self._recover()
            case WriteFailed():
                self._start_over()
            case _ if self._state is None:
                self._handled = None
                self._stash.append(message)
                return
            case Rest():
                self._rest(self._state)
            case _:
                self._handle(self._state, message)
        if self._state is not None and not self._resting:
            self._proceed(self._state)
            self._out.flush(self._state)
        self._answered = message

    def on_stop(self) -> None:
        """Have the last verdict recorded: its message may come too late for a stopping agent."""
        if self._resting:
            return
        if self._state is not None and not self._failed and not self._is_superseded():
            self._claim(self._state)
            self._out.flush(self._state)
        while self._stash:
            self._forward(self._stash.popleft())

    def abandon(self, message: Any) -> None:
        """A command that this incarnation will not carry out: its successor may.

        But not the one that it failed on, which might make that one fail as well.
        """
        if self._stash and self._stash[-1] is message:
            self._stash.pop()  # here it is
        if message is self._answered:
            pass  # whatever failed came after its answer had been passed on
        elif message is self._handled and isinstance(message, Perform | PerformAll):
            message.reply(UNAVAILABLE)
        else:
            self._forward(message)
        while self._stash:
            self.abandon(self._stash.popleft())

    def _handle(self, state: QueueState, message: Any) -> None:
        match message:
            case Perform():
                self._perform(state, message)
            case PerformAll(commands=commands, reply=reply):
                answers = tuple(self._carry_out(state, command) for command in commands)
                self._out.replies.append((reply, Answers(answers)))
            case VerdictReady():
                self._claim(state)
            case Grant():
                self._wants_turn = True
            case Wake():
                self._wake_at = None
                self._claim(state)
            case TimerReplaced():
                self._wake_at = self._idle_since = None
                self._idle_check_pending = False
            case IdleCheck():
                self._consider_rest(state)
            case SaveSnapshot():
                self._out.wants_snapshot = True

    def _recover(self) -> None:
        around, entry = self._around, self._entry
        if entry.tail is None:
            entry.state, tail = recover_queue(around.journal, entry.id)
        else:
            # The start has read it just so: thousands of queues need not be read a second time
            # while the first events wait to be accepted.
            tail, entry.tail = entry.tail, None
        self._state = state = entry.state
        self._out.recovered(tail)
        self._wake_at = None
        if state.in_flight is not None:
            self._claim(state)
        if state.in_flight is not None and not around.slots.is_delivering(self._entry.id):
            who = "the agent" if self._incarnation == 1 else "the queue's actor"
            reason = f"{who} ended while event {state.in_flight} was on its way"
            self._apply(state, ResumeQueue(reason))
        # A turn that an earlier incarnation was given is used now or given back.
        self._wants_turn = True
        while self._stash:
            # Kept until it is done: if it is the one that fails, whoever sent it gets an answer.
            self.receive(self._stash[0])
            self._stash.popleft()

    def _start_over(self) -> None:
        self._state = None
        self._out.start_over()
        self.begin()

    def _perform(self, state: QueueState, message: Perform) -> None:
        answer = self._carry_out(state, message.command)
        if isinstance(answer, Refusal) and answer.reason != "idempotency_key_reused":
            self._answered = message
            message.reply(answer)
        else:
            # That key is used only once the commit of the first event has succeeded.
            self._out.replies.append((message.reply, answer))

    def _carry_out(self, state: QueueState, command: Command) -> Receipt | Refusal | Done:
        """Decide and apply; the answer holds once the records are on disk."""
        if isinstance(command, AcceptEvent) and command.event.idempotent:
            first = self._out.storing(command.event.id) or self._stored(command.event.id)
            if first is not None:
                return repeated(command.event, first)  # after the commit of the first
        result = self._apply(state, command)
        if isinstance(result, Refusal):
            return result
        if isinstance(command, AcceptEvent) and command.event.idempotent:
            self._out.remember(command.event)
        return _answer(command, result)

    def _stored(self, event: EventId) -> EventAccepted | None:
        entry = self._around.journal.accepted(event)
        record = None if entry is None else entry.record
        return record if isinstance(record, EventAccepted) else None

    def _apply(self, state: QueueState, command: Command) -> list[Record] | Refusal:
        result = decide(state, command, self._around.clock(), self._around.policy)
        if not isinstance(result, Refusal):
            for record in result:
                evolve(state, record)
            self._out.records += result
        return result

    def _claim(self, state: QueueState) -> None:
        outcome = self._around.slots.claim(self._entry.id)
        if outcome is not None:
            finish = FinishDelivery(
                outcome.event,
                outcome.verdict,
                random.random(),
                counts=outcome.counts,
                link_failing=outcome.link_failing,
            )
            self._apply(state, finish)

    def _proceed(self, state: QueueState) -> None:
        """See to what is owed: a turn with a sender, a wake-up, or rest."""
        slots, queue = self._around.slots, self._entry.id
        owed = resume(state, self._around.clock())
        match owed:
            case Deliver(event=event):
                self._wants_turn = True
                sender = slots.acquire(queue, untried=not state.waiting[event].attempts)
                if sender is not None:
                    self._apply(state, StartDelivery())
                    attempt = state.waiting[event].attempts
                    self._out.delivery = Delivery(queue, sender, event, attempt)
                    self._wants_turn = False
            case WakeAfter(seconds=seconds):
                self._wake_in(seconds)
        if self._wants_turn and not isinstance(owed, Deliver):
            self._wants_turn = False
            if state.in_flight is None:
                for grant in slots.release(queue):
                    self._around.directory.tell(grant.queue, grant)
        if state.waiting:
            self._idle_since = None
        elif self._out.replies or self._idle_since is None:
            self._idle_since = time.monotonic()
            self._check_idle_in(self._around.passivate_after)

    def _wake_in(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        if self._wake_at is None or due < self._wake_at - 0.01:
            self._wake_at = due
            self._tell_later(Wake(), seconds)

    def _check_idle_in(self, seconds: float) -> None:
        if not self._idle_check_pending:
            self._idle_check_pending = True
            self._tell_later(IdleCheck(), seconds)

    def _tell_later(self, message: Any, seconds: float) -> None:
        # A timer that just died is replaced, and all are told: then it is asked for again.
        with contextlib.suppress(pykka.ActorDeadError):
            self._around.timer().tell(Schedule(self.actor_ref, message, seconds))

    def _tell_writer(self, message: Fence | Write) -> bool:
        """False if the writer died; with a new one the Supervisor starts all Sequencers anew."""
        try:
            self._around.writer().tell(message)
        except pykka.ActorDeadError:
            return False
        return True

    def _consider_rest(self, state: QueueState) -> None:
        self._idle_check_pending = False
        idle = self._idle_since
        if idle is None or state.waiting:
            return
        left = idle + self._around.passivate_after - time.monotonic()
        if left > 0.01:
            self._check_idle_in(left)
            return
        self._out.wants_snapshot = True
        self._around.supervisor().tell(WantsRest(self._entry.id, self._incarnation))

    def _rest(self, state: QueueState) -> None:
        if state.waiting:
            self._idle_since = None
            self._tell_rested("stays")
            return
        self._out.wants_snapshot = True
        # Through the writer: if it can't commit what was written before, this state is false.
        self._out.replies.append((self._rested, Done()))
        self._out.flush(self._state)
        self._resting = True

    def _rested(self, answer: Answer) -> None:
        self._tell_rested("lost" if isinstance(answer, Refusal) else "rests")

    def _tell_rested(self, outcome: Literal["rests", "stays", "lost"]) -> None:
        with contextlib.suppress(pykka.ActorDeadError):
            self._around.supervisor().tell(Rested(self._entry.id, self._incarnation, outcome))

    def _forward(self, message: Any) -> None:
        if not isinstance(message, Perform | PerformAll):
            return
        try:
            self._around.supervisor().tell(Route(self._entry.routing_key, message))
        except pykka.ActorDeadError:
            message.reply(UNAVAILABLE)  # the agent stops

    def _is_superseded(self) -> bool:
        """Whether the Supervisor has started another one for this queue, for which all is meant."""
        return self._entry.incarnation != self._incarnation


def _answer(command: Command, records: list[Record]) -> Receipt | Done:
    match command:
        case AcceptEvent(event=event):
            return Receipt(event=event.id, dedup_key=event.dedup_key, warnings=event.warnings)
        case RetryEvents() | DiscardEvents():
            ids = (event_of(record) for record in records)
            return Done(events=tuple(id_ for id_ in ids if id_ is not None))
        case _:
            return Done()
