"""How long an operator's questions take with 100,000 events waiting in 1,000 keys.

    python tests/bench/operating.py [DELIVERED]

A journal is written with DELIVERED events (default 200,000) that were delivered before, 100,000
that wait and 1,000 dead letters; then a real agent starts with it and is asked. Times are in
milliseconds as a client on this host sees them: the goal is below 100 for each, however many events
were ever delivered. What an event costs that is accepted meanwhile shows whether the questions hold
others up.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from pdagent.demo.processes import free_port  # noqa: E402
from pdagent.events.ids import new_event_id  # noqa: E402
from store.lmdb_journal import LmdbJournal  # noqa: E402
from store.port import Append  # noqa: E402
from store.records import (  # noqa: E402
    DeliveryStarted,
    EventAccepted,
    EventDeadLettered,
    EventDelivered,
    EventId,
    QueueId,
    Record,
    RoutingKey,
)
from tests.agent_process import AgentProcess  # noqa: E402

KEYS = 1_000
WAITING = 100
GOAL_MS = 100.0
_ROUNDS = 15


def accepted(event: EventId, position: int, at: float) -> EventAccepted:
    """A typical trigger."""
    payload = {
        "summary": "disk usage on /var is 97%",
        "source": "web-17.example.com",
        "severity": "critical",
        "custom_details": {"free": "1.2 GB", "used": "97%", "check": "disk"},
    }
    body = {"routing_key": "", "event_action": "trigger", "dedup_key": event, "payload": payload}
    return EventAccepted(
        event=event,
        position=position,
        kind="v2",
        action="trigger",
        dedup_key=event,
        body=json.dumps(body).encode(),
        at=at,
    )


def lives(delivered: int, now: float) -> Iterator[Record]:
    """The records of one queue: what was delivered, a dead letter, what waits."""
    for position in range(1, delivered + 2):
        event, at = EventId(new_event_id()), now - 3600 + position / 1000
        yield accepted(event, position, at)
        yield DeliveryStarted(event=event, attempt=1, at=at)
        if position <= delivered:
            yield EventDelivered(event=event, status=202, at=at, seconds=0.1)
        else:
            yield EventDeadLettered(event=event, reason="http_400", detail="no", at=at)
    for position in range(delivered + 2, delivered + 2 + WAITING):
        yield accepted(EventId(new_event_id()), position, now - 600 + position / 1000)


def write(directory: Path, delivered: int) -> None:
    """The journal of an agent that has been busy."""
    journal = LmdbJournal(directory, limit=8 << 30)
    now, each = time.time(), delivered // KEYS
    for number in range(1, KEYS + 1):
        records = tuple(lives(each, now))
        key = RoutingKey(f"{number:032d}")
        journal.commit([Append(queue=QueueId(number), records=records, routing_key=key)])
    journal.close()


def timed(ask: Callable[[], requests.Response]) -> tuple[list[float], requests.Response]:
    """How long `ask` takes (ms), a few times."""
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        answer = ask()
        times.append(1000 * (time.perf_counter() - began))
        answer.raise_for_status()
    return times, answer


def told(what: str, times: list[float]) -> bool:
    """Print one line; whether the goal is reached."""
    median, most = statistics.median(times), max(times)
    verdict = "ok" if median < GOAL_MS else "MISSED"
    print(f"{what:<46} median {median:7.1f} ms   longest {most:7.1f} ms   {verdict}", flush=True)
    return median < GOAL_MS


def sent(agent: AgentProcess) -> None:
    """Have an event accepted."""
    event = {"routing_key": "a" * 32, "event_action": "resolve", "dedup_key": "x"}
    agent.send_v2(event).raise_for_status()


def accept_meanwhile(agent: AgentProcess, ended: threading.Event, times: list[float]) -> None:
    """Send an event again and again until `ended`."""
    while not ended.is_set():
        began = time.perf_counter()
        sent(agent)
        times.append(1000 * (time.perf_counter() - began))
        time.sleep(0.002)


def main(delivered: int) -> int:
    """Measure; 0 if every goal is reached."""
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        directory = Path(name)
        write(directory / "journal", delivered)
        nowhere = f"http://127.0.0.1:{free_port()}"
        names = {f"name{number}": f"{number:032d}" for number in range(1, KEYS + 1, 2)}
        began = time.perf_counter()
        with AgentProcess(directory, nowhere, routing_keys=names, max_journal_mb=8192) as agent:
            print(f"{delivered} delivered before, start after {time.perf_counter() - began:.1f} s")
            totals = agent.totals()
            assert (totals["waiting"], totals["dead_lettered"]) == (KEYS * WAITING, KEYS), totals
            return 0 if ask_everything(agent) else 1


def ask_everything(agent: AgentProcess) -> bool:
    """All questions; whether every goal is reached."""
    quiet, busy, ended = [], [], threading.Event()
    key = f"{KEYS:032d}"
    page = agent.get("/queue/events", params={"rk": key, "limit": 100}).json()
    dead, head, later = (page["events"][place]["id"] for place in (0, 1, 90))
    fine = True
    calls = [
        ("GET /status", lambda: agent.get("/status")),
        ("what the dashboard asks", lambda: agent.get("/status?sort=waiting&offset=0&limit=40")),
        ("filtered", lambda: agent.get("/status?sort=oldest&match=name99&limit=40")),
        ("GET /queue/status", lambda: agent.get("/queue/status")),
        ("GET /metrics", lambda: agent.get("/metrics")),
        ("GET /queue/events?limit=100", lambda: agent.get("/queue/events?limit=100")),
        ("the last page of waiting events", lambda: agent.get("/queue/events?after=1.1000.50")),
        ("of one key", lambda: agent.get("/queue/events", params={"rk": key})),
        ("in_flight and deferred", lambda: agent.get("/queue/events?state=in_flight,deferred")),
        ("delivered", lambda: agent.get("/queue/events?state=delivered&limit=100")),
        ("show a dead letter", lambda: agent.get(f"/queue/events/{dead}")),
        ("show the event at the head", lambda: agent.get(f"/queue/events/{head}")),
        ("show a waiting event", lambda: agent.get(f"/queue/events/{later}")),
        ("retry one that may not be retried", lambda: retry(agent, later)),
    ]
    # The first one comes behind the recovery of a thousand queues.
    began = time.perf_counter()
    sent(agent)
    print(f"the first event is accepted {time.perf_counter() - began:.1f} s after the start")
    sender = threading.Thread(target=accept_meanwhile, args=(agent, ended, quiet))
    sender.start()
    time.sleep(1)
    ended.set()
    sender.join()
    ended.clear()
    sender = threading.Thread(target=accept_meanwhile, args=(agent, ended, busy))
    sender.start()
    for what, call in calls:
        times, _ = timed(call)
        fine = told(what, times) and fine
    ended.set()
    sender.join()
    for what, times in (("alone", quiet), ("meanwhile", busy)):
        times.sort()
        p99 = times[len(times) * 99 // 100]
        print(f"accepting {what}: median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms")
    return fine


def retry(agent: AgentProcess, event: str) -> requests.Response:
    """Ask for a retry by id, in a batch, which is refused for the event alone."""
    return agent.post("/queue/retry", json={"ids": [event]})


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
