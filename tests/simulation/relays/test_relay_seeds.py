"""The promises of relays hold in many drawn lives of them.

python -m pytest tests/simulation/relays --seeds 10000    # more of them: a quarter of so many
python -m pytest tests/simulation/relays --seed 4711      # this one, with all that happened in it
"""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from tests.simulation.relays.scenario import LENGTHS
from tests.simulation.relays.simulation import RelaySimulation
from tests.simulation.witness import Violation

_SHOWN = 60


def test_every_promise_of_relays_holds(relay_seeds: range, request: pytest.FixtureRequest) -> None:
    whole = request.config.getoption("seed") is not None
    for seed in relay_seeds:
        simulation = RelaySimulation(seed, traced=whole)
        try:
            simulation.run()
        except Exception as error:  # noqa: BLE001 (whatever it is, the seed belongs to it)
            test = request.node.nodeid.partition("[")[0]
            shown = "\n".join(simulation.trace[-_SHOWN:])
            pytest.fail(
                f"seed {seed}: {error}\n{shown}\n"
                f"Repeat it with: python -m pytest '{test}' --seed {seed}\n{simulation.scenario}",
                pytrace=not isinstance(error, Violation),
            )


def test_a_seed_of_relays_gives_the_same_trace_again() -> None:
    digests = [_digest(seed) for seed in range(4)]
    assert len(set(digests)) == 4
    assert [_digest(seed) for seed in range(4)] == digests


def _digest(seed: int) -> str:
    simulation = RelaySimulation(seed, traced=True)
    simulation.run()
    assert len(simulation.trace) > 100
    return hashlib.sha256("\n".join(simulation.trace).encode()).hexdigest()


def test_all_that_is_simulated_of_relays_does_happen() -> None:
    """A promise that no fault challenges holds trivially."""
    wanted = {f"{what} {kind}" for what in ("append", "put", "read") for kind in _TROUBLE}
    counts: Counter[str] = Counter(dict.fromkeys([*wanted, *LENGTHS], 0))
    for seed in range(400):
        simulation = RelaySimulation(seed)
        simulation.run()
        witness = simulation.witness
        counts.update({kind: simulation.engine.kinds[kind] for kind in wanted})
        counts.update(simulation.faults)
        counts["takeovers after the first"] += len(witness.takeovers) - 1
        counts["owners that another one has replaced"] += sum(r.lost for r in simulation.relays)
        counts["deliveries kept back"] += sum(relay.kept_back for relay in simulation.relays)
        counts["attempts cut off"] += sum(witness.repeatable.values())
        counts["removals"] += witness.removals
        counts["changes in parts"] += witness.parts
        counts["trims"] += simulation.engine.memory.first > 1
        counts["only the engine fails"] += simulation.scenario.only_engine
        if min(counts.values()) > 2:
            return
    raise AssertionError(f"too seldom seen: {counts.most_common()[::-1]}")


_TROUBLE = ("fine", "slow", "never", "lost", "late", "refuses", "silent")
