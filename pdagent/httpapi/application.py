"""The falcon application: all routes on one screen, and every error as JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import falcon
import falcon.asgi

from pdagent.events.kinds import EVENT_PATHS
from pdagent.httpapi.agent import Agent, FalconApp
from pdagent.httpapi.answers import INTEGRATION_PATH, NAGIOS_PATH, Outcome, error_body, mistake
from pdagent.httpapi.guard import BrowserGuard, Secret, secret_for_events
from pdagent.httpapi.intake.batch import SendBatch
from pdagent.httpapi.intake.bodies import AsgiApplication, SenderGone, whole_requests
from pdagent.httpapi.intake.direct import DirectIntake
from pdagent.httpapi.intake.nagios_form import NagiosForm
from pdagent.httpapi.intake.reports import HOSTS_PATH, HostReports
from pdagent.httpapi.intake.resource import SingleEventsResource, respond
from pdagent.httpapi.intake.single import PagerDutyPath, SendEvent, SingleEvents
from pdagent.httpapi.loop_guard import LoopGuard
from pdagent.httpapi.machines import Health, Liveness, Metrics, OpenApi
from pdagent.httpapi.operators.commands import QueueCommands
from pdagent.httpapi.operators.hosts import RelayHosts
from pdagent.httpapi.operators.notifying import TestNotifications
from pdagent.httpapi.operators.queries import Events
from pdagent.httpapi.operators.resending import Resend
from pdagent.httpapi.operators.selection import Selection
from pdagent.httpapi.operators.status import Status
from pdagent.httpapi.operators.tail import Tail
from store.errors import JournalError

logger = logging.getLogger(__name__)
# Seconds: a journal that is full or failing needs attention.
_RETRY_AFTER = 30


def build(agent: Agent) -> tuple[AsgiApplication, DirectIntake]:
    """The ASGI application for one agent, and the way past it."""
    loops, browsers = LoopGuard(agent), BrowserGuard(agent.config)
    paths = single_events(agent)
    app = whole_requests(with_routes(agent, paths, [loops, browsers]))
    return app, DirectIntake({**paths, HOSTS_PATH: reports(agent)}, loops, browsers)


def reports(agent: Agent) -> HostReports:
    """The path that takes the reports of a relay's hosts."""
    known = (agent.config.secret,) if agent.fleet is None else agent.fleet.secrets
    return HostReports(agent, Secret(*known))


def single_events(agent: Agent) -> dict[str, SingleEvents]:
    """The paths that take one event per request."""
    config = agent.config
    of_tools = secret_for_events(config, needed=config.require_secret)
    return {
        "/send": SendEvent(agent, secret_for_events(config, needed=True)),
        **{path: PagerDutyPath(agent, kind, of_tools) for kind, path in EVENT_PATHS.items()},
        INTEGRATION_PATH: PagerDutyPath(agent, "v2", of_tools),
        NAGIOS_PATH: NagiosForm(agent, "v1", of_tools),
    }


def with_routes(
    agent: Agent, paths: Mapping[str, SingleEvents], guards: list[LoopGuard | BrowserGuard]
) -> FalconApp:
    """The application with all routes; `openapi.json` describes each."""
    app = without_routes(guards)
    for path, single in paths.items():
        app.add_route(path, SingleEventsResource(single, has_jobs=path == "/send"))
    secret = Secret(agent.config.secret)
    selection = Selection(agent)
    status = Status(agent, secret, selection)
    commands = QueueCommands(agent, secret, selection)
    events = Events(agent, secret, selection)
    app.add_route("/send/batch", SendBatch(agent, secret_for_events(agent.config, needed=True)))
    app.add_route("/status", status)
    app.add_route("/queue/status", status, suffix="queues")
    app.add_route("/queue/events", events)
    app.add_route("/queue/events/{event}", events, suffix="one")
    app.add_route("/queue/events/{event}/retry", events, suffix="retry")
    for command in ("retry", "discard", "hold", "release"):
        app.add_route(f"/queue/{command}", commands, suffix=command)
    app.add_route("/queue/tail", Tail(agent, secret, selection))
    hosts = RelayHosts(agent, secret, selection, reports(agent))
    app.add_route(HOSTS_PATH, hosts)
    app.add_route(f"{HOSTS_PATH}/forget", hosts, suffix="forget")
    app.add_route("/relay/resend", Resend(agent, secret, selection))
    app.add_route("/notify/test", TestNotifications(agent, secret, selection))
    health = Health(agent)
    app.add_route("/health", health)
    app.add_route("/health/ready", health)
    app.add_route("/health/live", Liveness())
    app.add_route("/metrics", Metrics(agent.metrics))
    app.add_route("/openapi.json", OpenApi())
    agent.add_routes(app)
    return app


def without_routes(guards: list[LoopGuard | BrowserGuard]) -> FalconApp:
    """An application that has guards, and answers errors as JSON."""
    app: FalconApp = falcon.asgi.App(middleware=guards)
    app.req_options.strip_url_path_trailing_slash = True
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(SenderGone, _gone)
    app.add_error_handler(JournalError, _journal_trouble)
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
    respond(response, Outcome(503, error_body(request.path, 503, str(error)), _RETRY_AFTER))


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
    respond(response, mistake(request.path))
