"""The falcon application: which path is answered by what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import falcon
import msgspec
from falcon.asgi import App, Request, Response

from pdagent.sandbox import control
from pdagent.sandbox.control import ControlError, LocalOnly
from pdagent.sandbox.endpoints import (
    HEARTBEAT_PATH,
    EventsResource,
    Gate,
    HeartbeatResource,
)
from pdagent.sandbox.listener import Listener
from pdagent.sandbox.standin import StandIn
from pdagent.sandbox.validation import EVENT_PATHS

logger = logging.getLogger(__name__)


def pagerduty_application(standin: StandIn, listener: Listener, clock: Callable[[], float]) -> Gate:
    """PagerDuty's endpoints, with the control API beside them. `clock` gives epoch seconds."""
    app = control_application(standin, listener, own_port=False)
    for kind, path in EVENT_PATHS.items():
        app.add_route(path, EventsResource(standin, kind, clock))
    heartbeat = HeartbeatResource(standin, clock)
    app.add_route(HEARTBEAT_PATH, heartbeat)
    app.add_route(f"{HEARTBEAT_PATH}/{{name}}", heartbeat)
    return Gate(app, standin, clock)


def control_application(
    standin: StandIn, listener: Listener, *, own_port: bool = True
) -> App[Any, Any]:
    """The control API alone, for a port that stays open while `listener` is closed."""
    app = App(middleware=[LocalOnly()])
    app.add_route("/sandbox/events", control.Received(standin))
    app.add_route("/sandbox/heartbeats", control.Heartbeats(standin))
    app.add_route("/sandbox/alerts", control.Alerts(standin))
    app.add_route("/sandbox/stats", control.Stats(standin, listener))
    app.add_route(
        "/sandbox/behaviour", control.BehaviourControl(standin, listener, own_port=own_port)
    )
    app.add_route("/sandbox/reset", control.Reset(standin, listener))
    app.add_error_handler(ControlError, _refuse)
    app.add_error_handler(Exception, _report)
    app.add_error_handler(falcon.HTTPError, _refuse_http)
    return app


async def _refuse(req: Request, resp: Response, error: ControlError, params: object) -> None:
    _errors(resp, error.status, error.errors)


async def _refuse_http(
    req: Request, resp: Response, error: falcon.HTTPError, params: object
) -> None:
    _errors(resp, error.status_code, [error.title or "refused"])
    resp.set_headers(error.headers or {})


async def _report(req: Request, resp: Response, error: Exception, params: object) -> None:
    # A fault of the sandbox's own: whoever tests against it must not take it for PagerDuty's.
    logger.error("%s %s failed: %s", req.method, req.path, type(error).__name__)
    _errors(resp, 500, [f"the sandbox failed: {type(error).__name__}"])


def _errors(resp: Response, status: int, errors: list[str]) -> None:
    resp.status = status
    resp.data = msgspec.json.encode({"errors": errors})
    resp.content_type = falcon.MEDIA_JSON
