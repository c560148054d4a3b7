"""`/openapi.json` and the page for people: every call, and the schemas of events."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import falcon.inspect
import msgspec
import pytest

from pdagent import __version__
from pdagent.events.kinds import EVENT_PATHS
from pdagent.httpapi import application
from pdagent.httpapi.answers import INTEGRATION_PATH, NAGIOS_PATH
from tests.actors.running_actors import RunningActors
from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.in_process import agent_around

PAGE = Path(__file__).parents[3] / "docs" / "http-api.md"
PAGERDUTY_PATHS = {*EVENT_PATHS.values(), INTEGRATION_PATH, NAGIOS_PATH}
METHODS = {"get", "post", "delete", "put", "patch"}


@pytest.fixture
def document(agent: AgentProcess) -> dict[str, Any]:
    answer = agent.get("/openapi.json", headers={"Authorization": None})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def calls_of(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS
    }


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "x", path)


def needs_secret(call: dict[str, Any]) -> bool:
    return bool(call["security"]) and {} not in call["security"]


def test_every_route_is_described_and_nothing_else_is(
    document: dict[str, Any], tmp_path: Path
) -> None:
    async def routes() -> set[str]:
        with RunningActors(tmp_path / "journal") as actors:
            agent = agent_around(actors)
            app = application.with_routes(agent, application.single_events(agent), [])
            found = falcon.inspect.inspect_routes(app)
        return {
            f"{method.method} {route.path}"
            for route in found
            for method in route.methods
            if not method.internal
        }

    assert calls_of(document) == asyncio.run(routes())
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", __version__)


def test_the_methods_are_those_that_the_agent_allows(
    agent: AgentProcess, document: dict[str, Any]
) -> None:
    for path, item in document["paths"].items():
        answer = agent.session().options(f"{agent.url}{filled(path)}", timeout=20)
        allowed = set(answer.headers["Allow"].lower().split(", ")) & METHODS
        assert allowed == item.keys() & METHODS, path


def test_calls_that_ask_for_the_secret_say_so(
    agent: AgentProcess, document: dict[str, Any]
) -> None:
    for path, item in document["paths"].items():
        for method, call in item.items():
            answer = agent.session().request(method, f"{agent.url}{filled(path)}", timeout=20)
            assert (answer.status_code == 401) == needs_secret(call), (method, path)
            # `require_secret` makes PagerDuty's paths ask for it.
            optional = {} in call["security"]
            assert optional == (path in PAGERDUTY_PATHS), (method, path)
            assert ("401" in call["responses"]) == bool(call["security"]), (method, path)


def test_every_route_is_on_the_page_for_people(document: dict[str, Any]) -> None:
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|.*\| (yes|no) \|$", PAGE.read_text(), re.MULTILINE)
    assert {call for call, _ in rows} == calls_of(document)
    for call, secret in rows:
        method, path = call.split(" ")
        described = document["paths"][path][method.lower()]
        assert (secret == "yes") == needs_secret(described), call


def test_every_kind_of_event_has_its_schemas(document: dict[str, Any]) -> None:
    for path, names in {
        "/v2/enqueue": {"Trigger", "Acknowledge", "Resolve"},
        "/generic/2010-04-15/create_event.json": {"V1Trigger", "V1Acknowledge", "V1Resolve"},
        "/v2/change/enqueue": {"Change"},
    }.items():
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        references = re.findall(r"#/components/schemas/(\w+)'}", str(body["schema"]))
        assert set(references) == names


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = msgspec.json.encode(document).decode()
    for kind, name in re.findall(r'"#/components/(\w+)/(\w+)"', text):
        assert name in document["components"][kind]
