"""What a relay sees of its engine."""

from __future__ import annotations

from typing import Any, cast

from pdagent.relay.watch import Standbys, view_of
from store.nats_log import NatsLog


class SilentNodes:
    """A log whose nodes do not say anything about themselves in time."""

    def nodes(self) -> list[Any]:
        return []

    streams = nodes

    def rows(self, prefix: str) -> dict[str, Any]:
        return {}

    def bounds(self) -> tuple[int, int]:
        return 1, 0

    def size(self) -> int:
        return 0


def test_an_engine_whose_nodes_do_not_answer_in_time_can_be_looked_at() -> None:
    view = view_of(cast(NatsLog, SilentNodes()), 3, Standbys())
    assert (view.expected, view.nodes) == (3, ())
