"""What the journal costs: a commit beside a computing thread, and the start."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import lmdb

from bench.agent import run_inside
from bench.context import Bench

LARGE = {"max_journal_mb": 8192}
"""Settings of an agent with a large journal."""


def commit(bench: Bench, program: Path) -> list[float]:
    """ms that a commit of 256 events takes beside a computing thread."""
    with bench.place() as place:
        return [float(run_inside(program, "committing.py", place / "journal", 256, 15))]


def start(bench: Bench, program: Path) -> list[float]:
    """Seconds that an empty start takes; records/s of a start with 1,000,000 records, and that in
    times of a raw cursor over the same file."""
    empty = median(_start_seconds(bench, program) for _ in range(3))
    keys = bench.scaled(1_000)
    with bench.place() as place:
        journal = place / "journal"
        records = int(run_inside(program, "journal.py", journal, keys, 333, 1, "active"))
        with bench.down(program, place, LARGE) as agent:
            rate = records / (agent.start_seconds - empty)
        return [empty, rate, rate / _cursor_rate(journal, records)]


def _start_seconds(bench: Bench, program: Path) -> float:
    with bench.down(program) as agent:
        return agent.start_seconds


def _cursor_rate(journal: Path, records: int) -> float:
    """Records/s of a bare cursor that reads all rows of the journal's table."""
    with lmdb.open(str(journal), readonly=True, lock=False, max_dbs=1) as env:
        rows = env.open_db(b"journal", create=False)
        with env.begin(db=rows) as txn:
            began = time.perf_counter()
            for _ in txn.cursor():
                pass
            return records / (time.perf_counter() - began)
