"""Whether an engine keeps what a relay acknowledges."""

from __future__ import annotations

from collections.abc import Sequence

from pdagent.config import StartRefused
from pdagent.wording import counted
from store.nats_answers import StreamFacts
from store.nats_nodes import NodeFacts

OLDEST = (2, 14)
TRIAL = "engine.replicas is 1, for trying relays out: a node that is lost takes events with it"


def node_problems(nodes: Sequence[NodeFacts], replicas: int) -> list[StartRefused]:
    """Why a relay must not use an engine of these nodes, one sentence each; empty if it may.

    `nodes` are those that answer. One that is down is not looked at: the others suffice.
    """
    found = (
        []
        if nodes
        else [
            StartRefused(
                "the engine does not say how its nodes store: let the relay's account import "
                "$SYS.REQ.SERVER.PING.JSZ ('pagerduty-agent help nodes-of-the-engine')"
            )
        ]
    )
    for node in nodes:
        if _version(node.version) < OLDEST:
            found.append(
                StartRefused(
                    f"node {node.name} of the engine runs nats-server {node.version}: install 2.14 "
                    "or later, older ones can't store safely"
                )
            )
        elif not node.sync_always:
            found.append(
                StartRefused(
                    f"node {node.name} of the engine does not sync each write to its disk: set "
                    "'sync_interval: always' in the jetstream block of its config, and restart it"
                )
            )
    size = max((node.cluster_size for node in nodes), default=0)
    if 0 < size < replicas:
        found.append(
            StartRefused(
                f"the engine has {counted(size, 'node')}, engine.replicas is {replicas}: start "
                f"{replicas} nodes in one cluster"
            )
        )
    return found


def stream_problems(streams: Sequence[StreamFacts], replicas: int) -> list[StartRefused]:
    """The same of the streams that are there."""
    return [
        StartRefused(
            f"stream {stream.name} of the engine has {counted(stream.replicas, 'replica')}, "
            f"engine.replicas is {replicas}: 'nats stream edit {stream.name} --replicas {replicas}'"
        )
        for stream in streams
        if stream.replicas < replicas
    ]


def refuse(problems: Sequence[StartRefused]) -> None:
    """Raise `StartRefused` with one line for each problem if there is one."""
    if problems:
        raise StartRefused("\n".join(map(str, problems)))


def _version(text: str) -> tuple[int, ...]:
    numbers = text.partition("-")[0].split(".")[:2]
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)
