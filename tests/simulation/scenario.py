"""The conditions of one run, drawn from its seed: load, faults and limits."""

from __future__ import annotations

import math
import random

import msgspec

from actors.core.commands import Policy
from store.records import RoutingKey
from tests.simulation.disk import DiskTrouble
from tests.simulation.pagerduty import Weather

KINDS = ("v1", "v2", "change")


class Scenario(msgspec.Struct, kw_only=True):
    """Times in seconds. `crash`, `failure` and `jump` are chances per step of the runtime."""

    keys: list[RoutingKey]
    events: int
    duration: float
    max_in_flight: int
    policy: Policy
    passivate_after: float
    retention: float
    snapshot_every: int
    turn: int
    journal_limit: int
    weather: Weather
    disk: DiskTrouble
    outages: list[tuple[float, float]]
    failing: list[tuple[float, float]]
    full_disk: list[tuple[float, float]]
    stops: list[float]
    operations: int
    jobs: int
    crash: float
    failure: float
    jumps: int
    full_at_the_end: bool


def draw_scenario(chance: random.Random) -> Scenario:
    """A scenario: some calm, most of them with a few kinds of trouble, some with everything."""
    duration = chance.choice([5.0, 30.0, 120.0, 400.0])
    if chance.random() < 0.003:
        duration = 4_000.0
    some = _Some(chance)
    return Scenario(
        keys=[RoutingKey(f"key-{n}") for n in range(chance.choice([1, 1, 2, 3, 5]))],
        events=chance.choice([3, 8, 15, 15, 25, 40]),
        duration=duration,
        max_in_flight=chance.choice([1, 1, 2, 4]),
        policy=Policy(
            max_queue_length=chance.choice([2, 5, 10, 1000]),
            max_attempts=chance.choice([1, 2, 3, 60]),
            least_failing=chance.choice([0.0, 5.0, 60.0, 3_600.0]),
            give_up_after=chance.choice([20.0, 100.0, 86_400.0, math.inf]),
        ),
        passivate_after=chance.choice([0.0, 0.1, 2.0, 30.0]),
        retention=chance.choice([1.0, 30.0, 300.0, 1e6]),
        snapshot_every=chance.choice([1, 3, 10, 1000]),
        turn=chance.choice([1, 1, 2, 64]),
        journal_limit=chance.choice([1 << 30, 1 << 30, 5_000]),
        weather=Weather(
            final=some.of(0.1, 0.3),
            rate_limit=some.of(0.1, 0.4),
            trouble=some.of(0.1, 0.4),
            strange=some.of(0.05),
            odd=some.of(0.05, 0.3),
            poison=some.of(0.05, 0.3),
            timeout=some.of(0.05, 0.2),
            reset=some.of(0.1, 0.4),
            unreachable=some.of(0.05, 0.3),
            hang=some.of(0.03),
            late_write=some.of(0.03),
        ),
        disk=DiskTrouble(
            crash=some.of(0.01, 0.05),
            failure=some.of(0.01, 0.1),
            mistake=some.of(0.01, 0.05),
            hang=some.of(0.01),
            removal_failure=some.of(0.1),
            unreadable=some.of(0.02),
        ),
        outages=some.windows(duration, 0.3),
        failing=some.windows(duration, 0.3, longest=3_600.0 if duration > 400 else 90.0),
        full_disk=some.windows(duration, 0.15),
        stops=[chance.random() * duration for _ in range(chance.choice([0, 0, 0, 1, 2]))],
        operations=chance.choice([0, 0, 3, 10]),
        crash=some.of(0.001, 0.01),
        failure=some.of(0.001, 0.01),
        jobs=chance.choice([0, 0, 0, 2]),
        jumps=chance.choice([0, 0, 0, 2]),
        full_at_the_end=chance.random() < 0.1,
    )


class _Some:
    """Draws likelihoods, many of them 0, so that each trouble also comes without the others."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._none = chance.choice([0.3, 0.7, 0.9])

    def of(self, *likelihoods: float) -> float:
        """One of these, or 0."""
        return 0.0 if self._chance.random() < self._none else self._chance.choice(likelihoods)

    def windows(
        self, duration: float, likelihood: float, longest: float = 90.0
    ) -> list[tuple[float, float]]:
        """Times from and to which something lasts."""
        chance = self._chance
        count = chance.choice([1, 1, 3]) if chance.random() < likelihood else 0
        starts = [chance.random() * duration for _ in range(count)]
        return [(start, start + chance.choice([1.0, 10.0, longest])) for start in starts]
