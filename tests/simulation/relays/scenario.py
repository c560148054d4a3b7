"""The conditions of one life of relays, drawn from its seed."""

from __future__ import annotations

import math
import random
from typing import Literal

import msgspec

from actors.core.commands import Policy
from store.records import RoutingKey
from tests.simulation.pagerduty import Weather
from tests.simulation.relays.engine import EngineTrouble
from tests.simulation.relays.relay import RelayLimits

FaultKind = Literal["kill", "stop", "step down", "wipe", "cut off", "engine down"]
LENGTHS: dict[FaultKind, tuple[float, ...]] = {
    "kill": (0.0, 1.0, 15.0),
    "stop": (0.5, 5.0, 8.0, 20.0),
    "step down": (0.0,),
    "wipe": (0.0, 5.0),
    "cut off": (2.0, 8.0, 20.0),
    "engine down": (1.0, 5.0, 15.0),
}
"""How long a fault may last, in seconds."""


class Fault(msgspec.Struct, frozen=True):
    """At `when` and for so long (seconds); at the owner of that time, or at any relay."""

    kind: FaultKind
    when: float
    lasts: float
    at_owner: bool


class RelayScenario(msgspec.Struct, kw_only=True):
    """Times in seconds."""

    relays: int
    hosts: int
    keys: list[RoutingKey]
    events: int
    duration: float
    faults: list[Fault]
    trouble: EngineTrouble
    weather: Weather
    limits: RelayLimits
    snapshot_every: int
    turn: int

    @property
    def only_engine(self) -> bool:
        """Whether only the engine as a whole fails, now and then: then no relay is to change."""
        return all(fault.kind == "engine down" for fault in self.faults) and not any(
            getattr(self.trouble, kind) for kind in EngineTrouble.__struct_fields__
        )


def draw_relay_scenario(chance: random.Random) -> RelayScenario:
    """Most have a few faults, some none but those of single calls."""
    duration = chance.choice([20.0, 40.0, 40.0, 80.0])
    kinds = list(LENGTHS)
    if chance.random() < 0.6:  # a few kinds, so that each also comes without the others
        kinds = chance.sample(kinds, chance.choice([1, 2]))
    faults = []
    for _ in range(chance.choice([0, 1, 2, 3, 5])):
        kind = chance.choice(kinds)
        when, lasts = 8.0 + chance.random() * (duration - 8.0), chance.choice(LENGTHS[kind])
        faults.append(Fault(kind, when, lasts, chance.random() < 0.8))
    calm = chance.random() < 0.4

    def some(*likelihoods: float) -> float:
        return 0.0 if calm or chance.random() < 0.5 else chance.choice(likelihoods)

    return RelayScenario(
        relays=chance.choice([2, 2, 3]),
        hosts=chance.choice([1, 2, 3]),
        keys=[RoutingKey(f"key-{n}") for n in range(chance.choice([1, 1, 2, 3]))],
        events=chance.choice([4, 10, 20, 30]),
        duration=duration,
        faults=faults,
        trouble=EngineTrouble(
            slow=some(0.05, 0.3), never=some(0.03), lost=some(0.05, 0.2), late=some(0.05, 0.2)
        ),
        weather=Weather(
            final=some(0.05),
            rate_limit=some(0.1),
            trouble=some(0.1),
            timeout=some(0.05),
            reset=some(0.1),
            unreachable=some(0.1),
        ),
        limits=RelayLimits(
            policy=Policy(max_attempts=1_000, give_up_after=math.inf),
            retention=chance.choice([1e6, 1e6, 30.0]),
            passivate_after=chance.choice([0.1, 30.0]),
            max_message=chance.choice([1 << 20, 1 << 20, 600]),
            max_in_flight=chance.choice([1, 2, 4]),
            copy_failure=0.0 if chance.random() < 0.8 else 0.03,
        ),
        snapshot_every=chance.choice([3, 10, 1000]),
        turn=chance.choice([1, 2, 64]),
    )
