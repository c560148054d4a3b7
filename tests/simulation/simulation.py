"""One run: an agent, its users, its disk and PagerDuty, everything drawn from one seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from actors.core.commands import ReleaseQueue
from actors.supervised import SupervisedActor
from actors.system import ActorSystem
from store.errors import JournalError
from store.port import Journal
from tests.memory_journal import MemoryJournal
from tests.simulation import promises, room
from tests.simulation.disk import DiskTrouble, SimulatedDisk
from tests.simulation.pagerduty import FAILURES, Request, SimulatedPagerDuty, Weather
from tests.simulation.people import People
from tests.simulation.runtime import Crash, Moment, Runtime
from tests.simulation.scenario import draw_scenario
from tests.simulation.substitution import Substitute, substituted, substitutes
from tests.simulation.witness import Violation, Witness, require

_TICK = 1.0
_DRAIN = 7_200.0
_IDLE = 130.0  # two rounds of the janitor


class Simulation:
    """`run` it once; it raises `Violation` if a promise is broken.

    `mutations` are further substitutes, by which a fault is built into the program. `traced` has
    each step written down in `trace`.
    """

    def __init__(
        self,
        seed: int,
        *,
        open_journal: Callable[[int], Callable[[], Journal]] | None = None,
        mutations: list[Substitute] | None = None,
        traced: bool = False,
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.scenario = draw_scenario(self.chance)
        self.runtime = Runtime(self.chance)
        self.trace: list[str] = []
        if traced:
            self.runtime.trace = self.trace
        policy = self.scenario.policy
        self.witness = Witness(
            policy.max_queue_length, math.inf if self.scenario.jumps else policy.give_up_after
        )
        self.witness.clock_jumps = bool(self.scenario.jumps)
        self.witness.died = lambda life, record: promises.given_up_rightly(self, life, record)
        limit = self.scenario.journal_limit
        memory = MemoryJournal(limit=limit)
        self.disk = SimulatedDisk(
            open_journal(limit) if open_journal else lambda: memory,
            self.witness,
            self.runtime,
            self.chance,
            self.scenario.disk,
        )
        self.witness.journal_limit = self.disk.usage().limit
        self.pagerduty = SimulatedPagerDuty(
            self.runtime, self.chance, self.scenario.weather, self._request_begins
        )
        self.people = People(self.runtime, self.chance, self.scenario)
        self.agent: ActorSystem | None = None
        self.processes = 0
        self.failures: list[float] = []
        self.disturbances = self.disk.disturbances
        self._mutations = mutations or []
        self._troubled = True
        self._stop_wanted = False
        self._failing_since: list[float] = []

    def run(self) -> None:
        """From the first start to an idle agent with nothing left to do."""
        scenario = self.scenario
        replacements = substitutes(
            self.runtime,
            self.chance,
            snapshot_every=scenario.snapshot_every,
            turn=scenario.turn,
            tick=_TICK,
        )
        with substituted([*replacements, *self._mutations]):
            try:
                self._live()
                self._drain()
                self._rest()
                self._live_again()
                room.it_is_trimmed(self)
            finally:
                self.runtime.lose_everything()
                self.disk.close()

    # The life of the agent

    def _live(self) -> None:
        scenario, runtime = self.scenario, self.runtime
        runtime.disturb = self._perhaps_failing
        runtime.before_step = self._perhaps_crash
        runtime.calm = self._perhaps_compare
        self.people.plan(self.witness)
        for start, end in scenario.outages:
            self._window(start, end, self._set_outage)
        for start, end in scenario.failing:
            self._window(start, end, self._set_failing)
        for start, end in scenario.full_disk:
            self._window(start, end, self._set_full)
        for when in scenario.stops:
            runtime.after(when, self._want_stop)
        for _ in range(scenario.jumps):
            runtime.after(self.chance.random() * scenario.duration, self._jump)
        end = runtime.clock.now + scenario.duration
        while runtime.clock.now < end:
            try:
                if self.agent is None:
                    self._start()
                stop = runtime.run_until(lambda: self._stop_wanted, end - runtime.clock.now)
                if stop:
                    self._stop()
            except (Crash, JournalError):
                self._ended()
                runtime.run_for(self.chance.choice([0.0, 1.0, 30.0]))

    def _start(self) -> None:
        scenario = self.scenario
        self.processes += 1
        agent = ActorSystem(
            self.disk,
            self.pagerduty.make_port,  # type: ignore[arg-type]
            policy=scenario.policy,
            max_in_flight=scenario.max_in_flight,
            retention=scenario.retention,
            passivate_after=scenario.passivate_after,
            clock=self.runtime.clock.time,
        )
        agent.recover()
        agent.start()
        self.agent = self.people.agent = agent

    def _stop(self) -> None:
        self._stop_wanted = False
        agent = self.agent
        assert agent is not None
        agent.stop()
        self._ended()

    def _ended(self) -> None:
        self.runtime.lose_everything()
        self.people.process_ended()
        self.pagerduty.forget_agent()
        self.disk.reopen()
        self.agent = None
        self.disturbances.append(self.runtime.clock.now)
        promises.kept_on_disk(self)

    # Trouble

    def _perhaps_crash(self) -> None:
        likely = self.scenario.crash if self._troubled and self.agent is not None else 0.0
        if likely and self.chance.random() < likely:
            self.runtime.crash("at a step")

    def _perhaps_failing(self, actor: SupervisedActor) -> Moment | None:
        if not self.scenario.failure or not self._troubled:
            return None
        if self.chance.random() >= self.scenario.failure:
            return None
        # It may take a tick to be found, a delay to be repaired, and be due to another's.
        self.failures.append(self.runtime.clock.now)
        return self.chance.choice(["before", "after"])

    def _perhaps_compare(self) -> None:
        if self.agent is not None and self.chance.random() < 0.02:
            promises.replay_gives_the_live_state(self)

    def _window(self, start: float, end: float, switch: Callable[[bool], None]) -> None:
        self.runtime.after(start, lambda: switch(True))
        self.runtime.after(end, lambda: switch(False))

    def _set_outage(self, on: bool) -> None:
        self.pagerduty.outage = on and self._troubled

    def _set_failing(self, on: bool) -> None:
        now = self.runtime.clock.now
        if on and self._troubled:
            self.pagerduty.failure = self.chance.choice(FAILURES)
            self._failing_since.append(now)
        elif self._failing_since:
            promises.failing_is_probed_gently(self, self._failing_since.pop(0))
            self.pagerduty.failure = None

    def _set_full(self, on: bool) -> None:
        self.disk.full = on and self._troubled

    def _want_stop(self) -> None:
        self._stop_wanted = self._troubled and self.agent is not None

    def _jump(self) -> None:
        if self._troubled:
            self.runtime.clock.wall += self.chance.choice([-86_400.0, -3_600.0, 60.0, 86_400.0])

    def _request_begins(self, request: Request) -> None:
        promises.request_is_due(self, request)

    # The end

    def _drain(self) -> None:
        """After the trouble, every accepted event ends without further help."""
        self._troubled = False
        self.pagerduty.outage = False
        self.pagerduty.failure = None
        self._failing_since.clear()
        self.pagerduty.weather = Weather()
        self.disk.trouble = DiskTrouble()
        self.disk.full = self.scenario.full_at_the_end
        if self.agent is None:
            self._start()
        self._release_all()
        self._settle()
        promises.all_is_accounted_for(self)
        promises.replay_gives_the_live_state(self)

    def _settle(self) -> None:
        """Until the disk works, nothing waits, and no answer under way makes anybody ask again."""
        runtime, people, witness = self.runtime, self.people, self.witness

        def is_settled() -> bool:
            idle = not people.plans and not witness.waiting() and not witness.expected()
            return self.disk.works and idle

        deadline = runtime.clock.now + _DRAIN
        while runtime.run_until(is_settled, deadline - runtime.clock.now):
            runtime.run_for(5.0)
            if is_settled():
                return
        require(not witness.expected(), f"nothing came of {witness.expected()}, long overdue")
        raise Violation(f"{witness.waiting()} still wait after {_DRAIN:.0f} s of calm")

    def _release_all(self) -> None:
        """Only queues that are held are touched: the others must go on without a push."""
        agent = self.agent
        assert agent is not None
        for queue, key in self.disk.quietly().queues().items():
            if self.witness.line(queue).held:
                agent.perform(key, ReleaseQueue(), lambda answer: None)
        # One that was asked for may be held only now.
        if self.people.plans or self.witness.waiting():
            self.runtime.after(5.0, self._release_all)

    def _rest(self) -> None:
        """With nothing to do, the agent does nothing."""
        agent = self.agent
        assert agent is not None
        self.runtime.run_for(self.scenario.passivate_after + _IDLE)
        # The janitor may have just woken a queue, to expire its dead letters.
        self.runtime.run_until(
            lambda: all(entry.phase == "stopped" for entry in agent.directory.entries()),
            _IDLE + 10 * self.scenario.passivate_after,
        )
        promises.the_agent_is_idle(self)
        require(not self.witness.waiting(), "something waits again")

    def _live_again(self) -> None:
        """A new event of every key is accepted and delivered, whatever was the matter before."""
        agent, runtime = self.agent, self.runtime
        assert agent is not None
        self.disk.full = False
        # What can't be discarded fills the smallest journals.
        runtime.run_until(lambda: agent.admission.refusal is None, _IDLE)
        if agent.admission.refusal is not None and self.scenario.journal_limit < 1 << 30:
            return
        self._release_all()  # a hold may have come after the last look, with nothing waiting
        events = [self.people.send_one(key) for key in self.scenario.keys]
        lives = self.witness.lives
        runtime.run_until(
            lambda: all(e in lives and lives[e].state.startswith("delivered") for e in events),
            _IDLE,
        )
        for event in events:
            require(event in self.people.acknowledged, f"{event} was not accepted at the end")
            require(lives[event].state.startswith("delivered"), f"{event} is {lives[event].state}")
