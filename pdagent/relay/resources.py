"""`/relay/status` and `/relay/step-down`, on owner and standby, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.agent import FalconApp
from pdagent.httpapi.guard import Secret, peer_of
from pdagent.operating.rows import Json, timestamp
from pdagent.relay.watch import EngineView, warnings_of

if TYPE_CHECKING:
    from pdagent.relay.relay import Relay


class RelayCalls:
    """Both calls need the secret."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._secret = Secret(relay.config.secret)

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """`GET /relay/status`: this relay, the owner, the standbys, the engine."""
        self._secret.check(request.get_header, peer_of(request))
        response.data = msgspec.json.encode(report(self._relay))

    async def on_post_down(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`POST /relay/step-down`: 202, or 409 of a standby."""
        self._secret.check(request.get_header, peer_of(request))
        relay, owner = self._relay, self._relay.owner
        if relay.role != "owner":
            where = f"the owner is {owner.name} at {owner.url}" if owner.url else "nobody owns it"
            raise falcon.HTTPConflict(
                description=f"this relay does not own the log: {where}; 'pagerduty-agent relay "
                "step-down' there makes it step down"
            )
        relay.step_down()
        response.status = falcon.HTTP_202
        message = f"{relay.me.name} steps down: another relay takes over"
        response.data = msgspec.json.encode({"message": message})


def add_routes(app: FalconApp, relay: Relay) -> None:
    """Add both calls."""
    calls = RelayCalls(relay)
    app.add_route("/relay/status", calls)
    app.add_route("/relay/step-down", calls, suffix="down")


def report(relay: Relay) -> Json:
    """What `/relay/status` answers; docs/http-api.md describes it."""
    view = EngineView() if relay.watch is None else relay.watch.view
    keeper, owner = relay.keeper, relay.owner
    replicas = relay.config.engine_replicas
    return {
        "relay": {
            "name": relay.me.name,
            "url": relay.me.url,
            "version": relay.me.version,
            "role": relay.role,
            "waits_for": relay.waits_for or None,
            "lease_held": keeper is not None and keeper.holds(),
            "engine_silent_seconds": 0.0 if keeper is None else round(keeper.silent_for(), 1),
        },
        "owner": {
            "name": owner.name,
            "url": owner.url,
            "version": owner.version,
            "since": timestamp(owner.since),
        }
        if owner.name
        else None,
        "standbys": [
            {
                "name": row.name,
                "url": row.url,
                "version": row.version,
                "applied": row.applied,
                "behind": row.behind,
                "seen_at": timestamp(row.at),
            }
            for row in view.standbys
            if row.name != owner.name
        ],
        "engine": {
            "name": relay.config.engine_name,
            "replicas": replicas,
            "seen_at": timestamp(view.at) if view.at else None,
            "nodes_expected": view.expected,
            "nodes": [
                {"name": node.name, "version": node.version, "sync_always": node.sync_always}
                for node in view.nodes
            ],
            "streams": [msgspec.to_builtins(stream) for stream in view.streams],
            "messages": view.messages,
            "bytes": view.bytes,
        },
        "warnings": warnings_of(view, replicas),
    }
