"""One pykka actor per routing key: owns the queue's order, decides, and has its records written.

The state runs ahead of the disk by the commit that is under way; whatever leaves the actor (a
receipt, a delivery) travels with its records and goes out after their commit. If that commit
fails, the actor ends, and a successor reads the queue from the journal.
"""

from __future__ import annotations

import random
import time
from typing import Any

from actors.core.accepting import repeated
from actors.core.commands import (
    AcceptEvent,
    Answer,
    Answers,
    Command,
    Done,
    FinishDelivery,
    Receipt,
    Refusal,
    ResumeQueue,
    StartDelivery,
    TriggerOverdue,
    answer,
)
from actors.core.decide import Deliver, WakeAfter, decide, resume
from actors.core.evolve import evolve
from actors.core.state import QueueState
from actors.directory import QueueEntry
from actors.dispatcher import DispatchedActor
from actors.idle_timer import IdleTimer
from actors.messages import (
    UNAVAILABLE,
    Delivery,
    Fence,
    FencePassed,
    Grant,
    IdleCheck,
    Perform,
    PerformAll,
    Report,
    Saved,
    SaveSnapshot,
    Wake,
    WriteFailed,
    tell,
)
from actors.outbox import Outbox
from actors.recovery import recover_entry
from actors.slots import EndedAttempt
from actors.surroundings import Surroundings
from store.records import Record

_LOOK_AT_CLOCK_EVERY = 60.0
"""Seconds: deadlines of jobs are times of day, and a clock can be set, or stand still."""


class Sequencer(DispatchedActor):
    """Waits for its fence, reads its queue, runs until it is idle, saves its state, stops.

    Commands wait in the directory's entry and are taken only while it runs. What is left when it
    stops, or fails, is its successor's.
    """

    def __init__(self, report: Report, entry: QueueEntry, around: Surroundings) -> None:
        super().__init__(report, around.dispatcher)
        self._entry = entry
        self._incarnation = entry.incarnation
        self._around = around
        self._state: QueueState | None = None  # while it runs
        self._out = Outbox(entry, entry.incarnation, around.tell_writer)
        self._answered: Any = None  # or its answer is on its way
        self._wake_at: float | None = None
        self._wants_turn = False
        self._idle_timer = IdleTimer(self.actor_ref, around)

    def begin(self) -> None:
        """Ask the writer to let everything pass that an earlier incarnation had sent it."""
        if not self._is_superseded():  # its fence would shut out the one that runs
            self._around.tell_writer(Fence(self._entry.id, self._incarnation, self.actor_ref))

    def receive(self, message: Any) -> None:
        """The Sequencer's messages."""
        match message:
            case _ if self._is_superseded():
                self.abandon(message)
                return
            case FencePassed():
                self._recover()
            case WriteFailed():
                self._make_room_for_successor()
            case Saved():
                self._leave()
            case _ if self._state is not None:
                self._handle(self._state, message)
        if self._state is not None:
            self._proceed(self._state)
            self._around.directory.figures.change(self._entry)
            self._out.flush(self._state)
        self._answered = message

    def on_stop(self) -> None:
        """The agent stops: carry out what was asked for, and have the last verdict recorded."""
        if self._state is None or self._failed or self._is_superseded():
            return
        while self.actor_inbox.commands:
            self.receive(self.actor_inbox.commands.popleft())
        self._claim(self._state)
        self._around.directory.figures.change(self._entry)
        self._out.flush(self._state)

    def abandon(self, message: Any) -> None:
        """The command that this actor failed on might make its successor fail as well."""
        if isinstance(message, Perform | PerformAll) and message is not self._answered:
            message.reply(UNAVAILABLE)

    def _handle(self, state: QueueState, message: Any) -> None:
        match message:
            case Perform():
                self._perform(state, message)
            case PerformAll(commands=commands, reply=reply):
                answers = tuple(self._carry_out(state, command) for command in commands)
                self._out.replies.append((reply, Answers(answers)))
            case Grant():
                self._wants_turn = True
            case Wake():
                self._wake_at = None
                self._claim(state)
            case IdleCheck():
                self._stop_if_idle(state)
            case SaveSnapshot():
                self._out.wants_snapshot = True

    def _recover(self) -> None:
        around, entry = self._around, self._entry
        if entry.forgetting and around.journal.snapshot(entry.id) is None:
            self._leave()  # the commit that removed the queue has only seemed to fail
            return
        entry.forgetting = False
        self._out.recovered(recover_entry(around.journal, entry))
        self._state = state = entry.state
        if state.in_flight is not None:
            self._claim(state)
        lost = state.in_flight is not None and not around.slots.is_delivering(entry.id)
        if lost:
            self._finish_again(state)
        if lost and state.in_flight is not None:
            who = "the agent" if self._incarnation == 1 else "the queue's actor"
            reason = f"{who} ended while event {state.in_flight} was on its way"
            self._apply(state, ResumeQueue(reason))
        # A turn that an earlier incarnation was given is used now or given back.
        self._wants_turn = True
        self.actor_inbox.commands = entry.commands
        if not (state.waiting or entry.commands):
            self._idle_timer.expire()

    def _perform(self, state: QueueState, message: Perform) -> None:
        outcome = self._carry_out(state, message.command)
        if isinstance(outcome, Refusal) and outcome.reason != "idempotency_key_reused":
            self._answered = message
            message.reply(outcome)
        else:
            # That key is used only once the commit of the first event has succeeded.
            self._out.replies.append((message.reply, outcome))

    def _carry_out(self, state: QueueState, command: Command) -> Receipt | Refusal | Done:
        """Decide and apply; the answer holds once the records are on disk."""
        event = command.event if isinstance(command, AcceptEvent) else None
        if event is not None and event.idempotent:
            storing = self._out.storing(event.id)
            stored = None if storing else self._around.journal.accepted(event.id)
            if first := storing or (stored and stored.record):
                return repeated(event, first)  # after the commit of the first
        result = self._apply(state, command)
        if isinstance(result, Refusal):
            return result
        if event is not None and event.idempotent:
            self._out.remember(result)
        return answer(command, result)

    def _apply(self, state: QueueState, command: Command) -> list[Record] | Refusal:
        result = decide(state, command, self._around.clock(), self._around.policy)
        if not isinstance(result, Refusal):
            for record in result:
                evolve(state, record)
            self._out.records += result
        return result

    def _claim(self, state: QueueState) -> None:
        outcome = self._around.slots.claim(self._entry.id)
        if outcome is not None and outcome.event == state.in_flight:
            self._entry.claimed = state.last_started_at, outcome
            self._finish(state, outcome)

    def _finish_again(self, state: QueueState) -> None:
        """Record a verdict whose first record the journal has lost, instead of a new attempt."""
        started_at, outcome = self._entry.claimed or (0.0, None)
        if outcome is not None and started_at == state.last_started_at:
            self._finish(state, outcome)

    def _finish(self, state: QueueState, outcome: EndedAttempt) -> None:
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
        until_overdue = self._see_to_overdue(state)
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
        if until_overdue is not None:
            self._wake_in(min(until_overdue, _LOOK_AT_CLOCK_EVERY))
        if self._wants_turn and not isinstance(owed, Deliver):
            self._wants_turn = False
            if state.in_flight is None:
                self._around.directory.tell_grants(slots.release(queue))
        if state.waiting or until_overdue is not None:
            self._idle_timer.busy()
        else:
            self._idle_timer.idle(used=bool(self._out.replies))

    def _see_to_overdue(self, state: QueueState) -> float | None:
        """Trigger for jobs that are overdue; the seconds until the next one is, None if none."""
        by = state.jobs.next_deadline()
        if by is None:
            return None
        wait = max(by - self._around.clock(), self._around.overdue_from - time.monotonic())
        if wait > 0:
            return wait
        self._apply(state, TriggerOverdue())
        return self._see_to_overdue(state)

    def _wake_in(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        if self._wake_at is None or due < self._wake_at - 0.01:
            self._wake_at = due
            self._around.dispatcher.tell_later(self.actor_ref, Wake(), seconds)

    def _stop_if_idle(self, state: QueueState) -> None:
        """Take no more commands and save the state, or remove a queue that holds nothing at all."""
        if not self._idle_timer.is_over():
            return
        # What this actor has written may not be on disk yet, and so not among the entries.
        entries = self._around.journal.entries(self._entry.id)
        kept = state.dead or state.hold or state.jobs or self._out.wrote or any(entries)
        self._entry.forgetting = not kept
        self._state = self.actor_inbox.commands = None
        self._out.close(state, self._saved, forget=self._entry.forgetting)

    def _saved(self, outcome: Answer) -> None:
        if isinstance(outcome, Done):  # otherwise `WriteFailed` comes
            tell(self.actor_ref, Saved())

    def _leave(self) -> None:
        """End here: the directory keeps a summary. What was asked for meanwhile starts another."""
        self._entry.claimed = None
        entry = self._around.directory.leave(self._entry, self._incarnation)
        if entry is not None:
            self._around.ask_for_successor(entry.id)
        self.stop()

    def _make_room_for_successor(self) -> None:
        """End here with a state that may not be what is on disk."""
        self._state = self.actor_inbox.commands = None
        self._around.directory.detach(self._entry)
        self._around.ask_for_successor(self._entry.id)
        self.stop()

    def _is_superseded(self) -> bool:
        """Whether the Supervisor has started another one for this queue, for which all is meant."""
        return self._entry.incarnation != self._incarnation
