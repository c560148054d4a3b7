"""The simulation finds faults: each of these, built into the program, within 2,000 seeds."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.simulation import mutants
from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Simulation
from tests.simulation.substitution import Substitute
from tests.simulation.witness import Violation

SEEDS = 2_000

# Seeds that have found the rarest faults. They only save the search: a change of the simulation
# may make others find them.
FOUND_BY = {
    "answered_while_a_commit_hangs": 268,
    "quarantined_singles": 63,
    "lost_wakeup_after_restart": 29,
    "given_up_within_the_hour": 136,
    "never_given_up_after_all": 11,
    "retry_after_of_limits_alone": 24,
    "full_journal_by_time_alone": 126,
    "dead_letters_without_a_share": 64,
    "events_without_a_time_are_overlooked": 3,
    "late_reports_of_jobs_count": 52,
}

# Where a rule plays no part, a fault in it can't be found, and a run would only take time.
PLAYS_A_PART: dict[str, Callable[[Scenario], bool]] = {
    "acknowledged and is lost": lambda it: bool(it.disk.hang),
    "requests were never answered": lambda it: it.disk.mistake > 0.01,
    "was not accepted at the end": lambda it: it.journal_limit == 1 << 30,
    "recorded as delivered, but never was": lambda it: bool(it.weather.odd or it.failing),
    "was given up after": lambda it: bool(
        it.weather.poison and it.policy.max_attempts <= 3 and it.policy.least_failing >= 60
    ),
    "is still tried after give_up_after": lambda it: it.policy.give_up_after <= 100,
    "long overdue": lambda it: bool(it.jobs and not it.jumps),
    "although the alert of its job is open": lambda it: bool(it.jobs and not it.jumps),
    "s of failures": lambda it: bool(it.failing and len(it.keys) > 1),
}


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        (mutants.answered_before_the_commit, "was acknowledged and is lost"),
        (mutants.answered_while_a_commit_hangs, "acknowledged and is lost"),
        (mutants.quarantined_singles, "requests were never answered"),
        (mutants.refusing_for_ever, "was not accepted at the end"),
        (mutants.overtaking_retry, "was started before its turn"),
        (
            mutants.discarded_sender_with_an_open_client,
            "a late write by a discarded sender|requests at once|event of its key is under way",
        ),
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
        (mutants.retention_by_time_alone, "are kept beyond their time"),
        (
            mutants.full_journal_by_time_alone,
            "full of what nobody needs|are kept beyond their time",
        ),
        (mutants.waiting_without_a_share, "goes beyond the share of its key"),
        (
            mutants.dead_letters_without_a_share,
            "full of what nobody needs|are kept beyond their time",
        ),
        (mutants.late_trigger_without_its_resolve, "ends with a trigger"),
        (mutants.overtaken_events_are_delivered, "a newer trigger of its alert had overtaken it"),
        (mutants.events_without_a_time_are_overlooked, "nothing had (resolved|overtaken)"),
        (mutants.overdue_without_a_wake_up, "long overdue"),
        (mutants.known_jobs_need_no_resolve, "although the alert of its job is open"),
        (
            mutants.late_reports_of_jobs_count,
            "although its job was not expected|although the alert of its job is open|long overdue",
        ),
    ],
)
def test_a_fault_in_the_program_is_found(
    mutant: Callable[[], list[Substitute]], found: str
) -> None:
    plays_a_part = PLAYS_A_PART.get(found, lambda scenario: True)
    for seed in (FOUND_BY.get(mutant.__name__, 0), *range(SEEDS)):
        simulation = Simulation(seed, mutations=mutant())
        if not plays_a_part(simulation.scenario):
            continue
        try:
            simulation.run()
        except Violation as violation:
            assert re.search(found, str(violation)), f"seed {seed}"
            return
    pytest.fail(f"not found within {SEEDS} seeds")
