"""The handlers of an agent, called in this process, around real actors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import falcon
import falcon.asgi
import falcon.testing

from pdagent.config import Config
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.operators.selection import Selection
from pdagent.httpapi.replies import Replies
from pdagent.operating.followers import Followers
from pdagent.operating.traffic import Traffic
from tests.actors.running_actors import RunningActors

SECRET = "secret"

Handler = Callable[[falcon.asgi.Request, falcon.asgi.Response], Coroutine[Any, Any, None]]


def agent_around(actors: RunningActors) -> Agent:
    """To be called in an event loop."""
    return Agent(
        system=actors.system,
        journal=actors.journal,
        config=Config(secret=SECRET),
        version="0",
        started_at=0.0,
        replies=Replies(actors.system.slots.is_crowded),
        followers=Followers(),
        traffic=Traffic(actors.system.totals),
    )


def parts(agent: Agent) -> tuple[Agent, Secret, Selection]:
    """What the classes of handlers are made of."""
    return agent, Secret(SECRET), Selection(agent)


async def call(handler: Handler, method: str, path: str, query: str = "") -> tuple[str, Any]:
    """Status and JSON of the answer to a request with the secret."""
    request = falcon.testing.create_asgi_req(
        method=method,
        path=path,
        query_string=query,
        headers={"Authorization": f"token {SECRET}"},
    )
    response = falcon.asgi.Response()
    await handler(request, response)
    return response.status, json.loads(response.data or b"null")


async def turns_meanwhile(work: Coroutine[Any, Any, object]) -> int:
    """How often others had the event loop while `work` was done."""
    task, turns = asyncio.create_task(work), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns
