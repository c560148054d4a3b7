"""The simulation finds faults of relays: each of these, built in, within 2,000 seeds."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from store.errors import JournalDamagedError
from tests.simulation.relays import relay_mutants as mutants
from tests.simulation.relays.scenario import RelayScenario
from tests.simulation.relays.simulation import RelaySimulation
from tests.simulation.substitution import Substitute
from tests.simulation.witness import Violation

SEEDS = 2_000

# Seeds that have found the rarest faults. They only save the search.
FOUND_BY = {
    "an_owner_that_ignores_its_lease": 228,
    "a_challenger_without_patience": 71,
    "a_refusal_means_that_it_is_stored": 86,
    "take_over_without_catching_up": 22,
    "time_without_answers_counts": 413,
}

# Where a rule plays no part, a fault in it can't be found, and a run would only take time.
PLAYS_A_PART: dict[str, Callable[[RelayScenario], bool]] = {
    "only the engine failed": lambda it: it.only_engine and bool(it.faults),
}


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        (mutants.an_owner_that_ignores_its_lease, "has the lease"),
        (mutants.a_challenger_without_patience, "has the lease"),
        (mutants.append_without_the_expected_number, "written twice|was fenced"),
        (mutants.retry_that_does_not_look, "written twice|was fenced"),
        (mutants.a_refusal_means_that_it_is_stored, "is not in the log|was fenced|written twice"),
        (mutants.an_owner_that_is_never_fenced, "was fenced"),
        (mutants.take_over_without_catching_up, "written twice|differs"),
        (mutants.time_without_answers_counts, "only the engine failed"),
        (mutants.trimming_without_keeping, "differs|damaged"),
    ],
)
def test_a_fault_of_relays_is_found(mutant: Callable[[], list[Substitute]], found: str) -> None:
    plays_a_part = PLAYS_A_PART.get(found, lambda scenario: True)
    for seed in (FOUND_BY.get(mutant.__name__, 0), *range(SEEDS)):
        simulation = RelaySimulation(seed, mutations=mutant())
        if not plays_a_part(simulation.scenario):
            continue
        try:
            simulation.run()
        except (Violation, JournalDamagedError) as error:
            assert re.search(found, str(error)), f"seed {seed}: {error}"
            return
    pytest.fail(f"not found within {SEEDS} seeds")
