"""`POST /send/batch`: events as NDJSON, one a line; a line of result for each, in their order."""

from __future__ import annotations

from collections.abc import Callable

import falcon
import falcon.asgi
import msgspec
from msgspec import UNSET, UnsetType

from pdagent.events import EventKind
from pdagent.events.rawjson import without_byte_order_mark
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.batch_run import BatchRun
from pdagent.httpapi.bodies import check_type
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.intake import idempotency_key_of, source_of


class _Severity(msgspec.Struct):
    severity: msgspec.Raw | UnsetType = UNSET


class _Telling(msgspec.Struct):
    """The fields by which the kinds of events can be told apart."""

    service_key: msgspec.Raw | UnsetType = UNSET
    event_type: msgspec.Raw | UnsetType = UNSET
    event_action: msgspec.Raw | UnsetType = UNSET
    dedup_key: msgspec.Raw | UnsetType = UNSET
    payload: msgspec.Raw | UnsetType = UNSET


_severity = msgspec.json.Decoder(_Severity)
_telling = msgspec.json.Decoder(_Telling)


def kind_of(line: bytes) -> EventKind:
    """v1 has a `service_key` or `event_type`; a change event a payload and nothing of an alert.

    Everything else is checked as an alert event of v2: one that lacks its `event_action` must not
    pass for a change.
    """
    try:
        event = _telling.decode(without_byte_order_mark(line))
        if event.event_action is not UNSET or event.dedup_key is not UNSET:
            return "v2"
        if event.service_key is not UNSET or event.event_type is not UNSET:
            return "v1"
        payload = event.payload
        if payload is not UNSET and _severity.decode(payload).severity is UNSET:
            return "change"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return "v2"


class SendBatch:
    """`POST /send/batch`.

    A line is an event as PagerDuty takes it. Its kind shows in its fields (see `kind_of`), unless
    the header `Pd-Event-Version` names one for all.
    """

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and a result for each line that isn't blank, each as soon as it is known."""
        self._secret.check(request)
        check_type(request)
        run = BatchRun(
            self._agent,
            kind_of=_kind_of_each(request),
            source=source_of(request),
            idempotency_key=idempotency_key_of(request),
            first_line=_first_line(request),
        )
        response.content_type = "application/x-ndjson"
        response.stream = run.results(request.stream)


def _kind_of_each(request: falcon.asgi.Request) -> Callable[[bytes], EventKind]:
    match request.get_header("Pd-Event-Version"):
        case None:
            return kind_of
        case "v1" | "v2" | "change" as kind:
            return lambda line: kind
        case _:
            raise falcon.HTTPBadRequest(
                description="the header Pd-Event-Version is unknown: "
                "send v1, v2 or change, or leave it out"
            )


def _first_line(request: falcon.asgi.Request) -> int:
    """What to count from, for callers who send one file in several requests."""
    text = request.get_header("Pd-First-Line") or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) > 0):
        raise falcon.HTTPBadRequest(description="Pd-First-Line: a number from 1 is allowed")
    return int(text)
