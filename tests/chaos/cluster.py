"""Three nodes of the engine, three relays and many hosts, all real processes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.agent_process import AgentProcess
from tests.chaos.power import FileSystem
from tests.chaos.traffic import Traffic
from tests.engine import Engine
from tests.relay_processes import TELLING, RelayProcess, Relays

NAME = "chaos"
LOG, TABLE = f"{NAME}_log", f"{NAME}_table"
WHOLE_SECONDS = 90.0
_ACKNOWLEDGE_BY_RELAY = 3
"""Each third host answers its senders when a relay has the event."""

_FLOWS_WITHIN = 2.0
_WHOLE = ["owner", "standby", "standby"]


class NotWholeError(Exception):
    """All processes run again, and the events do not flow; the text says what is missing."""


class Cluster:
    """All that runs, as a context manager: events flow once entered.

    Machine number n has node n and relay n. With `power_cuts`, each has file systems of its own.
    """

    def __init__(
        self, directory: Path, traffic: Traffic, *, hosts: int, power_cuts: bool = False
    ) -> None:
        self.traffic = traffic
        self.engine = Engine(directory / "engine", settings=TELLING)
        self.relays = Relays(directory, self.engine, traffic.url, count=3, name=NAME)
        urls = "[" + ", ".join(relay.url for relay in self.relays.all) + "]"
        self.hosts = [
            AgentProcess(
                directory / f"host{number}",
                "http://127.0.0.1:9",
                relays=urls,
                relay_secret=self.relays.all[0].host_secret,
                acknowledge="local" if number % _ACKNOWLEDGE_BY_RELAY else "relay",
            )
            for number in range(hosts)
        ]
        self.disks = [
            (
                FileSystem(directory / "images" / node.name, node.directory / "store"),
                FileSystem(directory / "images" / relay.directory.name, relay.journal),
            )
            for node, relay in zip(self.engine.nodes, self.relays.all, strict=True)
            if power_cuts
        ]
        self._opened = ExitStack()

    def __enter__(self) -> Cluster:
        with ExitStack() as opened:
            for disk in (disk for disks in self.disks for disk in disks):
                opened.enter_context(disk)
            opened.enter_context(self.engine)
            opened.enter_context(self.relays)
            for host in self.hosts:
                host.credentials.note_keys_in(*self.traffic.keys)
                opened.push(host)
                host.launch()
            for host in self.hosts:
                host.wait_for(host.is_healthy, "the host answers", WHOLE_SECONDS)
            self.traffic.send_to(self.hosts)
            self.wait_until_whole()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)  # type: ignore[arg-type]

    def owner(self) -> RelayProcess:
        """The relay that owns the log."""
        return self.relays.owner()

    def standbys(self) -> list[RelayProcess]:
        """The others."""
        return self.relays.others(self.owner())

    def cut_power(self, machines: Iterable[int]) -> None:
        """All of these machines lose their power at once."""
        chosen = list(machines)
        for number in chosen:
            for disk in self.disks[number]:
                disk.cut()
        for number in chosen:
            self.engine.nodes[number].kill()
            self.relays.all[number].kill()

    def return_power(self, machines: Iterable[int]) -> None:
        """They start again."""
        for number in machines:
            for disk in self.disks[number]:
                disk.come_back()
            self.engine.nodes[number].start()
            self.relays.all[number].launch()

    def wait_until_whole(self) -> None:
        """Wait until all parts are in order and each key's events arrive.

        Raises `NotWholeError`.
        """
        self.engine.wait_until_ready()
        deadline = time.monotonic() + WHOLE_SECONDS
        while (roles := sorted(relay.role() or "" for relay in self.relays.all)) != _WHOLE:
            if time.monotonic() > deadline:
                raise NotWholeError(f"the relays are {roles}")
            time.sleep(0.1)
        since = time.monotonic()
        while not self.traffic.flows(since, _FLOWS_WITHIN):
            if time.monotonic() > deadline:
                silence = self.traffic.longest_silence(since)
                raise NotWholeError(
                    f"{self.traffic.waiting()} events wait, key {silence.key[-2:]} since "
                    f"{silence.seconds:.0f} s"
                )
            time.sleep(0.1)

    def drain(self) -> None:
        """End the load, and wait until all has arrived. Raises `NotWholeError`."""
        self.traffic.end_sending()
        deadline = time.monotonic() + WHOLE_SECONDS
        while self.traffic.waiting():
            if time.monotonic() > deadline:
                raise NotWholeError(f"{self.traffic.waiting()} events never arrived")
            time.sleep(0.1)
        self.owner().wait_until_drained()

    def end_relays(self) -> None:
        """Stop all relays; what does not stop in order is killed."""
        for relay in self.relays.all:
            if relay.is_running:
                try:
                    relay.stop()
                except AssertionError:
                    continue
