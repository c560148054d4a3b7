"""Takes events: our own `/send`, and PagerDuty's three paths for tools that speak its API."""

from __future__ import annotations

import falcon
import falcon.asgi
import msgspec

from actors.core.commands import Refusal
from pdagent.events import KINDS, EventKind, InvalidEvent, parse
from pdagent.httpapi.agent import Agent, accept
from pdagent.httpapi.answers import processed, stored
from pdagent.httpapi.errors import error_body, status_of
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.intake.bodies import read_body

_LONGEST_IDEMPOTENCY_KEY = 255
_encode = msgspec.json.Encoder().encode

# Whatever a header says, the kind that it names.
_KINDS_BY_VERSION: dict[str, EventKind] = {kind: kind for kind in KINDS}


def idempotency_key_of(request: falcon.asgi.Request) -> str | None:
    """The `Idempotency-Key` header, or None; 400 if it is longer than 255 characters."""
    key = request.get_header("Idempotency-Key")
    if key is not None and not 0 < len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        raise falcon.HTTPBadRequest(
            description=f"Idempotency-Key: 1 to {_LONGEST_IDEMPOTENCY_KEY} characters are allowed"
        )
    return key


class Send:
    """`POST /send`: one event of any kind; answers with its id."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 with `key` (the event's id) and, for an alert, `dedup_key` or `incident_key`."""
        self._secret.check(request)
        version = request.get_header("Pd-Event-Version")
        kind = _KINDS_BY_VERSION.get(version or "")
        if kind is None:
            raise falcon.HTTPBadRequest(
                description="the header Pd-Event-Version is missing or unknown: "
                "send v1, v2 or change"
            )
        body = await read_body(request)
        try:
            event = parse(kind, body, request.get_header("X-Routing-Key"))
        except InvalidEvent as invalid:
            response.status = falcon.HTTP_400
            response.data = error_body(request.path, 400, *invalid.errors)
            return
        key = idempotency_key_of(request)
        answer = await accept(self._agent, event, source=source_of(request), idempotency_key=key)
        if isinstance(answer, Refusal):
            _refuse(answer, request, response)
            return
        response.data = _encode(stored(event.kind, answer))


class PagerDutyPath:
    """One of PagerDuty's own paths: status codes and bodies exactly as PagerDuty answers."""

    def __init__(self, agent: Agent, kind: EventKind, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret
        self._kind = kind

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """202 (v1: 200) once the event is on disk."""
        self._secret.check(request)
        body = await read_body(request)
        try:
            event = parse(self._kind, body, request.get_header("X-Routing-Key"))
        except InvalidEvent as invalid:
            response.status = falcon.HTTP_400
            response.data = error_body(
                request.path, 400, *invalid.errors, message="Event object is invalid"
            )
            return
        key = idempotency_key_of(request)
        answer = await accept(self._agent, event, source=source_of(request), idempotency_key=key)
        if isinstance(answer, Refusal):
            _refuse(answer, request, response)
            if self._kind == "v1" and answer.reason == "queue_full":
                response.status = falcon.HTTP_403
            return
        response.status = falcon.HTTP_200 if self._kind == "v1" else falcon.HTTP_202
        response.data = _encode(processed(self._kind, answer))


def _refuse(refusal: Refusal, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
    """A full queue looks like PagerDuty's rate limit, which its clients know to wait out."""
    status, uncertain = status_of(refusal), refusal.reason == "unconfirmed"
    response.status = falcon.code_to_http_status(status)
    if refusal.retry_after is not None:
        response.set_header("Retry-After", str(refusal.retry_after))
    response.data = error_body(
        request.path, status, refusal.message, may_have_been_stored=uncertain
    )


def source_of(request: falcon.asgi.Request) -> str:
    """The sending program as it calls itself: a v1 event's `agent.queued_by`."""
    agent = request.get_header("Pd-Queued-By") or request.get_header("User-Agent") or ""
    name = agent.partition("/")[0].strip()
    return name if name.isascii() and name.isprintable() and 0 < len(name) <= 64 else "pdagent"
