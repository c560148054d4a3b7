"""What the nodes of real NATS servers say about themselves and their copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from store.nats_log import NatsLog
from store.nats_nodes import NodeFacts, engine_nodes
from tests.engine import Engine, needs_nats_server
from tests.relay_processes import TELLING


def found(engine: Engine, count: int, urls: Sequence[str] = ()) -> list[NodeFacts]:
    """What so many nodes say; a busy one may answer too late for one look."""
    nodes: list[NodeFacts] = []

    def all_answer() -> bool:
        nodes[:] = engine_nodes(urls or engine.urls)
        return len(nodes) == count

    engine.wait_for(all_answer, f"{count} nodes that answer")
    return nodes


def test_each_node_says_whether_it_syncs_always(tmp_path: Path) -> None:
    needs_nats_server()
    two = Engine(tmp_path, nodes=2, settings=TELLING)
    config = two.nodes[1].directory / "config"
    config.write_text(config.read_text().replace("sync_interval: always", 'sync_interval: "2m"'))
    with two as engine:
        first, second = found(engine, 2)
        assert (first.name, first.sync_always, first.cluster_size) == ("n1", True, 2)
        assert (second.name, second.sync_always, second.cluster_size) == ("n2", False, 2)
        assert first.version.startswith("2.")
        engine.nodes[0].pause()
        assert [node.name for node in found(engine, 1, engine.urls[1:])] == ["n2"]


def test_a_node_that_is_alone_says_so(tmp_path: Path) -> None:
    needs_nats_server()
    with Engine(tmp_path, nodes=1, settings=TELLING) as engine:
        (node,) = found(engine, 1)
        version = node.version
        assert node == NodeFacts(name="n1", version=version, sync_always=True, cluster_size=1)


def test_an_account_that_may_not_ask_gets_no_answer(engine: Engine) -> None:
    assert engine_nodes(engine.urls) == []


def test_a_copy_that_is_not_there_is_seen(own_engine: Engine) -> None:
    log = NatsLog(own_engine.urls, "relay")
    leaders = [own_engine.leader(f"relay_{stream}").name for stream in ("log", "table")]
    gone = next(node for node in own_engine.nodes if node.name not in leaders)
    gone.kill()
    for number in range(20):
        log.append(number, b"x")
        log.put("key", b"x")
    for stream, leader in zip(log.streams(), leaders, strict=True):
        assert (stream.replicas, stream.leader) == (3, leader)
        behind = {copy.node: copy.lag for copy in stream.copies if not copy.current}
        assert behind[gone.name] >= 19
    own_engine.start()
    own_engine.wait_for(
        lambda: all(copy.current for stream in log.streams() for copy in stream.copies),
        "the node to catch up",
    )
    log.close()
