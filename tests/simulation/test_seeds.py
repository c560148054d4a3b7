"""The promises hold in many drawn lives of an agent.

python -m pytest tests/simulation --seeds 10000     # more of them
python -m pytest tests/simulation --seed 4711       # this one, with all that happened in it
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from store.lmdb_journal import LmdbJournal
from store.port import Journal
from tests.simulation.pagerduty import FINAL, STRANGE, TROUBLE
from tests.simulation.simulation import Simulation
from tests.simulation.witness import ALARM, CLOSING, Violation

REPOSITORY = Path(__file__).resolve().parents[2]

OpenJournal = Callable[[int], Callable[[], Journal]]

# Seeds with what is rarest: without them, hundreds more are needed until all has happened.
_RAREST = (153, 157, 250, 83, 41, 20)
# Of the last steps, enough to see what led to the end.
_SHOWN = 60
# LMDB's tables take some pages before there is any event; a few dozen events more make it full.
_SMALL_LMDB = 100_000
_LARGE_LMDB = 16 << 20


def test_every_promise_holds_on_a_journal_in_memory(
    memory_seeds: range, request: pytest.FixtureRequest
) -> None:
    for seed in memory_seeds:
        simulate(seed, request)


def test_every_promise_holds_on_a_journal_in_lmdb(
    lmdb_seeds: range, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    for seed in lmdb_seeds:
        directory = tmp_path / f"{seed}"
        simulate(seed, request, lambda limit, path=directory: in_lmdb(path, limit))


def in_lmdb(directory: Path, limit: int) -> Callable[[], Journal]:
    """What opens the journal of a simulation again and again."""
    size = _SMALL_LMDB if limit < _SMALL_LMDB else _LARGE_LMDB
    return lambda: LmdbJournal(directory, limit=size)


def simulate(
    seed: int, request: pytest.FixtureRequest, open_journal: OpenJournal | None = None
) -> None:
    """Run a seed; a failure names the command that repeats this seed alone."""
    whole = request.config.getoption("seed") is not None
    simulation = Simulation(seed, open_journal=open_journal, traced=whole)
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


def test_a_seed_gives_the_same_trace_again_and_in_another_process() -> None:
    program = (
        "from tests.simulation.test_seeds import digests\n"
        "print(*digests(range(5)), *digests(range(5)))"
    )
    traced = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": "."},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout.split()
    assert len(set(traced)) == 5
    assert traced == digests(range(5)) * 2


def digests(seeds: range) -> list[str]:
    """One of the trace of each seed."""
    found = []
    for seed in seeds:
        simulation = Simulation(seed, traced=True)
        simulation.run()
        assert len(simulation.trace) > 100
        found.append(hashlib.sha256("\n".join(simulation.trace).encode()).hexdigest())
    return found


def test_all_that_is_simulated_does_happen() -> None:
    """A promise that no fault challenges holds trivially."""
    wanted = {
        "fine",
        "timeout",
        "reset",
        "unreachable",
        "hang",
        "late_write",
        "outage",
        "429",
        "403",
    }
    wanted |= {"odd", "poison", "failure"}
    wanted |= {str(code) for code in (*FINAL, *TROUBLE, *STRANGE)}
    wanted |= {"queue_full", "journal_full", "unavailable", "superseded"}
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for seed in (*_RAREST, *range(2_000)):
        simulation = Simulation(seed)
        simulation.run()
        seen |= simulation.pagerduty.kinds.keys() | simulation.people.refusals.keys()
        counts["processes"] += simulation.processes - 1
        counts["failures"] += len(simulation.failures)
        counts["disturbances"] += len(simulation.disturbances)
        counts["removals"] += simulation.disk.removed_anything
        lives = simulation.witness.lives.values()
        counts["overtaken"] += sum(life.overtaken for life in lives)
        counts["alarms of jobs"] += sum(life.event.startswith(ALARM) for life in lives)
        counts["resolved again"] += sum(life.event.startswith(CLOSING) for life in lives)
        if wanted <= seen and min(counts.values()) > 10:
            return
    raise AssertionError(f"never seen: {wanted - seen}; seen {dict(counts)}")
