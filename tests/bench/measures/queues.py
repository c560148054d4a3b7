"""What long queues and many keys cost: memory, snapshots, idle CPU, questions, the restart."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import lmdb

from bench.agent import Agent, BenchError, run_inside
from bench.context import Bench
from bench.load import event, headers
from bench.measures.journals import LARGE

_SETTLE_SECONDS = 2.0
_IDLE_SECONDS = 5.0
_QUIET_SECONDS = 0.3
_MOST_SECONDS = 30.0
_SMALL_PAGES = 4
_KEY = f"{1:032d}"


def idle(bench: Bench, program: Path) -> list[float]:
    """Resident memory of an idle agent in MB."""
    with bench.down(program) as agent:
        time.sleep(_SETTLE_SECONDS)
        return [agent.memory().resident / 1e6]


def many_keys(bench: Bench, program: Path) -> list[float]:
    """50,000 known keys: bytes per key, % of a core when idle, ms of a status, s of a restart."""
    without, keys = _anonymous(bench, program), bench.scaled(50_000)
    with bench.place() as place:
        run_inside(program, "journal.py", place / "journal", keys, 1, 0, "active")
        with bench.down(program, place, LARGE) as agent:
            time.sleep(_SETTLE_SECONDS)
            per_key = (agent.memory().anonymous - without) / keys
            used, began = agent.cpu_seconds(), time.monotonic()
            time.sleep(bench.seconds(_IDLE_SECONDS))
            load = (agent.cpu_seconds() - used) / (time.monotonic() - began)
            status = median(_ms(lambda: agent.get("/status?limit=20")) for _ in range(7))
            return [per_key, 100 * load, status, agent.start_seconds]


def _anonymous(bench: Bench, program: Path) -> int:
    """Anonymous memory of an idle agent in bytes."""
    with bench.down(program) as agent:
        time.sleep(_SETTLE_SECONDS)
        return agent.memory().anonymous


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def long_queue(bench: Bench, program: Path) -> list[float]:
    """500,000 waiting events: bytes each; a snapshot of them: longest answer in ms, MB meanwhile.

    The queue is full and held. Its release makes its Sequencer save a snapshot; meanwhile the
    Sequencers' thread refuses further events, which waits for no commit.
    """
    without, count = _anonymous(bench, program), bench.scaled(500_000)
    with bench.place() as place:
        run_inside(program, "journal.py", place / "journal", 1, 0, count, "held")
        with bench.down(program, place, LARGE | {"max_queue_length": count}) as agent:
            time.sleep(_SETTLE_SECONDS)
            before = agent.memory().anonymous
            longest, most = _saving(agent, place)
    return [(before - without) / count, longest, (most - before) / 1e6]


def _saving(agent: Agent, place: Path) -> tuple[float, int]:
    """Have the snapshot saved: the longest answer in ms, the most anonymous memory in bytes."""
    answers: list[float] = []
    ended = threading.Event()
    asking = threading.Thread(target=_ask, args=(agent, answers, ended))
    if _snapshot_pages(place) > _SMALL_PAGES:
        raise BenchError("a snapshot was saved before the queue was released")
    asking.start()
    try:
        time.sleep(_QUIET_SECONDS)
        _post(_connected(agent), f"/queue/release?rk={_KEY}", b"", 200)
        most, deadline = 0, time.monotonic() + _MOST_SECONDS
        while _snapshot_pages(place) <= _SMALL_PAGES:
            most = max(most, agent.memory().anonymous)
            if time.monotonic() > deadline:
                raise BenchError("no snapshot was saved")
            time.sleep(0.005)
        time.sleep(_QUIET_SECONDS)
    finally:
        ended.set()
        asking.join()
    if not answers:
        raise BenchError("nothing was refused: the queue is not full")
    return max(answers), max(most, agent.memory().anonymous)


def _ask(agent: Agent, answers: list[float], ended: threading.Event) -> None:
    """Send events that are refused, as fast as they are, until `ended`; ms of each answer."""
    connection, body = _connected(agent), event(1)
    while not ended.is_set():
        answers.append(_ms(lambda: _post(connection, "/send", body, 429)))


def _connected(agent: Agent) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(agent.address, timeout=60)


def _post(connection: http.client.HTTPConnection, path: str, body: bytes, expected: int) -> None:
    connection.request("POST", path, body, headers("v2"))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != expected:
        raise BenchError(f"{path.partition('?')[0]}: {answer.status} {text[:200]!r}")


def _snapshot_pages(place: Path) -> int:
    """How many pages the snapshots take on disk."""
    with lmdb.open(str(place / "journal"), readonly=True, lock=False, max_dbs=1) as env:
        rows = env.open_db(b"snapshots", create=False)
        with env.begin() as txn:
            stat = txn.stat(rows)
    return int(stat["leaf_pages"] + stat["overflow_pages"])
