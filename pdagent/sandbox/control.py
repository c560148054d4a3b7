"""The control API under /sandbox/: what was received, as JSON, and how to behave from now on."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import falcon
import msgspec
from falcon.asgi import Request, Response

from pdagent.sandbox.behaviour import BehaviourError, seconds
from pdagent.sandbox.listener import Listener
from pdagent.sandbox.standin import StandIn


class ControlError(Exception):
    """A control request can't be carried out: `status` and what to say."""

    def __init__(self, status: int, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.status = status
        self.errors = errors


class LocalOnly:
    """Keeps web pages in a browser on this host away from the control API.

    A page can send requests to loopback addresses, or have its own name point there; both give
    themselves away by their headers.
    """

    async def process_request(self, req: Request, resp: Response) -> None:
        """Refuse a request to /sandbox/ with an Origin or with a Host that isn't loopback."""
        if not req.path.startswith("/sandbox/"):
            return
        host = urlsplit(f"//{req.get_header('Host') or ''}").hostname or ""
        if req.get_header("Origin") is not None or not is_loopback(host):
            raise ControlError(403, ["only programs on this host may control the sandbox"])


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Received:
    """GET /sandbox/events[?rk=KEY][&since=N]"""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin

    async def on_get(self, req: Request, resp: Response) -> None:
        """Everything received, in order of arrival; those numbered above `since`."""
        since = req.get_param("since") or "0"
        if not since.isdecimal():
            raise ControlError(400, ["since must be the number of an event"])
        events = self._standin.log.list(req.get_param("rk"), int(since))
        _send(resp, [event.as_json() for event in events])


class Heartbeats:
    """GET /sandbox/heartbeats"""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin

    async def on_get(self, req: Request, resp: Response) -> None:
        """All heartbeats received, in order of arrival."""
        _send(resp, list(self._standin.log.heartbeats))


class Alerts:
    """GET /sandbox/alerts[?rk=KEY][&status=open|acknowledged|resolved]"""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin

    async def on_get(self, req: Request, resp: Response) -> None:
        """Alerts in the order in which they were opened."""
        _send(resp, self._standin.alerts.list(req.get_param("rk"), req.get_param("status")))


class Stats:
    """GET /sandbox/stats"""

    def __init__(self, standin: StandIn, listener: Listener) -> None:
        self._standin = standin
        self._listener = listener

    async def on_get(self, req: Request, resp: Response) -> None:
        """Counts of events, answers, alerts, connections and requests at once."""
        _send(resp, {"down": not self._listener.is_open, **self._standin.totals()})


class BehaviourControl:
    """GET and POST /sandbox/behaviour

    `own_port` says whether requests come over a port that stays open while the stand-in is down.
    """

    def __init__(self, standin: StandIn, listener: Listener, *, own_port: bool) -> None:
        self._standin = standin
        self._listener = listener
        self._own_port = own_port

    async def on_get(self, req: Request, resp: Response) -> None:
        """The behaviour as it is now."""
        self._show(resp)

    async def on_post(self, req: Request, resp: Response) -> None:
        """Change some settings, all of those in the body or none; goes down or up as well."""
        raw = await req.stream.read()
        try:
            changes = msgspec.json.decode(raw, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ControlError(400, ["the body must be a JSON object"]) from None
        down = changes.pop("down", None)
        down_for = changes.pop("down_for", None)
        duration = self._outage(down, down_for)
        try:
            self._standin.change(changes)
        except BehaviourError as error:
            raise ControlError(400, [f"{name} {text}" for name, text in error.problems]) from None
        await self._switch(resp, down, duration)
        self._show(resp)

    async def _switch(self, resp: Response, down: bool | None, duration: float | None) -> None:
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

    def _outage(self, down: object, down_for: object) -> float | None:
        if down is not None and not isinstance(down, bool):
            raise ControlError(400, ["down must be true or false"])
        if down is True and not self._own_port:
            raise ControlError(
                409,
                ["no control port to come up again by: start with --control-port, or use down_for"],
            )
        if down_for is None:
            return None
        if down is not None:
            raise ControlError(400, ["down and down_for exclude each other"])
        try:
            return seconds(down_for)
        except ValueError as error:
            raise ControlError(400, [f"down_for {error}"]) from None

    def _show(self, resp: Response) -> None:
        shown = self._standin.behaviour.as_json()
        _send(resp, {"down": not self._listener.is_open, **shown})


class Reset:
    """POST /sandbox/reset"""

    def __init__(self, standin: StandIn, listener: Listener) -> None:
        self._standin = standin
        self._listener = listener

    async def on_post(self, req: Request, resp: Response) -> None:
        """Forget all that was received, behave as at the start, and be up."""
        self._standin.reset()
        await self._listener.open()
        _send(resp, {"message": "Reset."})


def _send(resp: Response, body: object) -> None:
    resp.data = msgspec.json.encode(body)
    resp.content_type = falcon.MEDIA_JSON
