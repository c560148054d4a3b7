"""How fast events are accepted, in times of what LMDB does alone, with one commit per event."""

from __future__ import annotations

from pathlib import Path

from bench.agent import Agent
from bench.context import Bench
from bench.load import Report, batch, load
from bench.machine import lmdb_alone

_KEYS = 200
_SECONDS = 3.0
_LMDB_SECONDS = 0.5


def down(bench: Bench, program: Path, *, connections: int) -> list[float]:
    """While PagerDuty is down."""
    with bench.down(program) as agent:
        return [_ratio(bench, agent, connections)[0]]


def delivering(bench: Bench, program: Path, *, connections: int) -> list[float]:
    """While PagerDuty answers at once; and the latency's 99th percentile in ms."""
    with bench.delivering(program) as (agent, _):
        ratio, report = _ratio(bench, agent, connections)
        return [ratio, report.p99_ms]


def _ratio(bench: Bench, agent: Agent, connections: int) -> tuple[float, Report]:
    """Accepts/s in times of LMDB's, which is measured before and after."""
    before = lmdb_alone(bench.directory / "lmdb", _LMDB_SECONDS)
    report = load(agent, connections, _KEYS, bench.seconds(_SECONDS))
    after = lmdb_alone(bench.directory / "lmdb", _LMDB_SECONDS)
    return 2 * report.per_second / (before + after), report


def one_batch(bench: Bench, program: Path) -> list[float]:
    """Events/s of a batch over 200 keys while PagerDuty is down."""
    count = bench.scaled(30_000)
    with bench.down(program) as agent:
        began, ended = batch(agent, count, _KEYS)
    return [count / (ended - began)]
