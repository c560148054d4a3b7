"""`/queue/events`: which events there are, the life of one, and what operators do with it."""

from __future__ import annotations

import asyncio

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.operators.changes import Changes, answer_for_one
from pdagent.httpapi.operators.selection import OperatorsResource, number_in, with_secret
from pdagent.operating.changes import BY_OPERATOR
from pdagent.operating.listing import BadCursor, Cursor, Listing
from pdagent.operating.lives import Life, NoSuchEvent, UnknownId, find, life_of
from pdagent.operating.names import QueueNames
from pdagent.operating.rows import DEAD, STATES, WAITING

_encode = msgspec.json.Encoder().encode
_USUAL, _MOST = 100, 1_000
_LONGEST_REASON = 1_000


@falcon.before(with_secret)
class Events(OperatorsResource):
    """The calls about single events; each needs the secret."""

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """`GET /queue/events[?state=][&rk=|&queue=][&limit=][&after=]`: `{"events", "next"}`."""
        states, after = states_of(request), _cursor_of(request)
        limit = number_in(request, "limit", 1, _MOST) or _USUAL
        names = self._selection.names_for(request)
        listing = Listing(
            self._agent.journal,
            names,
            self._selection.queues_with_events(request),
            states,
            ended_in=self._selection.queues(request),
        )
        page = await asyncio.to_thread(listing.page, limit, after)
        response.data = _encode(page)

    async def on_get_one(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response, event: str
    ) -> None:
        """`GET /queue/events/{id}`: the event with its body and history."""
        try:
            names = self._selection.names_for(request)
            life = await asyncio.to_thread(self._life, event, names)
        except UnknownId as error:
            raise falcon.HTTPNotFound(description=str(error)) from None
        except NoSuchEvent as error:
            raise falcon.HTTPConflict(description=str(error)) from None
        response.data = _encode(life.as_json())

    async def on_delete_one(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response, event: str
    ) -> None:
        """`DELETE /queue/events/{id}[?reason=]`: discard it."""
        reason = (request.get_param("reason") or BY_OPERATOR)[:_LONGEST_REASON]
        changes = Changes(self._agent, "discard", reason=reason)
        answer_for_one(response, "discard", await changes.of_ids([event]))

    async def on_post_retry(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response, event: str
    ) -> None:
        """`POST /queue/events/{id}/retry[?force=1]`."""
        changes = Changes(self._agent, "retry", force=request.get_param("force") == "1")
        answer_for_one(response, "retry", await changes.of_ids([event]))

    def _life(self, given: str, names: QueueNames) -> Life:
        agent = self._agent
        known = find(agent.journal, given)
        entry = agent.system.directory.by_id(known.queue)
        life = life_of(
            agent.journal,
            known,
            key=entry.routing_key,
            name=names.of(entry.routing_key),
            letter=entry.state.dead.get(known.record.event),
        )
        if life is None:
            raise UnknownId(given)
        return life


def states_of(request: falcon.asgi.Request) -> list[str]:
    """The states of `state=` (several with commas); without it, all that have not ended.

    `waiting` means all three states of a waiting event. Raises 400 for unknown ones.
    """
    text = request.get_param("state") or f"waiting,{DEAD}"
    states: list[str] = []
    for state in text.replace("-", "_").split(","):
        if state == "waiting":
            states += WAITING
        elif state in STATES:
            states.append(state)
        else:
            raise falcon.HTTPBadRequest(
                description=f"state: there is no {state!r}; known are waiting, {', '.join(STATES)}"
            )
    return states


def _cursor_of(request: falcon.asgi.Request) -> Cursor | None:
    text = request.get_param("after")
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except BadCursor:
        raise falcon.HTTPBadRequest(
            description="after: give the 'next' of the page before, as it was"
        ) from None
