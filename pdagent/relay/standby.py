"""What a relay answers while it does not own the log: who does."""

from __future__ import annotations

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi import application
from pdagent.httpapi.answers import Outcome, error_body
from pdagent.httpapi.guard import BrowserGuard
from pdagent.httpapi.intake.bodies import AsgiApplication, whole_requests
from pdagent.httpapi.intake.direct import DirectIntake
from pdagent.httpapi.intake.resource import respond
from pdagent.httpapi.machines import Liveness, Metrics, OpenApi
from pdagent.metrics.collector import text_of
from pdagent.relay.metrics import RelayCollector
from pdagent.relay.relay import Relay
from pdagent.relay.resources import add_routes

_RETRY_AFTER = 1  # seconds


class NothingDirect(DirectIntake):
    """Leaves all requests to the application."""

    def __init__(self) -> None:
        """There are no paths."""

    def admitted(self, *_: object) -> None:
        """None."""


class StandbyHealth:
    """`GET /health`: 503, since another relay takes the events."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """Load balancers send events elsewhere."""
        relay = self._relay
        body = {"errors": [sentence(relay)], "role": relay.role, "owner": relay.owner.url or None}
        respond(response, Outcome(503, msgspec.json.encode(body), _RETRY_AFTER))


def standby_application(relay: Relay) -> AsgiApplication:
    """All that a standby answers."""
    app = application.without_routes([BrowserGuard(relay.config)])
    health = StandbyHealth(relay)
    app.add_route("/health", health)
    app.add_route("/health/ready", health)
    app.add_route("/health/live", Liveness())
    app.add_route("/metrics", Metrics(text_of(RelayCollector(relay))))
    app.add_route("/openapi.json", OpenApi())
    add_routes(app, relay)

    async def refuse(
        req: falcon.asgi.Request, resp: falcon.asgi.Response | None, **_: object
    ) -> None:
        assert resp is not None  # only a websocket has none
        body = msgspec.json.decode(error_body(req.path, 503, sentence(relay)))
        body["owner"] = relay.owner.url or None
        respond(resp, Outcome(503, msgspec.json.encode(body), _RETRY_AFTER))

    app.add_sink(refuse)
    return whole_requests(app)


def sentence(relay: Relay) -> str:
    """Why this relay does not do what it is asked."""
    owner = relay.owner
    if relay.role in ("taking over", "owner"):
        return "this relay is taking over, and answers in a moment"
    if owner.url and owner.name != relay.me.name:
        return f"this relay is a standby: send to the owner, {owner.url}"
    waits = f" (it waits for {relay.waits_for})" if relay.waits_for else ""
    return f"this relay is a standby, and no other is known to own the log{waits}"
