"""The actor system as the program sees it: recover, start, accept, perform, look, stop."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pykka

from actors.bodies import Bodies
from actors.core.commands import AcceptEvent, Command, NewEvent, Policy, Refusal
from actors.core.state import Counters
from actors.directory import Directory, QueueEntry
from actors.dispatcher import Dispatcher
from actors.heartbeat import Heartbeat
from actors.janitor import Janitor
from actors.journal_writer import Admission, JournalWriter, WriterStatistics
from actors.messages import STOPPING, Perform, PerformAll, Reply, SenderId, SenderNeeded, tell
from actors.ports import Beat
from actors.recovery import recover_all
from actors.sender import PortFactory, SenderPool
from actors.slots import DeliverySlots, LinkStatus
from actors.supervisor import SUPERVISOR, WRITER, Singles, Start, Supervisor
from actors.surroundings import Surroundings
from store.port import Journal
from store.records import QueueId, Record, RoutingKey

PASSIVATE_AFTER = 120.0  # seconds
STOP_GRACE = 5.0  # seconds
SPOOL_GRACE = 2.0
"""Seconds after the start in which the spool is read; until then, no job is found overdue."""
COMMIT_WITHIN = 5.0  # seconds
HEARTBEAT = "heartbeat"
_STOP_TIMEOUT = 5.0  # seconds


class ActorSystem:
    """All actors of one agent. Thread-safe; replies come from actors' threads.

    `retention` is in seconds; without `heartbeat`, none is sent. `observe` is called with the
    records of each append after its commit, in the writer's thread: it must be quick; what it
    raises is logged. `outer_trouble` returns further reasons for `trouble`.
    The caller closes the journal after `stop`. `restarts` counts failures by the name of the actor.
    """

    def __init__(
        self,
        journal: Journal,
        make_port: PortFactory,
        *,
        policy: Policy,
        max_in_flight: int,
        retention: float,
        heartbeat: Beat | None = None,
        passivate_after: float = PASSIVATE_AFTER,
        clock: Callable[[], float] = time.time,
        observe: Callable[[QueueId, Sequence[Record]], None] = lambda queue, records: None,
        outer_trouble: Callable[[], list[str]] = list,
    ) -> None:
        self.directory = Directory()
        self.admission = Admission()
        self.writer_statistics = WriterStatistics()
        self.restarts: Counter[str] = Counter()
        self.slots = DeliverySlots(max_in_flight, time.monotonic)
        self.policy = msgspec.structs.replace(policy, max_journal=journal.usage().limit)
        self._journal = journal
        self._make_port = make_port
        self._observe = observe
        self._retention = retention
        self._heartbeat = heartbeat
        self._outer_trouble = outer_trouble
        self._singles: Singles = {}
        self._dispatcher = Dispatcher("sequencers")
        self._committing = Dispatcher("writer")
        self._pool = SenderPool(self.slots, self._ask_for_sender)
        self._around = Surroundings(
            journal=journal,
            dispatcher=self._dispatcher,
            committing=self._committing,
            slots=self.slots,
            directory=self.directory,
            bodies=Bodies(),
            policy=self.policy,
            passivate_after=passivate_after,
            clock=clock,
            writer=lambda: self._singles[WRITER],
            supervisor=lambda: self._singles[SUPERVISOR],
        )
        self._failure: BaseException | None = None
        self._recovered = False

    def recover(self) -> None:
        """Read all queues, before `start`. Raises `store.errors.JournalDamagedError`."""
        recovered = recover_all(self._journal)
        for queue, key in sorted(self._journal.queues().items()):
            state, tail = recovered[queue]
            entry = QueueEntry(id=queue, routing_key=key, state=state)
            entry.tail = tail if state.waiting else None
            self.directory.add(entry)
        forgotten = msgspec.convert(self._journal.forgotten(), Counters)
        self.directory.figures.begin(self.directory.entries(), forgotten)
        self._recovered = True

    def start(self) -> None:
        """Start the actors; from here on there is something to `stop`."""
        if not self._recovered:
            raise RuntimeError("start without recover: what waits would be forgotten")
        self._around.overdue_from = time.monotonic() + SPOOL_GRACE
        supervisor = Supervisor.start(
            self._note_failure,
            self._around,
            self._singles,
            self._pool,
            self._make_port,
            self._start_singles(),
            self.restarts,
        )
        self._singles[SUPERVISOR] = supervisor

    def accept(self, key: RoutingKey, event: NewEvent, reply: Reply) -> None:
        """Have an event stored; `reply` gets its `Receipt` when it is on disk, or a `Refusal`."""
        refusal = self.admission.refusal
        if refusal is not None and not _may_be_repeated(event, refusal):
            reply(refusal)
        else:
            self.perform(key, AcceptEvent(event, refusal), reply)

    def accept_all(self, key: RoutingKey, events: Sequence[NewEvent], reply: Reply) -> None:
        """Have events of one key stored in their order, with one append for all of them.

        `reply` gets `Answers` when they are on disk, or a `Refusal` of them all. Calls that don't
        wait for the reply to the one before may overtake each other.
        """
        refusal = self.admission.refusal
        if refusal is not None and not any(_may_be_repeated(event, refusal) for event in events):
            reply(refusal)
        else:
            self._around.command(
                key, PerformAll([AcceptEvent(event, refusal) for event in events], reply)
            )

    def perform(self, key: RoutingKey, command: Command, reply: Reply) -> None:
        """Have a queue carry out a command; `reply` is called once."""
        self._around.command(key, Perform(command, reply))

    def trouble(self) -> list[str]:
        """Why the agent can't do its work, one sentence each; empty if it can."""
        reasons = []
        refusal = self.admission.refusal
        if refusal is not None:
            reasons.append(refusal.message)
        busy_since = self.admission.busy_since
        if busy_since is not None and time.monotonic() - busy_since > COMMIT_WITHIN:
            reasons.append(
                f"the journal's disk does not answer: a commit has taken over {COMMIT_WITHIN:g} s; "
                "events wait for it"
            )
        return reasons + self._outer_trouble() + self.dead_parts()

    def dead_parts(self) -> list[str]:
        """The part of `trouble` that a new process would mend: what doesn't run, but should."""
        reasons = [
            f"the {name} actor is not running"
            for name, ref in list(self._singles.items())
            if not ref.is_alive()
        ]
        if not (self._dispatcher.is_alive() and self._committing.is_alive()):
            reasons.append("a dispatcher thread is not running")
        return reasons

    def supervisor_failure(self) -> BaseException | None:
        """What ended the Supervisor, if it ended: then only a new process helps."""
        return self._failure

    def totals(self) -> dict[str, int]:
        """Sums over all queues: each accepted event is in exactly one of the other four."""
        sums = self.directory.figures.sums()
        return {
            "accepted": sums.accepted,
            "delivered": sums.delivered,
            "waiting": sums.waiting,
            "dead_lettered": sums.dead,
            "discarded": sums.discarded,
        }

    def link(self) -> LinkStatus:
        """The way to PagerDuty."""
        return self.slots.link()

    def stop(self, grace: float = STOP_GRACE) -> None:
        """Begin no delivery, give those under way `grace` seconds, commit everything, stop.

        An attempt that takes longer stays recorded as started; the next start repeats it.
        """
        self.slots.pause()
        deadline = time.monotonic() + grace
        while self.slots.busy() and time.monotonic() < deadline:
            time.sleep(0.005)
        _stop([self._singles[SUPERVISOR]])
        _stop([e.sequencer for e in self.directory.active() if e.sequencer is not None])
        _stop([ref for name, ref in self._singles.items() if name != HEARTBEAT])
        self._dispatcher.stop()
        self._committing.stop()
        for command in self.directory.close():
            command.reply(STOPPING)

    def _start_singles(self) -> dict[str, Start]:
        starts: dict[str, Start] = {
            WRITER: lambda report: JournalWriter.start(
                report,
                self._committing,
                self._journal,
                self.admission,
                self.writer_statistics,
                self._around.bodies,
                self._pool.hand_over,
                self._observe,
            ),
            "janitor": lambda report: Janitor.start(
                report, self._around, self.admission, self._retention
            ),
        }
        heartbeat = self._heartbeat
        if heartbeat is not None:
            starts[HEARTBEAT] = lambda report: Heartbeat.start(report, heartbeat)
        return starts

    def _ask_for_sender(self, number: SenderId) -> None:
        tell(self._singles[SUPERVISOR], SenderNeeded(number))

    def _note_failure(self, error: BaseException) -> None:
        self._failure = error


def _stop(refs: list[pykka.ActorRef[Any]]) -> None:
    """Let each actor finish its inbox; all of them together have `_STOP_TIMEOUT` seconds."""
    asked = []
    for ref in refs:
        with contextlib.suppress(pykka.ActorDeadError):
            asked.append(ref.stop(block=False))
    deadline = time.monotonic() + _STOP_TIMEOUT
    for future in asked:
        with contextlib.suppress(pykka.Timeout, pykka.ActorDeadError):
            future.get(timeout=max(0.0, deadline - time.monotonic()))


def _may_be_repeated(event: NewEvent, refusal: Refusal) -> bool:
    """With a full journal, the receipt of an earlier request can be given again all the same."""
    return event.idempotent and refusal.reason == "journal_full"
