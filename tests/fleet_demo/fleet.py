"""The demonstration's processes: nodes of the engine, relays and hosts, and their senders."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from pdagent.demo.processes import DemoFailed
from pdagent.demo.senders import DemoSender, Offer, over_http
from tests.agent_process import AgentProcess
from tests.engine import Engine
from tests.fleet_demo.record import Noted, Record
from tests.fleet_demo.view import HostCounts, Machine, NodeState, RelayState
from tests.relay_processes import TELLING, RelayProcess, Relays

MACHINES = 3
HOSTS = tuple(f"host-{number}" for number in range(1, 9))
LOG = "fleet_log"

# Four integrations that all hosts share, and what their events say.
_TOPICS = {
    "web": "HTTP 5xx rate is above 5 %",
    "database": "replication is 40 s behind",
    "network": "packet loss to the gateway",
    "storage": "/var is 97 % full",
}
_NOWHERE = "http://127.0.0.1:9"  # hosts know no way to PagerDuty


class Fleet:
    """All processes but the sandbox, as a context manager that starts the engine and ends all.

    Machine number n has relay n and node n.
    """

    def __init__(self, directory: Path, events_url: str, record: Record) -> None:
        self.keys = [secrets.token_hex(16) for _ in _TOPICS]
        self.engine = Engine(directory / "engine", settings=TELLING)
        self.relays = Relays(directory, self.engine, events_url, count=MACHINES, name="fleet").all
        urls = "[" + ", ".join(relay.url for relay in self.relays) + "]"
        self.hosts = [
            AgentProcess(
                directory / name,
                _NOWHERE,
                relays=urls,
                relay_secret=self.relays[0].host_secret,
            )
            for name in HOSTS
        ]
        for host in self.hosts:
            host.credentials.note_keys_in(*self.keys)
        self.senders: list[DemoSender] = []
        self.killed: list[AgentProcess] = []
        self._record = record
        self._opened = ExitStack()
        self._at_hosts = [0] * len(HOSTS)
        self._leader = ""

    def __enter__(self) -> Fleet:
        with ExitStack() as opened:
            opened.enter_context(self.engine)
            for agent in (*self.relays, *self.hosts):
                opened.push(agent)
            opened.callback(self._abandon_senders)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)  # type: ignore[arg-type]

    def launch(self) -> None:
        """Start all relays and hosts and go on."""
        for agent in (*self.relays, *self.hosts):
            agent.launch()

    def check(self) -> None:
        """Raise DemoFailed if a process but those in `killed` has ended, or refused an event."""
        for agent in (*self.relays, *self.hosts):
            if not agent.is_running and agent not in self.killed:
                last = (agent.log().strip().splitlines() or ["it said nothing"])[-1]
                raise DemoFailed(f"{agent.directory.name} has ended: {last}")
        for sender in self.senders:
            sender.check()

    def send(self, rate: float) -> None:
        """Have each host get `rate` events a second from now on, for each key in turn."""
        self.senders = [
            DemoSender(name, 1 / rate, self._noted(number)) for number, name in enumerate(HOSTS)
        ]
        for sender in self.senders:
            sender.start()

    def owner(self) -> RelayProcess | None:
        """The relay that owns the log and answers; None if there is none."""
        owners = [relay for relay in self.relays if relay.is_running and relay.owns()]
        return owners[0] if len(owners) == 1 else None

    def is_idle(self) -> bool:
        """Whether all senders have ended, and the owner waits for no answer any more."""
        owner = self.owner()
        if owner is None or any(sender.is_alive() for sender in self.senders):
            return False
        try:
            return owner.totals()["waiting"] == 0
        except requests.RequestException:
            return False

    def machines(self) -> tuple[Machine, ...]:
        """How relays and nodes are."""
        states: list[RelayState] = [self._relay_state(relay) for relay in self.relays]
        nodes: list[NodeState] = [
            ("leader" if node.name == self._leader else "running") if node.running else "killed"
            for node in self.engine.nodes
        ]
        return tuple(Machine(*pair) for pair in zip(states, nodes, strict=True))

    def host_counts(self) -> tuple[HostCounts, ...]:
        """How many events each host has acknowledged, and where they are."""
        delivered = self._record.delivered()
        for number, host in enumerate(self.hosts):
            with contextlib.suppress(requests.RequestException):  # the last figure stays on show
                self._at_hosts[number] = host.totals()["waiting"]
        accepted = Counter(noted.name[0] for noted in self._record.accepted)
        counts = []
        for number, name in enumerate(HOSTS):
            waiting = max(0, accepted[number] - delivered[number])
            at_host = min(waiting, self._at_hosts[number])
            counts.append(HostCounts(name, accepted[number], accepted[number] - waiting, at_host))
        return tuple(counts)

    def _relay_state(self, relay: RelayProcess) -> RelayState:
        if not relay.is_running:
            return "killed"
        try:
            status = relay.relay_status()
        except requests.RequestException:
            return "starting"
        role = status["relay"]["role"]
        if role == "owner":
            streams: list[dict[str, Any]] = status["engine"]["streams"]
            self._leader = next((each["leader"] for each in streams if each["name"] == LOG), "")
        return role if role in ("owner", "standby") else "starting"

    def _noted(self, number: int) -> Offer:
        offers = [
            over_http(self.hosts[number].url, key, HOSTS[number], summary)
            for key, summary in zip(self.keys, _TOPICS.values(), strict=True)
        ]

        def offer(event: int) -> bool:
            place = event % len(offers)
            acknowledged = offers[place](event)
            if acknowledged:
                self._record.accepted.append(Noted(time.time(), self.keys[place], (number, event)))
            return acknowledged

        return offer

    def _abandon_senders(self) -> None:
        for sender in self.senders:
            sender.abandon()
