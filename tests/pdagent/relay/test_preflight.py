"""Which engines a relay refuses, and with what advice."""

from __future__ import annotations

import pytest

from pdagent.relay.preflight import node_problems, stream_problems
from store.nats_answers import StreamFacts
from store.nats_nodes import NodeFacts


def node(version: str = "2.15.1", *, sync_always: bool = True, size: int = 3) -> NodeFacts:
    return NodeFacts(name="n1", version=version, sync_always=sync_always, cluster_size=size)


@pytest.mark.parametrize("version", ["2.14.0", "2.14.0-RC.1", "2.15.3", "3.0.0"])
def test_a_node_that_syncs_always_will_do(version: str) -> None:
    assert node_problems([node(version)], 3) == []
    assert node_problems([node(version, size=0)], 3) == [], "it can't say yet"


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([], "import $SYS.REQ.SERVER.PING.JSZ"),
        ([node("2.9.25", sync_always=False)], "install 2.14 or later"),
        ([node("2.13.9")], "install 2.14 or later"),
        ([node("")], "install 2.14 or later"),
        ([node(), node(sync_always=False)], "set 'sync_interval: always'"),
        ([node(size=1)], "the engine has 1 node, engine.replicas is 3"),
    ],
)
def test_each_reason_is_one_sentence_that_says_what_to_change(
    nodes: list[NodeFacts], words: str
) -> None:
    (problem,) = node_problems(nodes, 3)
    assert words in str(problem)


def test_one_replica_is_enough_for_a_trial_only() -> None:
    stream = StreamFacts(name="pagerduty_log", replicas=1, leader="n1", copies=())
    assert stream_problems([stream], 1) == []
    (problem,) = stream_problems([stream], 3)
    assert "nats stream edit pagerduty_log --replicas 3" in str(problem)
