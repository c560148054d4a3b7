"""A relay: its disk, and one process after the other, first as a standby, then perhaps as owner."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.core.commands import Policy
from actors.core.lease import FREE, RENEW_EVERY, Lease, ReadLease
from actors.core.verdict import Delivered, Verdict
from actors.ports import OutgoingEvent
from actors.system import ActorSystem
from pdagent.relay.leased import LeasedPort
from store.errors import CommitFailedError
from store.lmdb_copy import LmdbCopy
from store.log import LogConflictError, LogUnavailableError
from store.replicated_journal import ReplicatedJournal
from tests.simulation.pagerduty import Answer, SimulatedPagerDuty, SimulatedPort
from tests.simulation.relays.engine import SimulatedEngine, SimulatedLog
from tests.simulation.relays.machines import Machines, Process

LEASE = "lease"
LIMIT = 16 << 20
_LOOK = 0.5
_STAY_AWAY = 10.0


class RelayLimits(msgspec.Struct, kw_only=True):
    """What is the same for all relays of a simulation; `max_message` in bytes, the rest seconds.

    `portions`: so many portions of the log are cleaned one after the other, without a pause.
    """

    policy: Policy
    retention: float
    passivate_after: float
    max_message: int
    max_in_flight: int
    copy_failure: float
    portions: int = 1


class FailingCopy(LmdbCopy):
    """A copy whose disk fails now and then, before or after it has written."""

    draw: Callable[[], float]
    failure = 0.0

    def apply(self, changes, position) -> None:  # type: ignore[no-untyped-def]
        """As `LmdbCopy.apply`."""
        if self.failure and self.draw() < self.failure:
            if self.draw() < 0.5:
                super().apply(changes, position)
            raise CommitFailedError("the disk of the copy failed")
        super().apply(changes, position)


_PASSED = Delivered(status=0)


class _Open:
    """Stands behind the program's own look at the lease."""

    def deliver(self, event: OutgoingEvent) -> Verdict:
        return _PASSED

    def close(self) -> None:
        """There is nothing to close."""


class LeasedSimulatedPort(SimulatedPort):
    """Looks at the lease first, as the program's."""

    def __init__(self, pagerduty: SimulatedPagerDuty, run: RelayRun) -> None:
        super().__init__(pagerduty)
        self._run = run

    def begin(self, event: OutgoingEvent, attempt: int, answer: Answer) -> None:
        """As `SimulatedPort.begin`."""
        run = self._run
        verdict = LeasedPort(_Open(), run.may_deliver).deliver(event)
        if verdict is not _PASSED:
            run.relay.kept_back += 1
            run.machines.after(0.0, lambda: answer(verdict))
            return
        run.pagerduty.sender = run
        super().begin(event, attempt, answer)


class SimulatedRelay:
    """One machine with a relay. `run` is the process that runs, None while none does."""

    def __init__(
        self,
        name: str,
        directory: Path,
        machines: Machines,
        engine: SimulatedEngine,
        pagerduty: SimulatedPagerDuty,
        limits: RelayLimits,
        chance: random.Random,
    ) -> None:
        self.name = name
        self.directory = directory / name
        self.machines = machines
        self.engine = engine
        self.pagerduty = pagerduty
        self.limits = limits
        self.chance = chance
        self.run: RelayRun | None = None
        self.wanted = True
        self.kept_back = 0
        self.lost = 0
        self.runs = 0
        self.before = ""
        self.ended: Callable[[RelayRun], None] = lambda run: None

    def start(self, free_from: float = 0.0) -> None:
        """A new process, unless one runs or none is wanted."""
        if self.run is None and self.wanted:
            self.runs += 1
            self.machines.note(lambda: f"{self.name} starts")
            self.run = RelayRun(self, free_from)
            self.machines.start_thread(self.run.process, self.run.stand_by)

    def kill(self) -> None:
        """The process ends at once. Not from within it."""
        run = self.run
        if run is not None:
            self.machines.note(lambda: f"{self.name} is killed")
            self.machines.kill(run.process)
            run.close()
            self.run = None
            self.ended(run)

    def start_again(self, run: RelayRun, free_from: float = 0.0) -> None:
        """As `execv`, from within the process; it takes a moment."""

        def replace() -> None:
            if self.run is run:
                self.kill()
                self.start(free_from)

        self.machines.after(self.chance.random() * 0.3, replace)

    def wipe(self) -> None:
        """The copy is gone, and what is noted beside it; no process runs."""
        self.before = ""
        shutil.rmtree(self.directory, ignore_errors=True)


class RelayRun:
    """One process of a relay."""

    def __init__(self, relay: SimulatedRelay, free_from: float) -> None:
        self.relay = relay
        self.machines = relay.machines
        self.pagerduty = relay.pagerduty
        self.process = Process(f"{relay.name}.{relay.runs}")
        self.log = SimulatedLog(relay.engine, relay.limits.max_message)
        self.lease = Lease(self.process.name, free_from=free_from, before=relay.before)
        relay.before = self.process.name
        self.agent: ActorSystem | None = None
        self.journal: ReplicatedJournal | None = None
        self.leaves = False
        self.fenced = False
        self._keeps = True
        self._caught_up = False

    def may_deliver(self) -> bool:
        """By the lease, at this moment."""
        return self.lease.holds(self.machines.clock.now) and not self.fenced

    def close(self) -> None:
        """The process is gone."""
        if self.journal is not None:
            self.journal.close()

    def stand_by(self) -> None:
        """Follow the log until the lease is this relay's, then take over, and serve."""
        copy = FailingCopy(self.relay.directory, limit=LIMIT)
        copy.draw, copy.failure = self.relay.chance.random, self.relay.limits.copy_failure
        self.journal = journal = ReplicatedJournal(
            copy, self.log, self.relay.name, on_fenced=lambda: self._lose("fenced")
        )
        self.machines.start_thread(self.process, self._keep_lease)
        while not self.lease.owned:
            try:
                journal.follow(_LOOK)
                self._caught_up = True
            except (LogUnavailableError, CommitFailedError):
                self.machines.sleep(_LOOK)
        while self.lease.owned:
            try:
                journal.take_over()
            except (LogUnavailableError, CommitFailedError):
                self.machines.sleep(_LOOK)
            else:
                self._serve(journal)
                return

    def step_down(self) -> None:
        """Ask the process to."""
        self.leaves = True

    def _serve(self, journal: ReplicatedJournal) -> None:
        limits = self.relay.limits
        agent = ActorSystem(
            journal,
            lambda: LeasedSimulatedPort(self.pagerduty, self),  # type: ignore[arg-type, return-value]
            policy=limits.policy,
            max_in_flight=limits.max_in_flight,
            retention=limits.retention,
            passivate_after=limits.passivate_after,
            clock=self.machines.clock.time,
        )
        agent.recover()
        agent.start()
        self.agent = agent
        self.machines.note(lambda: f"{self.process.name} serves")
        while not self.leaves:
            if self.machines.wait(lambda: self.leaves, 3.0):
                break
            self._clean(journal)
        self.agent = None
        agent.stop()
        self._keeps = False
        expected = self.lease.give_up()
        if expected is not None and not self.fenced:
            with contextlib.suppress(LogUnavailableError, LogConflictError):
                self.log.put(LEASE, b"", expected)
        self.relay.start_again(self, self.machines.clock.now + _STAY_AWAY)

    def _clean(self, journal: ReplicatedJournal) -> None:
        portions = self.relay.limits.portions
        # LMDB's pages are large beside these logs.
        spare = (4_000 if portions == 1 else 1_000) - 2 * journal.usage().used
        step = 2_000 if portions == 1 else 300
        with contextlib.suppress(LogUnavailableError, CommitFailedError):
            for _ in range(portions):
                if self.leaves or not journal.clean(spare=spare, step=step):
                    break

    def _keep_lease(self) -> None:
        """As the program's thread that does what `Lease` says."""
        machines, lease = self.machines, self.lease
        machines.sleep(self.relay.chance.random() * RENEW_EVERY)
        while self._keeps:
            began = machines.clock.now
            try:
                self._look()
            except LogConflictError:
                lease.refused()
            except LogUnavailableError:
                lease.unanswered()
            if lease.lost:
                self._lose("the lease is lost")
                return
            machines.sleep(max(0.1, began + RENEW_EVERY - machines.clock.now))

    def _look(self) -> None:
        lease, machines = self.lease, self.machines
        step = lease.next(machines.clock.now)
        if isinstance(step, ReadLease):
            row = self.log.get(LEASE)
            if not self._caught_up:
                return
            owner = FREE if row is None else row.value.decode()
            lease.seen(owner, 0 if row is None else row.revision, machines.clock.now)
            if not lease.writes or lease.lost:
                return
            step = lease.next(machines.clock.now)
            assert not isinstance(step, ReadLease)
        lease.written(self.log.put(LEASE, self.process.name.encode(), step.expected))

    def _lose(self, why: str) -> None:
        if not self.fenced:
            self.machines.note(lambda: f"{self.process.name} steps down: {why}")
            self.relay.lost += 1
        self.fenced = True
        self.agent = None
        self.relay.start_again(self)
