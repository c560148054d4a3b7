"""How fast events reach PagerDuty: a backlog, one key, and beside events that come in."""

from __future__ import annotations

import bisect
import time
from pathlib import Path
from typing import NamedTuple

from bench import agent as agents
from bench.agent import Agent, BenchError
from bench.answering import PagerDuty, answering
from bench.context import Bench
from bench.load import batch, load

_KEYS = 200
_LOOK_EVERY = 0.1
_START_SECONDS = 30.0
_WINDOW_SECONDS = 6.0
_FLOOD_SECONDS = 4.0


class _Use(NamedTuple):
    """What an agent had used when it had delivered so many events."""

    delivered: int
    cpu_seconds: float
    switches: int


def backlog(bench: Bench, program: Path, *, count: int, latency: float) -> list[float]:
    """Deliveries/s of a backlog of `count` events of 200 keys, PagerDuty `latency` seconds away."""
    return [_drained(bench, program, count, _KEYS, latency)[0]]


def one_key(bench: Bench, program: Path) -> list[float]:
    """Of a backlog of one key: deliveries/s, CPU in us and voluntary switches per delivery."""
    rate, uses = _drained(bench, program, 4_000, 1, 0.0)
    first, last = uses[0], uses[-1]
    delivered = last.delivered - first.delivered
    cpu = (last.cpu_seconds - first.cpu_seconds) / delivered
    return [rate, 1e6 * cpu, (last.switches - first.switches) / delivered]


def _drained(
    bench: Bench, program: Path, count: int, keys: int, latency: float
) -> tuple[float, list[_Use]]:
    """Deliveries/s from the first to the last one of a backlog, and what they took meanwhile.

    A backlog that takes long is looked at for its first seconds.
    """
    port = agents.free_port()
    with (
        bench.place() as place,
        agents.running(place, f"https://127.0.0.1:{port}", program) as agent,
    ):
        batch(agent, count, keys)
        with answering(port, bench.directory, latency) as pagerduty:
            uses = _until(agent, pagerduty, count, bench.seconds(_WINDOW_SECONDS))
    times = pagerduty.answered
    return (len(times) - 1) / (times[-1] - times[0]), uses


def _until(agent: Agent, pagerduty: PagerDuty, count: int, seconds: float) -> list[_Use]:
    """Look at the agent until `count` events are delivered, or `seconds` after the first."""
    uses: list[_Use] = []
    began = time.monotonic()
    while (delivered := pagerduty.look()) < count:
        now = time.monotonic()
        if delivered:
            uses.append(_Use(delivered, agent.cpu_seconds(), agent.switches()))
            if now > pagerduty.answered[0] + seconds:
                break
        elif now > began + _START_SECONDS:
            raise BenchError(f"nothing was delivered within {_START_SECONDS} s")
        time.sleep(_LOOK_EVERY)
    if len(uses) < 2 or uses[0].delivered == uses[-1].delivered:
        raise BenchError("the backlog was delivered too fast to look at it twice")
    return uses


def beside_intake(bench: Bench, program: Path) -> list[float]:
    """Deliveries while 64 connections post, and during a batch: times the drain rate, then /s."""
    drain, _ = _drained(bench, program, 6_000, _KEYS, 0.0)
    with bench.delivering(program) as (agent, pagerduty):
        report = load(agent, 64, _KEYS, bench.seconds(_FLOOD_SECONDS))
        pagerduty.look()
        posting = _rate(pagerduty.answered, report.began, report.ended)
    with bench.delivering(program) as (agent, pagerduty):
        began, ended = batch(agent, 30_000, _KEYS)
        pagerduty.look()
        batching = _rate(pagerduty.answered, began, ended)
    return [posting / drain, batching / drain, posting, batching]


def _rate(times: list[float], began: float, ended: float) -> float:
    """How many of the times are in that span, per second."""
    return (bisect.bisect(times, ended) - bisect.bisect(times, began)) / (ended - began)
