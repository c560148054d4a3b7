"""What the monitoring ports of real NATS servers say, and what is said of those without one."""

from __future__ import annotations

from pathlib import Path

from store.nats_log import NatsLog
from store.nats_nodes import NodeFacts, ask_nodes, monitoring_urls
from tests.engine import Engine, needs_nats_server
from tests.free_ports import free_port
from tests.sandbox_process import SandboxProcess


def test_each_node_says_whether_it_syncs_always(
    engine: Engine, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    urls = [*(node.monitoring_url for node in engine.nodes), nobody, sandbox.url]
    *nodes, missing, other = ask_nodes(urls)
    for url, name, node in zip(urls, ("n1", "n2", "n3"), nodes, strict=False):
        assert (node.url, node.problem, node.name) == (url, "", name)
        assert node.version >= (2, 14)
        assert (node.jetstream, node.sync_always, node.cluster_size) == (True, True, 3)
    assert missing == NodeFacts(url=nobody, problem="Connection refused")
    assert other.problem


def test_a_node_that_syncs_now_and_then_and_one_that_hangs_are_found(tmp_path: Path) -> None:
    needs_nats_server()
    with Engine(tmp_path, nodes=1, settings="jetstream { sync_interval: 2m }") as engine:
        [node] = ask_nodes([engine.nodes[0].monitoring_url])
        assert (node.jetstream, node.sync_always, node.cluster_size) == (True, False, 0)
        engine.nodes[0].pause()
        [node] = ask_nodes([engine.nodes[0].monitoring_url])
        assert node.problem == "timed out"


def test_monitoring_ports_are_where_they_usually_are() -> None:
    urls = ["nats://user:word@n1:4222", "tls://[fd00::1]:4222", "nats://n3"]
    assert monitoring_urls(urls) == ["http://n1:8222", "http://[fd00::1]:8222", "http://n3:8222"]


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
