"""The simulation finds faults: each of these, built into the program, within 2,000 seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation import mutants
from tests.simulation.simulation import Simulation
from tests.simulation.substitution import Substitute
from tests.simulation.witness import Violation

SEEDS = 2_000


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        (mutants.answered_before_the_commit, "was acknowledged and is lost"),
        (mutants.overtaking_retry, "was started before its turn"),
        (mutants.discarded_sender_with_an_open_client, "a late write by a discarded sender"),
        (mutants.slower_after_each_refusal, "is paced below the documented rate"),
        (mutants.lost_wakeup_after_restart, "still wait after"),
        (mutants.ignored_fingerprint, "was given for another event under its key"),
        (mutants.a_login_page_is_a_delivery, "recorded as delivered, but never was"),
        (mutants.any_4xx_is_a_refusal, "that PagerDuty did not refuse"),
        (mutants.every_attempt_counts, "attempts count"),
        (mutants.given_up_within_the_hour, "was given up after"),
        (mutants.never_given_up_after_all, "is still tried after give_up_after"),
        (mutants.retry_after_of_limits_alone, "s instead of"),
        (mutants.each_key_probes_alone, "s of failures"),
    ],
)
def test_a_fault_in_the_program_is_found(
    mutant: Callable[[], list[Substitute]], found: str
) -> None:
    for seed in range(SEEDS):
        try:
            Simulation(seed, mutations=mutant()).run()
        except Violation as violation:
            assert found in str(violation), f"seed {seed}"
            return
    pytest.fail(f"not found within {SEEDS} seeds")
