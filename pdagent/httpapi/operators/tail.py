"""`GET /queue/tail`: committed transitions as NDJSON, one per line, without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import falcon
import falcon.asgi
import msgspec

from pdagent.events import summary_of
from pdagent.httpapi.intake.bodies import IS_HEAD, RECEIVE, SenderGone
from pdagent.httpapi.operators.selection import OperatorsResource, with_secret
from pdagent.operating.followers import Missed, TailClient, TooManyFollowers, Transition
from pdagent.operating.lives import shown
from pdagent.operating.rows import Json
from store.records import EventAccepted, RoutingKey, event_of

_encode = msgspec.json.Encoder().encode


@falcon.before(with_secret)
class Tail(OperatorsResource):
    """Follows one queue (`rk=` or `queue=`) or all; needs the secret.

    A line has the fields of a `history` entry, and `queue` and `id`. A blank line is a keepalive.
    `{"record": "Missed", "count": N}` means that this client reads too slowly.
    """

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and lines, until the client or the agent ends it."""
        key = self._selection.key(request) if self._selection.is_limited(request) else None
        response.content_type = "application/x-ndjson"
        if IS_HEAD in request.scope:
            return  # nobody reads what would follow, and nothing would end it
        try:
            follower = self._join(key)
        except TooManyFollowers:
            raise falcon.HTTPServiceUnavailable(
                description="too many follow already: end some of the other 'queue tail'",
                retry_after=60,
            ) from None
        gone = asyncio.create_task(self._leave_with_client(request.scope[RECEIVE], follower))
        response.stream = self._lines(follower, gone)

    def _join(self, key: RoutingKey | None) -> TailClient:
        if key is None:
            return self._agent.followers.join(lambda queue: True)
        directory = self._agent.system.directory
        # By key: the queue of a configured key is created with its first event.
        return self._agent.followers.join(lambda queue: directory.by_id(queue).routing_key == key)

    async def _lines(self, follower: TailClient, gone: asyncio.Task[None]) -> AsyncIterator[bytes]:
        try:
            yield b"\n"  # the client learns at once that it is following
            async for news in follower.transitions():
                match news:
                    case Transition():
                        yield _encode(self._shown(news)) + b"\n"
                    case Missed(count=count):
                        yield _encode({"record": "Missed", "count": count}) + b"\n"
                    case _:
                        yield b"\n"
        finally:
            gone.cancel()
            self._agent.followers.leave(follower)

    async def _leave_with_client(
        self, receive: Callable[[], Awaitable[object]], follower: TailClient
    ) -> None:
        try:
            while True:
                await receive()
        except SenderGone:
            follower.end()
            self._agent.followers.leave(follower)

    def _shown(self, transition: Transition) -> Json:
        record = transition.record
        fields = shown(record)
        key = self._agent.system.directory.by_id(transition.queue).routing_key
        head: Json = {
            "at": fields.pop("at"),
            "record": fields.pop("record"),
            "queue": self._selection.names.of(key),
        }
        event = event_of(record)
        if event is not None:
            head["id"] = event
        if isinstance(record, EventAccepted):
            fields["summary"] = summary_of(record.kind, record.body)
        return head | fields
