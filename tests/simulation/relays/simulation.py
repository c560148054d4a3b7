"""One run: relays, their engine and hosts, and PagerDuty, everything drawn from one seed."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

from store import log_writer, replicated_journal
from store.records import EventId, RoutingKey
from tests.simulation import promises
from tests.simulation.pagerduty import Request, SimulatedPagerDuty, Weather
from tests.simulation.relays import relay_promises
from tests.simulation.relays.engine import EngineTrouble, SimulatedEngine
from tests.simulation.relays.hosts import Host
from tests.simulation.relays.machines import Machines
from tests.simulation.relays.relay import RelayRun, SimulatedRelay
from tests.simulation.relays.scenario import Fault, draw_relay_scenario
from tests.simulation.relays.witness import LogWitness
from tests.simulation.substitution import Substitute, substituted, substitutes
from tests.simulation.witness import require

_DRAIN = 900.0
PORTIONS = (1,) * 9 + (20,)
"""Most lives clean little: each portion takes as long as many events."""
_SHARED_MEMORY = Path("/dev/shm")


class RelaySimulation:
    """`run` it once; it raises `Violation` if a promise is broken.

    `mutations` and `traced` are as in `tests.simulation.simulation`.
    """

    def __init__(
        self, seed: int, *, mutations: list[Substitute] | None = None, traced: bool = False
    ) -> None:
        self.chance = chance = random.Random(f"relays {seed}")
        self.scenario = scenario = draw_relay_scenario(chance)
        scenario.limits.portions = random.Random(f"cleaning {seed}").choice(PORTIONS)
        self.runtime = machines = Machines(chance)
        self.trace: list[str] = []
        if traced:
            machines.trace = self.trace
        self.witness = LogWitness(scenario.limits.policy.max_queue_length, machines.note)
        self.pagerduty = SimulatedPagerDuty(
            machines, chance, scenario.weather, self._request_begins
        )
        self.engine = SimulatedEngine(machines, chance, scenario.trouble, self.witness.stored)
        memory = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        self._directory = tempfile.TemporaryDirectory(prefix="pdagent-relays-", dir=memory)
        self.relays = [
            SimulatedRelay(
                f"relay-{number}",
                Path(self._directory.name),
                machines,
                self.engine,
                self.pagerduty,
                scenario.limits,
                chance,
            )
            for number in range(scenario.relays)
        ]
        for relay in self.relays:
            relay.ended = self._run_ended
        self.acknowledged: dict[EventId, RoutingKey] = {}
        self.hosts = [
            Host(f"host-{number}", machines, self.relays, chance, self._acknowledged)
            for number in range(scenario.hosts)
        ]
        self.senders: dict[int, RelayRun] = {}
        self.faults: list[str] = []
        self._mutations = mutations or []

    def run(self) -> None:
        """From the first start of all relays until nothing is left to do."""
        scenario, machines = self.scenario, self.runtime
        replacements = substitutes(
            machines,
            self.chance,
            snapshot_every=scenario.snapshot_every,
            turn=scenario.turn,
            tick=1.0,
        )
        replacements += [
            (log_writer, "time", machines.clock),
            (replicated_journal, "threading", SimpleNamespace(RLock=machines.make_lock)),
        ]
        with substituted([*replacements, *self._mutations]):
            try:
                self._live()
                self._drain()
            finally:
                machines.lose_everything()
                for relay in self.relays:
                    if relay.run is not None:
                        relay.run.close()
                self._directory.cleanup()

    def _live(self) -> None:
        scenario, machines, chance = self.scenario, self.runtime, self.chance
        for relay in self.relays:
            machines.after(chance.random(), relay.start)
        bursts = [chance.random() * scenario.duration for _ in range(3)]
        for _ in range(scenario.events):
            host, key = chance.choice(self.hosts), chance.choice(scenario.keys)
            when = chance.choice([*bursts, chance.random() * scenario.duration])
            machines.after(when, lambda host=host, key=key: host.make(key))
        for fault in scenario.faults:
            machines.after(fault.when, lambda fault=fault: self._strike(fault))
        machines.run_for(scenario.duration)

    def _drain(self) -> None:
        """After all faults, everything is delivered without further help."""
        machines, witness = self.runtime, self.witness
        machines.run_for(20.0)  # the longest fault ends
        self.engine.trouble = EngineTrouble()
        self.pagerduty.weather = Weather()
        for relay in self.relays:
            if relay.run is not None:
                relay.run.log.cut = False
        done = machines.run_until(
            lambda: not witness.waiting() and all(host.is_done for host in self.hosts), _DRAIN
        )
        require(done, f"{witness.waiting()} still wait after {_DRAIN:.0f} s without a fault")
        machines.run_for(10.0)
        # A copy whose disk has just failed is a second behind.
        machines.run_until(self._copies_are_complete, 10.0)
        relay_promises.all_is_well(self)
        promises._deliveries_are_true_and_in_order(self)  # type: ignore[arg-type]

    def _copies_are_complete(self) -> bool:
        followers = [relay.run.journal._follower for relay in self.relays if relay.run]
        return all(follower.is_sound for follower in followers) and (
            len({follower.seq for follower in followers}) == 1
        )

    def _all_are_caught_up(self) -> bool:
        journals = [relay.run and relay.run.journal for relay in self.relays]
        return all(j and j.applied == self.engine.memory.last for j in journals)

    # Faults

    def _strike(self, fault: Fault) -> None:
        owners = [relay for relay in self.relays if relay.run is not None and relay.run.agent]
        relay = self.chance.choice(owners if owners and fault.at_owner else self.relays)
        run, after = relay.run, self.runtime.after
        self.runtime.note(lambda: f"fault: {fault.kind} at {relay.name} for {fault.lasts} s")
        self.faults.append(fault.kind)
        match fault.kind:
            case "kill" | "wipe":
                relay.wanted = False
                relay.kill()
                if fault.kind == "wipe":
                    relay.wipe()
                after(fault.lasts, lambda: self._want(relay))
            case "stop" if run is not None and not run.process.stopped:
                self.runtime.stop(run.process)
                after(fault.lasts, lambda: self.runtime.wake(run.process))
            case "cut off" if run is not None:
                run.log.cut = True
                after(fault.lasts, lambda: setattr(run.log, "cut", False))
            case "step down" if run is not None:
                run.step_down()
            case "engine down":
                self.engine.down = self.chance.choice(["refuses", "silent"])
                after(fault.lasts, lambda: setattr(self.engine, "down", None))

    def _want(self, relay: SimulatedRelay) -> None:
        relay.wanted = True
        relay.start()

    # What the promises are checked at

    def _request_begins(self, request: Request) -> None:
        run = self.pagerduty.sender  # type: ignore[attr-defined]
        self.senders[request.number] = run
        relay_promises.request_is_due(self, request, run)

    def _run_ended(self, run: RelayRun) -> None:
        for request in [r for r in self.pagerduty.under_way if self.senders[r.number] is run]:
            request.ended = self.runtime.clock.now
            self.pagerduty.under_way.remove(request)

    def _acknowledged(self, event: EventId, key: RoutingKey) -> None:
        require(event in self.witness.lives, f"{event} was acknowledged, but is not in the log")
        self.acknowledged[event] = key
