"""How long operators' questions take while many events wait."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

from bench.agent import run_inside
from bench.context import Bench
from bench.measures.journals import LARGE

_KEYS = 1_000
_WAITING = 100
_DELIVERED = 20
_ROUNDS = 7
_LAST = f"{_KEYS:032d}"
_QUESTIONS = (
    "/status",
    "/status?sort=waiting&offset=0&limit=40",
    "/status?sort=oldest&match=name99&limit=40",
    "/queue/status",
    "/metrics",
    "/queue/events?limit=100",
    f"/queue/events?rk={_LAST}",
    "/queue/events?state=in_flight,deferred",
    "/queue/events?state=delivered&limit=100",
)


def slowest_question(bench: Bench, program: Path) -> list[float]:
    """ms that the slowest question takes with 100,000 events waiting in 1,000 keys."""
    names = {f"name{number}": f"{number:032d}" for number in range(1, _KEYS + 1, 2)}
    keys = ", ".join(f"{name}: '{key}'" for name, key in names.items())
    waiting = bench.scaled(_WAITING)
    with bench.place() as place:
        journal = place / "journal"
        run_inside(program, "journal.py", journal, _KEYS, _DELIVERED, waiting, "active")
        settings = LARGE | {"routing_keys": f"{{{keys}}}"}
        with bench.down(program, place, settings) as agent:
            page = json.loads(agent.get(f"/queue/events?rk={_LAST}&limit=10"))
            head, later = (page["events"][number]["id"] for number in (0, -1))
            shown = (f"/queue/events/{head}", f"/queue/events/{later}")
            took: dict[str, list[float]] = {}
            for question in (*_QUESTIONS, *shown) * _ROUNDS:
                began = time.perf_counter()
                agent.get(question)
                took.setdefault(question, []).append(1000 * (time.perf_counter() - began))
    return [max(median(times) for times in took.values())]
