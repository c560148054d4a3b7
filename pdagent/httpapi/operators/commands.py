"""Operators' changes of whole queues, or of several events."""

from __future__ import annotations

import asyncio
from typing import Annotated

import falcon
import falcon.asgi
import msgspec

from actors.core.commands import Command, HoldQueue, Refusal, ReleaseQueue
from actors.directory import QueueEntry
from pdagent.httpapi.agent import perform
from pdagent.httpapi.intake.bodies import read_body
from pdagent.httpapi.operators.changes import ChangeResult, Changes, answer, refuse
from pdagent.httpapi.operators.queries import states_of
from pdagent.httpapi.operators.selection import OperatorsResource, with_secret
from pdagent.operating.changes import BY_OPERATOR
from pdagent.operating.reading import first, steady
from pdagent.operating.rows import DEAD, ENDED, WAITING
from store.records import EventId

_encode = msgspec.json.Encoder().encode
_MOST_IDS = 10_000
_HELD_BY_OPERATOR = "by an operator"

Reason = Annotated[str, msgspec.Meta(max_length=1_000)]


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON body of these calls; all of it may be left out."""

    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_MOST_IDS)] | None = None
    force: bool = False
    reason: Reason = ""


_wish = msgspec.json.Decoder(ChangeRequest)


@falcon.before(with_secret)
class QueueCommands(OperatorsResource):
    """`POST /queue/retry`, `/queue/discard`, `/queue/hold`, `/queue/release`: with the secret."""

    async def on_post_retry(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Events with these `ids`; otherwise of the queue named (of all, if none is) all that
        failed: dead letters to the tail, deferred events at once.

        200 `{"message", "count", "events", "refused": [{"id", "error", "status"}], "left"}`;
        `left` counts the dead letters that are still there. 503 if all that was to be retried is
        refused for now.
        """
        wish = await _wish_of(request)
        force = wish.force or request.get_param("force") == "1"
        changes = Changes(self._agent, "retry", force=force)
        if wish.ids is not None:
            result = await changes.of_ids(wish.ids)
            answer(response, "retry", result, refused=result.refused)
            return
        chosen = self._selection.queues_to_change(request)
        queues = [q for q in chosen if q.state.dead or _waits_after_failure(q)]
        result = await changes.of_all_failed(queues)
        if result.refused and not result.events:
            refuse(response, 503, list(dict.fromkeys(refused.error for refused in result.refused)))
            return
        left = sum(len(queue.state.dead) for queue in queues)
        answer(response, "retry", result, refused=result.refused, left=left)

    async def on_post_discard(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Events with these `ids`, or all of the queue named that are in one of the states given.

        200 `{"message", "count", "events", "refused": [{"id", "error", "status"}]}`.
        """
        wish = await _wish_of(request)
        changes = Changes(self._agent, "discard", reason=wish.reason or BY_OPERATOR)
        if wish.ids is not None:
            result = await changes.of_ids(wish.ids)
            answer(response, "discard", result, refused=result.refused)
            return
        if not self._selection.is_limited(request):
            raise falcon.HTTPBadRequest(
                description="say what to discard: 'ids' in a JSON body, or a queue by rk= or queue="
            )
        states = states_of(request)
        if not set(ENDED).isdisjoint(states):
            raise falcon.HTTPBadRequest(
                description=f"state: what is {' or '.join(ENDED)} has ended, and can't be discarded"
            )
        result = ChangeResult()
        queues = self._selection.queues_to_change(request)
        # In a thread: going over many events must not delay senders.
        chosen = await asyncio.to_thread(lambda: {q.id: _events_in(q, states) for q in queues})
        await changes.of_queues(chosen, result)
        answer(response, "discard", result, refused=result.refused)

    async def on_post_hold(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Accept, but don't deliver; a `reason` in the body, or as a parameter, is recorded."""
        wish = await _wish_of(request)
        reason = wish.reason or (request.get_param("reason") or "")[:1_000] or _HELD_BY_OPERATOR
        await self._set(request, response, HoldQueue(reason), f"Holding %s: {reason}.")

    async def on_post_release(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """Deliver again."""
        await _wish_of(request)
        await self._set(request, response, ReleaseQueue(), "Released %s.")

    async def _set(
        self,
        request: falcon.asgi.Request,
        response: falcon.asgi.Response,
        command: Command,
        said: str,
    ) -> None:
        key = self._selection.key(request)
        done = await perform(self._agent, key, command)
        if isinstance(done, Refusal):
            refuse(response, 503, [done.message], done.retry_after)
            return
        entry = self._agent.system.directory.by_key(key)
        name = self._selection.names.of(key)
        response.data = _encode(
            {
                "message": said.replace("%s", name, 1),
                "queue": name,
                "held": isinstance(command, HoldQueue),
                "waiting": 0 if entry is None else len(entry.state.waiting),
            }
        )


def _waits_after_failure(entry: QueueEntry) -> bool:
    return steady(lambda: entry.state.waits_after_failure)


def _events_in(entry: QueueEntry, states: list[str]) -> list[EventId]:
    state, chosen = entry.state, []
    if DEAD in states:
        chosen += [letter.id for letter in first(state.dead, len(state.dead))]
    if not set(WAITING).isdisjoint(states):
        waiting = first(state.waiting, len(state.waiting))
        chosen += [event.id for event in waiting if event.state in states]
    return chosen


async def _wish_of(request: falcon.asgi.Request) -> ChangeRequest:
    body = await read_body(request)
    if not body.strip():
        return ChangeRequest()
    try:
        return _wish.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise falcon.HTTPBadRequest(description=f"the JSON body: {error}") from None
