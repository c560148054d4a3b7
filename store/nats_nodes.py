"""What the nodes of an engine say about themselves, if the relay's account may ask them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from store.nats_connection import EngineConnection

_NODES = "$SYS.REQ.SERVER.PING.JSZ"
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 1.0


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says about itself. Its cluster has `cluster_size` nodes, 0: it can't say yet."""

    name: str
    version: str
    sync_always: bool
    cluster_size: int


class _Server(msgspec.Struct, frozen=True):
    name: str = ""
    ver: str = ""


class _StoreConfig(msgspec.Struct, frozen=True):
    sync_always: bool = False


class _MetaCluster(msgspec.Struct, frozen=True):
    leader: str = ""
    cluster_size: int = 0


class _NodeData(msgspec.Struct, frozen=True):
    disabled: bool = False
    config: _StoreConfig = _StoreConfig()
    meta_cluster: _MetaCluster | None = None


class NodeAnswer(msgspec.Struct, frozen=True):
    """A node's own report on its part of JetStream."""

    server: _Server = _Server()
    data: _NodeData = _NodeData()

    def facts(self) -> NodeFacts | None:
        """What relays have to know of it; None for a node that stores nothing."""
        if self.data.disabled:
            return None
        cluster = self.data.meta_cluster
        size = 1 if cluster is None else cluster.cluster_size if cluster.leader else 0
        return NodeFacts(
            name=self.server.name,
            version=self.server.ver,
            sync_always=self.data.config.sync_always,
            cluster_size=size,
        )


def nodes_at(connection: EngineConnection) -> list[NodeFacts]:
    """The nodes that answer within a second, by name. Raises `LogUnavailableError`."""
    answers = connection.batch(_NODES, b"{}", _ANSWER_SECONDS)
    found = [msgspec.json.decode(data, type=NodeAnswer).facts() for _, data in answers]
    return sorted((node for node in found if node is not None), key=lambda node: node.name)


def engine_nodes(
    urls: Sequence[str], *, credentials: Path | None = None, ca: Path | None = None
) -> list[NodeFacts]:
    """The same of an engine in which nothing is to be made."""
    connection = EngineConnection(urls, credentials=credentials, ca=ca)
    try:
        connection.max_payload(_CONNECT_SECONDS)  # connects
        return nodes_at(connection)
    finally:
        connection.close()
