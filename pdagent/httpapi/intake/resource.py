"""Requests with single events that falcon has read: all that `direct.py` leaves to it."""

from __future__ import annotations

import asyncio

import falcon
import falcon.asgi

from pdagent.httpapi.answers import Outcome
from pdagent.httpapi.guard import peer_of
from pdagent.httpapi.intake.bodies import read_body
from pdagent.httpapi.intake.single import Call, Taker, sender_of
from pdagent.httpapi.jobs import parameters_of


class SingleEventsResource:
    """One path; `has_jobs` says that its parameters can make an event the report of a job."""

    def __init__(self, taker: Taker, *, has_jobs: bool = False) -> None:
        self._taker = taker
        self._has_jobs = has_jobs

    async def on_post(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response, key: str | None = None
    ) -> None:
        """Answers once the event is on disk; `key` is that of the path if it has one."""
        has_job = self._has_jobs and request.query_string
        call = Call(
            path=request.path,
            header=request.get_header,
            sender=sender_of(request.get_header, peer_of(request)),
            passed=request.context.passed,
            key=key,
            job=parameters_of(request.get_param) if has_job else None,
        )
        self._taker.check(call)
        body = await read_body(request)
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not answered.done():
                answered.set_result(outcome)

        self._taker.take(call, body, settle)
        respond(response, await answered)


def respond(response: falcon.asgi.Response, outcome: Outcome) -> None:
    """Make `outcome` the answer."""
    response.status = falcon.code_to_http_status(outcome.status)
    if outcome.retry_after is not None:
        response.set_header("Retry-After", str(outcome.retry_after))
    response.data = outcome.body
