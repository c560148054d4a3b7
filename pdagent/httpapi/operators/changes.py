"""Retries and discards events in portions, so that other work goes on in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

import falcon
import falcon.asgi
import msgspec

from actors.core.commands import Command, DiscardEvents, Done, Refusal, RetryEvents
from actors.core.state import QueueState
from actors.directory import QueueEntry
from pdagent.httpapi.agent import Agent, perform
from pdagent.operating.changes import Change, UnchangedEvent, obstacle
from pdagent.operating.lives import NoSuchEvent, UnknownId, find
from pdagent.operating.reading import first, steady
from store.records import EventId, QueueId

_encode = msgspec.json.Encoder().encode
_PORTION = 1_000
# While deliveries fail, the head of a queue is under way for a moment again and again.
_TRIES = 11
_PAUSE_SECONDS = 0.1


class ChangeResult(msgspec.Struct):
    """The events that were changed, and those that were not."""

    events: list[EventId] = msgspec.field(default_factory=list)
    refused: list[UnchangedEvent] = msgspec.field(default_factory=list)


class Changes:
    """Carries out one kind of change.

    `force` retries what is superseded too; `reason` is recorded with what is discarded.
    """

    def __init__(
        self, agent: Agent, change: Change, *, force: bool = False, reason: str = ""
    ) -> None:
        self._agent = agent
        self._change = change
        self._force = force
        self._reason = reason
        self._explains = True

    async def of_ids(self, given: Sequence[str]) -> ChangeResult:
        """Change the events that these ids, or parts of ids, mean.

        Raises `store.errors.JournalError`, before anything is changed.
        """
        result = ChangeResult()
        chosen = await asyncio.to_thread(self._found, given, result)
        await self.of_queues(chosen, result)
        return result

    async def of_queues(
        self, chosen: Mapping[QueueId, Iterable[EventId]], result: ChangeResult
    ) -> None:
        """Change these events, each under the queue that it belongs to; adds to `result`."""
        directory = self._agent.system.directory
        await asyncio.gather(
            *(
                self._of_queue(directory.by_id(queue), list(events), result)
                for queue, events in chosen.items()
            )
        )

    async def of_all_failed(self, queues: Sequence[QueueEntry]) -> ChangeResult:
        """Retry all that failed in these queues; what a later event has superseded, by force only.

        `refused` are those that their queue would have retried, but can't for now.
        """
        self._explains = False
        chosen = await asyncio.to_thread(
            lambda: {entry.id: _failed_in(entry, force=self._force) for entry in queues}
        )
        result = ChangeResult()
        await self.of_queues(chosen, result)
        result.refused = [each for each in result.refused if each.status == 503]
        return result

    def _found(
        self, given: Iterable[str], result: ChangeResult
    ) -> dict[QueueId, dict[EventId, None]]:
        chosen: dict[QueueId, dict[EventId, None]] = {}
        for text in given:
            try:
                known = find(self._agent.journal, text)
            except NoSuchEvent as error:
                status = 404 if isinstance(error, UnknownId) else 409
                result.refused.append(UnchangedEvent(text, str(error), status))
            else:
                chosen.setdefault(known.queue, {})[known.record.event] = None
        return chosen

    async def _of_queue(
        self, entry: QueueEntry, events: Sequence[EventId], result: ChangeResult
    ) -> None:
        # In a thread: they may be all events of a long queue.
        possible, refused = await asyncio.to_thread(self._divided, entry.state, events)
        own = ChangeResult(refused=refused)
        for portion in _portions(possible):
            if own.refused and own.refused[-1].status == 503:
                # Each portion more would wait as long as this one did for the same answer.
                error = own.refused[-1].error
                own.refused += [UnchangedEvent(event, error, 503) for event in portion]
            else:
                await self._perform(entry, portion, own)
        result.events += own.events
        result.refused += own.refused

    def _divided(
        self, state: QueueState, events: Sequence[EventId]
    ) -> tuple[list[EventId], list[UnchangedEvent]]:
        possible, refused = [], []
        for event in events:
            problem = obstacle(state, event, self._change, force=self._force)
            if problem is None or event == state.in_flight:
                possible.append(event)
            else:
                refused.append(UnchangedEvent(event, problem, 409))
        return possible, refused

    async def _perform(
        self,
        entry: QueueEntry,
        events: Sequence[EventId],
        result: ChangeResult,
        tries: int = _TRIES,
    ) -> None:
        done = await perform(self._agent, entry.routing_key, self._command(events))
        if isinstance(done, Refusal):
            status = 409 if done.reason == "superseded" else 503
            result.refused += [UnchangedEvent(event, done.message, status) for event in events]
            return
        assert isinstance(done, Done)
        result.events += done.events
        changed = set(done.events)
        left = [event for event in events if event not in changed]
        if self._change == "retry" and len(events) > 1:
            # Retry each alone to get the reason.
            still_dead = [event for event in left if event in entry.state.dead]
            left = [event for event in left if event not in entry.state.dead]
            for event in still_dead if self._explains else ():
                await self._perform(entry, [event], result)
        if left and tries > 1:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._perform(entry, left, result, tries - 1)
            return
        for event in left:
            problem = obstacle(entry.state, event, self._change, force=self._force)
            result.refused.append(UnchangedEvent(event, problem or _changed(event), 409))

    def _command(self, events: Sequence[EventId]) -> Command:
        if self._change == "retry":
            return RetryEvents(tuple(events), force=self._force)
        return DiscardEvents(tuple(events), self._reason)


def _failed_in(entry: QueueEntry, *, force: bool) -> list[EventId]:
    """Dead letters that may be retried, then the head, which alone is ever deferred."""
    state = entry.state
    head = steady(state.waiting.head)
    heads = [] if head is None else [head.id]
    failed = [id_ for id_ in heads if obstacle(state, id_, "retry", force=force) is None]
    letters = first(state.dead, len(state.dead))
    return [each.id for each in letters if force or each.superseded_by is None] + failed


def _portions(events: Sequence[EventId]) -> Iterator[Sequence[EventId]]:
    for begin in range(0, len(events), _PORTION):
        yield events[begin : begin + _PORTION]


def _changed(event: EventId) -> str:
    return (
        f"event {event} changed at the same moment: look at it again with "
        f"'pagerduty-agent queue show {event}'"
    )


def answer(
    response: falcon.asgi.Response, change: Change, result: ChangeResult, **more: object
) -> None:
    """200, what was changed, and `more`; `message` is what go-pdagent's client prints."""
    count = len(result.events)
    message = f"{'Retrying' if change == 'retry' else 'Discarded'} {count} events."
    response.data = _encode({"message": message, "count": count, "events": result.events, **more})


def answer_for_one(response: falcon.asgi.Response, change: Change, result: ChangeResult) -> None:
    """As `answer`, or the status and error of the one event that was not changed."""
    if result.refused:
        [refused] = result.refused
        refuse(response, refused.status, [refused.error])
    else:
        answer(response, change, result)


def refuse(
    response: falcon.asgi.Response, status: int, errors: list[str], retry_after: int | None = None
) -> None:
    """Answer with `errors`; 503 with `Retry-After`, in seconds."""
    response.status = falcon.code_to_http_status(status)
    if status == 503:
        response.set_header("Retry-After", str(retry_after or 5))
    response.data = _encode({"errors": errors})
