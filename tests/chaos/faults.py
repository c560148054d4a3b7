"""The kinds of faults. Each begins, lasts, and is mended when its function returns."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from tests.chaos.cluster import LOG, TABLE, Cluster
from tests.engine import EngineNode
from tests.relay_processes import RelayProcess

Fault = Callable[[Cluster, random.Random], str]
"""Does it, and returns what it did to whom."""

TAKEOVER_SECONDS = 15.0


def _seconds(chance: random.Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 1)


def _label(cluster: Cluster, relay: RelayProcess) -> str:
    return f"relay {cluster.relays.all.index(relay)}"


def _restarted(relay: RelayProcess) -> None:
    relay.kill()
    relay.launch()


def owner_killed(cluster: Cluster, chance: random.Random) -> str:
    """As a crash that systemd answers."""
    owner = cluster.owner()
    _restarted(owner)
    return f"{_label(cluster, owner)}, started again at once"


def owner_lost(cluster: Cluster, chance: random.Random) -> str:
    """It is gone until another one has taken over."""
    owner = cluster.owner()
    owner.kill()
    cluster.relays.owner(timeout=TAKEOVER_SECONDS)
    owner.launch()
    return f"{_label(cluster, owner)}, until another took over"


def _paused(cluster: Cluster, relay: RelayProcess, seconds: float) -> str:
    relay.pause()
    try:
        time.sleep(seconds)
    finally:
        relay.signal(signal.SIGCONT)
    return f"{_label(cluster, relay)}, {seconds} s"


def owner_paused(cluster: Cluster, chance: random.Random) -> str:
    """Not long enough for a takeover, or just."""
    return _paused(cluster, cluster.owner(), _seconds(chance, 1, 7))


def owner_hung(cluster: Cluster, chance: random.Random) -> str:
    """It wakes when another one has long taken over."""
    return _paused(cluster, cluster.owner(), _seconds(chance, 9, 14))


def owner_stepped_down(cluster: Cluster, chance: random.Random) -> str:
    """By the command's request."""
    owner = cluster.owner()
    owner.post("/relay/step-down").raise_for_status()
    return _label(cluster, owner)


def standby_killed(cluster: Cluster, chance: random.Random) -> str:
    """No other part may notice."""
    relay = chance.choice(cluster.standbys())
    _restarted(relay)
    return _label(cluster, relay)


def standby_paused(cluster: Cluster, chance: random.Random) -> str:
    """It has to catch up."""
    return _paused(cluster, chance.choice(cluster.standbys()), _seconds(chance, 2, 10))


def _killed(node: EngineNode, seconds: float) -> str:
    node.kill()
    time.sleep(seconds)
    node.start()
    return f"{node.name}, {seconds} s"


def _hung(node: EngineNode, seconds: float) -> str:
    node.pause()
    try:
        time.sleep(seconds)
    finally:
        node.resume()
    return f"{node.name}, {seconds} s"


def log_leader_killed(cluster: Cluster, chance: random.Random) -> str:
    """An election of the stream with the events."""
    return _killed(cluster.engine.leader(LOG), _seconds(chance, 0.5, 10))


def log_leader_paused(cluster: Cluster, chance: random.Random) -> str:
    """It does not know that there is another leader when it wakes."""
    return _hung(cluster.engine.leader(LOG), _seconds(chance, 2, 14))


def table_leader_killed(cluster: Cluster, chance: random.Random) -> str:
    """An election of the stream with the lease."""
    return _killed(cluster.engine.leader(TABLE), _seconds(chance, 0.5, 10))


def table_leader_paused(cluster: Cluster, chance: random.Random) -> str:
    """The lease can't be renewed meanwhile."""
    return _hung(cluster.engine.leader(TABLE), _seconds(chance, 2, 14))


def _each_node() -> Iterator[int]:
    while True:
        yield from (0, 1, 2)


_KILLED, _PAUSED = _each_node(), _each_node()


def node_killed(cluster: Cluster, chance: random.Random) -> str:
    """Each in turn."""
    return _killed(cluster.engine.nodes[next(_KILLED)], _seconds(chance, 0.5, 6))


def node_paused(cluster: Cluster, chance: random.Random) -> str:
    """Each in turn."""
    return _hung(cluster.engine.nodes[next(_PAUSED)], _seconds(chance, 1, 8))


def all_nodes_killed(cluster: Cluster, chance: random.Random) -> str:
    """At once; they come back one after the other."""
    seconds = _seconds(chance, 0, 2)
    for node in cluster.engine.nodes:
        node.kill()
    time.sleep(seconds)
    for node in cluster.engine.nodes:
        node.start()
    return f"{seconds} s"


def all_nodes_paused(cluster: Cluster, chance: random.Random) -> str:
    """As a switch between the machines that hangs."""
    seconds = _seconds(chance, 1, 4)
    for node in cluster.engine.nodes:
        node.pause()
    time.sleep(seconds)
    for node in cluster.engine.nodes:
        node.resume()
    return f"{seconds} s"


def _wiped(node: EngineNode, seconds: float) -> str:
    node.wipe()
    time.sleep(seconds)
    node.start()
    return f"{node.name}, {seconds} s"


def disk_replaced(cluster: Cluster, chance: random.Random) -> str:
    """One node comes back with nothing."""
    return _wiped(chance.choice(cluster.engine.nodes), _seconds(chance, 0, 4))


def log_leaders_disk_replaced(cluster: Cluster, chance: random.Random) -> str:
    """The one that knew best comes back with nothing."""
    return _wiped(cluster.engine.leader(LOG), _seconds(chance, 0, 4))


def _power_cut(cluster: Cluster, machines: Sequence[int], seconds: float) -> str:
    cluster.cut_power(machines)
    time.sleep(seconds)
    cluster.return_power(machines)
    return f"{seconds} s"


def all_powers_cut(cluster: Cluster, chance: random.Random) -> str:
    """Of all three machines, each with a node and a relay, at once."""
    return _power_cut(cluster, (0, 1, 2), _seconds(chance, 0, 1))


def leaders_power_cut(cluster: Cluster, chance: random.Random) -> str:
    """Of the machine with the leader of the log."""
    machine = cluster.engine.nodes.index(cluster.engine.leader(LOG))
    return f"machine {machine}, {_power_cut(cluster, [machine], _seconds(chance, 0, 8))}"


KINDS: tuple[Fault, ...] = (
    owner_killed,
    owner_lost,
    owner_paused,
    owner_hung,
    owner_stepped_down,
    standby_killed,
    standby_paused,
    log_leader_killed,
    log_leader_paused,
    table_leader_killed,
    table_leader_paused,
    node_killed,
    node_paused,
    all_nodes_killed,
    all_nodes_paused,
    disk_replaced,
    log_leaders_disk_replaced,
)


POWER_CUTS: tuple[Fault, ...] = (all_powers_cut, leaders_power_cut)


def chosen(chance: random.Random, kinds: Sequence[Fault], count: int) -> list[Fault]:
    """So many faults by chance, all kinds equally often."""
    faults: list[Fault] = []
    while len(faults) < count:
        faults += chance.sample(kinds, len(kinds))
    return faults[:count]


def name_of(fault: Fault) -> str:
    """How it is shown."""
    return fault.__name__.replace("_", " ")
