"""The engine of the relay's tests: nodes that die, hang and lose their disks come back."""

from __future__ import annotations

import requests

from tests.engine import Engine


def test_an_engine_is_ready_again_after_its_nodes_were_killed_paused_and_wiped(
    own_engine: Engine,
) -> None:
    first, second, third = own_engine.nodes
    first.pause()
    second.kill()
    assert (first.running, first.answers) == (True, False)
    assert not second.running
    third.wipe()
    own_engine.start()
    for node in own_engine.nodes:
        assert node.answers
        assert node.monitoring("/varz")["jetstream"]["config"]["sync_always"] is True
    own_engine.__exit__()
    for node in own_engine.nodes:
        assert not node.running
        try:
            node.monitoring("/varz")
        except requests.ConnectionError:
            continue
        raise AssertionError(node.name)
