"""`POST /send/batch`: events as NDJSON, one a line; a line of result for each, in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import falcon
import falcon.asgi

from pdagent.events import EventKind
from pdagent.events.ndjson import decides, why_not_lines
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Header, Secret, peer_of
from pdagent.httpapi.intake.batch_run import BatchRun
from pdagent.httpapi.intake.bodies import check_type
from pdagent.httpapi.intake.single import (
    EVENT_VERSION,
    OCCURRED_AT,
    idempotency_key_of,
    kind_in_header,
    sender_of,
)


class SendBatch:
    """`POST /send/batch`.

    A line is an event as PagerDuty takes it. Its kind shows in its fields, unless the header
    `Pd-Event-Version` names one for all.
    """

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and a result for each line that isn't blank, each as soon as it is known.

        400 for a JSON array, or an event on several lines.
        """
        header = request.get_header
        self._secret.check(header, peer_of(request))
        check_type(header)
        first_line = _first_line(header)
        run = BatchRun(
            self._agent,
            kind=_kind_of_all(header),
            sender=sender_of(header, peer_of(request)),
            idempotency_key=idempotency_key_of(header),
            occurred=header(OCCURRED_AT),
            first_line=first_line,
        )
        stream = aiter(request.stream)
        beginning = b""
        while not decides(beginning) and (piece := await anext(stream, b"")):
            beginning += piece
        if first_line == 1 and (reason := why_not_lines(beginning)) is not None:
            raise falcon.HTTPBadRequest(description=reason)
        response.content_type = "application/x-ndjson"
        response.stream = run.results(_chained(beginning, stream))


async def _chained(beginning: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield beginning
    async for piece in rest:
        yield piece


def _kind_of_all(header: Header) -> EventKind | None:
    kind = kind_in_header(header)
    if kind is not None or header(EVENT_VERSION) is None:
        return kind
    raise falcon.HTTPBadRequest(
        description="the header Pd-Event-Version is unknown: send v1, v2 or change, or leave it out"
    )


def _first_line(header: Header) -> int:
    """What to count from, for callers who send one file in several requests."""
    text = header("pd-first-line") or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
        raise falcon.HTTPBadRequest(description="Pd-First-Line: a number from 1 is allowed")
    return int(text)
