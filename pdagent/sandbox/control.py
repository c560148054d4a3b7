"""The control API under /sandbox/: what was received, as JSON, and how to behave from now on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import falcon
import msgspec
from falcon.asgi import App, Request, Response

from pdagent.events.kinds import EVENT_PATHS
from pdagent.sandbox.behaviour import BehaviourError, seconds
from pdagent.sandbox.endpoints import (
    HEARTBEAT_PATH,
    EventsResource,
    HeartbeatResource,
)
from pdagent.sandbox.listener import StandInListener
from pdagent.sandbox.standin import StandIn


def pagerduty_application(
    standin: StandIn, listener: StandInListener, clock: Callable[[], float]
) -> App[Any, Any]:
    """PagerDuty's endpoints, with the control API beside them. `clock` gives epoch seconds."""
    app = control_application(standin, listener, own_port=False)
    for kind, path in EVENT_PATHS.items():
        app.add_route(path, EventsResource(standin, kind, clock))
    app.add_route(HEARTBEAT_PATH, HeartbeatResource(standin, clock))
    return app


def control_application(
    standin: StandIn, listener: StandInListener, *, own_port: bool = True
) -> App[Any, Any]:
    """The control API alone, for a port that stays open while `listener` is closed."""
    app = App(middleware=[LocalOnly()])
    control = Control(standin, listener, own_port=own_port)
    for name in ("events", "heartbeats", "alerts", "stats", "behaviour", "reset"):
        app.add_route(f"/sandbox/{name}", control, suffix=name)
    app.set_error_serializer(
        lambda req, resp, error: _send(resp, {"errors": [error.title or "refused"]})
    )
    return app


class LocalOnly:
    """Keeps web pages in a browser on this host away from the control API.

    A page can send requests to loopback addresses, or have its own name point there; the headers
    of its requests show both.
    """

    async def process_request(self, req: Request, resp: Response) -> None:
        """Refuse a request to /sandbox/ with an Origin or with a Host that isn't loopback."""
        if not req.path.startswith("/sandbox/"):
            return
        host = urlsplit(f"//{req.get_header('Host') or ''}").hostname or ""
        if req.get_header("Origin") is not None or not is_loopback(host):
            raise falcon.HTTPForbidden(title="only programs on this host may control the sandbox")


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Control:
    """All calls of the control API.

    `own_port` says whether requests come over a port that stays open while the stand-in is down.
    """

    def __init__(self, standin: StandIn, listener: StandInListener, *, own_port: bool) -> None:
        self._standin = standin
        self._listener = listener
        self._own_port = own_port

    async def on_get_events(self, req: Request, resp: Response) -> None:
        """Everything received, in order of arrival; `rk`: of one key, `since`: numbered above."""
        since = req.get_param("since") or "0"
        if not since.isdecimal():
            raise falcon.HTTPBadRequest(title="since must be the number of an event")
        events = self._standin.log.list(req.get_param("rk"), int(since))
        _send(resp, [event.as_json() for event in events])

    async def on_get_heartbeats(self, req: Request, resp: Response) -> None:
        """All heartbeats received, in order of arrival."""
        _send(resp, list(self._standin.log.heartbeats))

    async def on_get_alerts(self, req: Request, resp: Response) -> None:
        """Alerts in the order in which they were opened; `rk`: of one key, `status`: in one."""
        _send(resp, self._standin.alerts.list(req.get_param("rk"), req.get_param("status")))

    async def on_get_stats(self, req: Request, resp: Response) -> None:
        """Counts of events, answers, alerts, connections and requests at once."""
        _send(resp, {"down": not self._listener.is_open, **self._standin.totals()})

    async def on_get_behaviour(self, req: Request, resp: Response) -> None:
        """The behaviour as it is now."""
        shown = self._standin.behaviour.as_json()
        _send(resp, {"down": not self._listener.is_open, **shown})

    async def on_post_behaviour(self, req: Request, resp: Response) -> None:
        """Change some settings, all of those in the body or none; goes down or up as well."""
        try:
            changes = msgspec.json.decode(await req.stream.read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise falcon.HTTPBadRequest(title="the body must be a JSON object") from None
        down = changes.pop("down", None)
        duration = self._outage(down, changes.pop("down_for", None))
        try:
            self._standin.change(changes)
        except BehaviourError as error:
            raise falcon.HTTPBadRequest(title=str(error)) from None
        if duration is not None and not self._own_port:
            # The answer goes out first: it can't once the connection is cut.
            async def close_after_answer() -> None:
                self._listener.close_for(duration)

            resp.schedule(close_after_answer)
        elif duration is not None:
            self._listener.close_for(duration)
        elif down is True:
            self._listener.close()
        elif down is False:
            await self._listener.open()
        await self.on_get_behaviour(req, resp)

    async def on_post_reset(self, req: Request, resp: Response) -> None:
        """Forget all that was received, behave as at the start, and be up."""
        self._standin.reset()
        await self._listener.open()
        _send(resp, {"message": "Reset."})

    def _outage(self, down: object, down_for: object) -> float | None:
        """The seconds of `down_for`, if it is given; both checked."""
        if down is not None and not isinstance(down, bool):
            raise falcon.HTTPBadRequest(title="down must be true or false")
        if down is True and not self._own_port:
            why = "no control port to come up again by: start with --control-port, or use down_for"
            raise falcon.HTTPConflict(title=why)
        if down_for is None:
            return None
        if down is not None:
            raise falcon.HTTPBadRequest(title="down and down_for exclude each other")
        try:
            return float(seconds(down_for))
        except ValueError as error:
            raise falcon.HTTPBadRequest(title=f"down_for {error}") from None


def _send(resp: Response, body: object) -> None:
    resp.data = msgspec.json.encode(body)
    resp.content_type = falcon.MEDIA_JSON
