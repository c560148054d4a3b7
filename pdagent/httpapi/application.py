"""The falcon application: all routes on one screen, and every error as JSON."""

from __future__ import annotations

import logging

import falcon
import falcon.asgi

from pdagent.events.kinds import EVENT_PATHS
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.answers import INTEGRATION_PATH, NAGIOS_PATH, error_body
from pdagent.httpapi.guard import BrowserGuard, Secret
from pdagent.httpapi.intake.batch import SendBatch
from pdagent.httpapi.intake.bodies import AsgiApplication, SenderGone, whole_requests
from pdagent.httpapi.intake.nagios_form import NagiosForm
from pdagent.httpapi.intake.single import PagerDutyPath, SendEvent
from pdagent.httpapi.loop_guard import LoopGuard
from pdagent.httpapi.machines import Health, Metrics, OpenApi
from pdagent.httpapi.operators.commands import QueueCommands
from pdagent.httpapi.operators.notifying import TestNotifications
from pdagent.httpapi.operators.queries import Events
from pdagent.httpapi.operators.selection import Selection
from pdagent.httpapi.operators.status import Status
from pdagent.httpapi.operators.tail import Tail
from store.errors import JournalError

logger = logging.getLogger(__name__)
# Seconds: a journal that is full or failing needs attention.
_RETRY_AFTER = "30"


FalconApp = falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response]


def build(agent: Agent) -> AsgiApplication:
    """The ASGI application for one agent."""
    return whole_requests(with_routes(agent))


def with_routes(agent: Agent) -> FalconApp:
    """The application with all routes; `openapi.json` describes each."""
    app: FalconApp = falcon.asgi.App(middleware=[LoopGuard(agent), BrowserGuard(agent.config)])
    app.req_options.strip_url_path_trailing_slash = True
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(SenderGone, _gone)
    app.add_error_handler(JournalError, _journal_trouble)
    secret = Secret(agent.config.secret)
    selection = Selection(agent)
    status = Status(agent, secret, selection)
    commands = QueueCommands(agent, secret, selection)
    events = Events(agent, secret, selection)
    sending = Secret(agent.config.secret, local=True)
    app.add_route("/send", SendEvent(agent, sending))
    app.add_route("/send/batch", SendBatch(agent, sending))
    needed = sending if agent.config.require_secret else Secret("")
    for kind, path in EVENT_PATHS.items():
        app.add_route(path, PagerDutyPath(agent, kind, needed))
    app.add_route(INTEGRATION_PATH, PagerDutyPath(agent, "v2", needed))
    app.add_route(NAGIOS_PATH, NagiosForm(agent, "v1", needed))
    app.add_route("/status", status)
    app.add_route("/queue/status", status, suffix="queues")
    app.add_route("/queue/events", events)
    app.add_route("/queue/events/{event}", events, suffix="one")
    app.add_route("/queue/events/{event}/retry", events, suffix="retry")
    for command in ("retry", "discard", "hold", "release"):
        app.add_route(f"/queue/{command}", commands, suffix=command)
    app.add_route("/queue/tail", Tail(agent, secret, selection))
    app.add_route("/notify/test", TestNotifications(agent, secret, selection))
    health = Health(agent)
    app.add_route("/health", health)
    app.add_route("/health/ready", health)
    app.add_route("/health/live", health, suffix="live")
    app.add_route("/metrics", Metrics(agent))
    app.add_route("/openapi.json", OpenApi())
    return app


def _serialize(
    request: falcon.asgi.Request, response: falcon.asgi.Response, error: falcon.HTTPError
) -> None:
    message = error.description or _SENTENCES.get(str(error.status), error.title)
    response.content_type = falcon.MEDIA_JSON
    response.data = error_body(request.path, error.status_code, message)


_SENTENCES = {
    falcon.HTTP_400: "this request can't be understood",
    falcon.HTTP_404: "no such path: 'pagerduty-agent help http-api' lists all",
    falcon.HTTP_405: "this path does not take this method: the Allow header lists what it takes",
}


async def _gone(
    request: falcon.asgi.Request,
    response: falcon.asgi.Response,
    error: Exception,
    params: dict[str, object],
) -> None:
    """The client has gone; uvicorn closes the connection."""
    response.status = falcon.HTTP_400


async def _journal_trouble(
    request: falcon.asgi.Request,
    response: falcon.asgi.Response,
    error: JournalError,
    params: dict[str, object],
) -> None:
    """503 with the journal's reason."""
    logger.error("%s %s: %s", request.method, _shown(request), error)
    response.status = falcon.HTTP_503
    response.set_header("Retry-After", _RETRY_AFTER)
    response.data = error_body(request.path, 503, str(error))


def _shown(request: falcon.asgi.Request) -> str:
    """The path for the log: as its route has it, since it may hold a routing key."""
    return request.uri_template or "(no route)"


async def _unexpected(
    request: falcon.asgi.Request,
    response: falcon.asgi.Response,
    error: Exception,
    params: dict[str, object],
) -> None:
    """A bug: 500 without details; the traceback goes to the log, without the event."""
    logger.error("%s %s failed", request.method, _shown(request), exc_info=error)
    response.status = falcon.HTTP_500
    response.data = error_body(request.path, 500, "the agent made a mistake: its log says where")
