"""PagerDuty can't be reached: nothing is given up, nobody stampedes, and it is noticed at once.

`PDAGENT_FULL=1` has 20,000 events over 500 keys wait out 60 seconds; the normal run is a tenth.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.full_run import number
from tests.system.numbered_events import key_number, numbers_by_key, trigger

EVENTS = number("PDAGENT_EVENTS", normal=2_000, full=20_000)
KEYS = [key_number(n) for n in range(number("PDAGENT_KEYS", normal=200, full=500))]
OUTAGE = number("PDAGENT_OUTAGE_SECONDS", normal=3, full=60)
MAX_IN_FLIGHT = 8
WITHIN = 5.0
"""Seconds from PagerDuty's return to the first delivery at most, as promised."""


def accept(agent: AgentProcess, keys: Sequence[str], per_key: int, first: int = 0) -> None:
    """Have events accepted for all keys, numbered from `first` on, over eight connections."""

    def send(share: Sequence[str]) -> None:
        for n in range(first, first + per_key):
            for key in share:
                agent.send_v2(trigger(key, n)).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, [keys[start::8] for start in range(8)]))


def test_after_an_outage_all_keys_are_delivered_in_order_without_a_stampede(
    tmp_path: Path,
) -> None:
    per_key = EVENTS // len(KEYS)
    with (
        SandboxProcess("--keep", "0") as sandbox,
        AgentProcess(tmp_path, sandbox.url, max_in_flight=MAX_IN_FLIGHT) as agent,
    ):
        sandbox.behave(down=True)
        began = time.monotonic()
        accept(agent, KEYS, per_key)
        status = agent.status()
        assert status["totals"]["waiting"] == per_key * len(KEYS)
        assert status["pagerduty"]["state"] == "unreachable"
        assert status["pagerduty"]["last_error"]
        time.sleep(max(0.0, began + OUTAGE - time.monotonic()))  # the length of the outage
        sandbox.behave(down=False)
        returned = time.time()
        first = min(event["at"] for event in sandbox.wait_for_events(1, timeout=2 * WITHIN))
        agent.wait_until_drained(180)
        events, stats = sandbox.events(), sandbox.stats()
        assert agent.status()["pagerduty"]["state"] == "reachable"
        totals = agent.totals()

    assert first - returned < WITHIN
    assert numbers_by_key(events) == {key: list(range(per_key)) for key in KEYS}
    assert len(events) == per_key * len(KEYS), "each was sent once"
    assert (totals["delivered"], totals["dead_lettered"]) == (per_key * len(KEYS), 0)
    assert stats["connections"]["max"] <= MAX_IN_FLIGHT
    assert stats["requests"]["max"] <= MAX_IN_FLIGHT
    assert stats["connections"]["total"] <= 2 * MAX_IN_FLIGHT, "connections are kept"
    print(  # noqa: T201
        f"{len(events)} events, {len(KEYS)} keys, {OUTAGE} s: "
        f"first delivery {first - returned:.2f} s after the return, "
        f"the last {events[-1]['at'] - returned:.1f} s, "
        f"{stats['connections']['max']} connections at most"
    )


def test_an_outage_in_the_middle_of_deliveries_gives_no_event_up(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    keys = KEYS[:20]
    sandbox.behave(latency="0.01..0.02")
    for round_ in range(3):
        accept(agent, keys, 10, first=10 * round_)
        sandbox.behave(down=True)
        agent.wait_for(
            lambda: (
                agent.status()["pagerduty"]["state"] == "unreachable"
                or agent.totals()["waiting"] == 0
            ),
            "the outage is noticed",
        )
        sandbox.behave(down=False)
    agent.post("/queue/retry").raise_for_status()
    agent.wait_until_drained(60)
    arrived = numbers_by_key(sandbox.events())
    assert {key: sorted(set(numbers)) for key, numbers in arrived.items()} == {
        key: list(range(30)) for key in keys
    }
    assert all(numbers == sorted(numbers) for numbers in arrived.values())
    assert agent.totals()["dead_lettered"] == 0


class ShutDoor:
    """Takes TCP connections and closes them before TLS begins, so that nothing can be reached.

    `visits` are the times (monotonic) at which one came, `most_at_once` how many there were.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.visits: list[float] = []
        self.most_at_once = 0
        self._listener = listener
        self._inside = 0
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._turn_away, args=(visitor,), daemon=True).start()

    def forget(self) -> None:
        """Count from here on."""
        with self._lock:
            self.visits, self.most_at_once = [], self._inside

    def _turn_away(self, visitor: socket.socket) -> None:
        with visitor:
            with self._lock:
                self.visits.append(time.monotonic())
                self._inside += 1
                self.most_at_once = max(self.most_at_once, self._inside)
            visitor.recv(1)  # the first byte of its TLS greeting
            threading.Event().wait(0.2)  # long enough for others to come, if they are let
            with self._lock:
                self._inside -= 1


@contextmanager
def shut_door() -> Iterator[ShutDoor]:
    """A PagerDuty that can't be reached but can count."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        door = ShutDoor(listener)
        thread = threading.Thread(target=door.serve, daemon=True)
        thread.start()
        yield door
        listener.shutdown(socket.SHUT_RDWR)


def test_during_an_outage_one_probe_at_a_time_is_made_about_once_a_second_for_all_keys(
    tmp_path: Path,
) -> None:
    with (
        shut_door() as door,
        AgentProcess(tmp_path, door.url, max_in_flight=MAX_IN_FLIGHT) as agent,
    ):
        accept(agent, KEYS[:100], 2)
        agent.wait_for(
            lambda: agent.status()["pagerduty"]["state"] == "unreachable", "the outage is noticed"
        )
        agent.wait_for(
            lambda: agent.status()["pagerduty"]["in_flight"] <= 1, "the first attempts are over"
        )
        assert door.most_at_once <= MAX_IN_FLIGHT
        door.forget()
        agent.wait_for(lambda: len(door.visits) >= 6, "six probes")
        gaps = [later - sooner for sooner, later in zip(door.visits, door.visits[1:], strict=False)]
        assert door.most_at_once == 1
        assert all(1.0 <= gap <= WITHIN for gap in gaps), gaps
        # Each probe is the delivery of another event, and counts against none of them.
        totals = agent.totals()
        assert (totals["waiting"], totals["dead_lettered"]) == (200, 0)
