"""Single events: `/send`, and PagerDuty's own paths for tools that use its API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import falcon
import falcon.asgi
import msgspec

from actors.core.commands import Receipt, Refusal
from pdagent.events import KINDS, EventKind, InvalidEvent, ParsedEvent, parse
from pdagent.httpapi.agent import Agent, Sender, accept
from pdagent.httpapi.answers import error_body, is_uncertain, processed, status_of, stored
from pdagent.httpapi.guard import Secret, peer_of
from pdagent.httpapi.intake.bodies import read_body
from pdagent.httpapi.jobs import parameters_of
from pdagent.httpapi.loop_guard import passed_by
from pdagent.masking import is_routing_key

OCCURRED_AT = "Pd-Occurred-At"
"""The header with the time of occurrence of the events in a request."""

_LONGEST_IDEMPOTENCY_KEY = 255
_KINDS: dict[str, EventKind] = {kind: kind for kind in KINDS}


def idempotency_key_of(request: falcon.asgi.Request) -> str | None:
    """The `Idempotency-Key` header, or None; 400 if it is longer than 255 characters."""
    key = request.get_header("Idempotency-Key")
    if key is not None and not 0 < len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        raise falcon.HTTPBadRequest(
            description=f"Idempotency-Key: 1 to {_LONGEST_IDEMPOTENCY_KEY} characters are allowed"
        )
    return key


def kind_in_header(request: falcon.asgi.Request) -> EventKind | None:
    """The `Pd-Event-Version` header if it names a kind of event."""
    return _KINDS.get(request.get_header("Pd-Event-Version") or "")


class SendEvent:
    """`POST /send`: one event of any kind; the answer has its id."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 with `key` (the event's id) and, for an alert, `dedup_key` or `incident_key`."""
        self._secret.check(request)
        kind = kind_in_header(request)
        if kind is None:
            raise falcon.HTTPBadRequest(
                description="the header Pd-Event-Version is missing or unknown: "
                "send v1, v2 or change"
            )
        read = partial(_event_of, request, kind)
        job = parameters_of(request.get_param) if request.query_string else None
        answer = await _accepted(self._agent, read, request, response, job=job)
        if isinstance(answer, Receipt):
            response.data = stored(kind, answer)


class PagerDutyPath:
    """One of PagerDuty's own paths: status codes and bodies exactly as PagerDuty answers."""

    def __init__(self, agent: Agent, kind: EventKind, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret
        self._kind = kind

    async def on_post(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response, key: str | None = None
    ) -> None:
        """202 (v1: 200) once the event is on disk; `key` is that of the path if it has one."""
        self._secret.check(request)
        read = partial(self._event, request, key=key)
        answer = await _accepted(
            self._agent, read, request, response, invalid="Event object is invalid"
        )
        if isinstance(answer, Receipt):
            response.status = falcon.HTTP_200 if self._kind == "v1" else falcon.HTTP_202
            response.data = processed(self._kind, answer)
        elif answer is not None and self._kind == "v1" and answer.reason == "queue_full":
            response.status = falcon.HTTP_403

    def _event(self, request: falcon.asgi.Request, body: bytes, key: str | None) -> ParsedEvent:
        if key is None:
            return _event_of(request, self._kind, body)
        if not is_routing_key(key):
            raise InvalidEvent(("the key in the path is not 32 letters and digits",))
        return msgspec.structs.replace(parse(self._kind, body, key), routing_key=key)


def _event_of(request: falcon.asgi.Request, kind: EventKind, body: bytes) -> ParsedEvent:
    return parse(kind, body, request.get_header("X-Routing-Key"))


async def _accepted(
    agent: Agent,
    read: Callable[[bytes], ParsedEvent],
    request: falcon.asgi.Request,
    response: falcon.asgi.Response,
    invalid: str = "",
    job: Mapping[str, str] | None = None,
) -> Receipt | Refusal | None:
    """Have the event that `read` finds stored; None if it is not valid. Answers all but a receipt.

    `invalid` is the `message` for an event that is not valid, `job` makes it the report of a job.
    """
    body = await read_body(request)
    try:
        event = read(body)
    except InvalidEvent as error:
        response.status = falcon.HTTP_400
        response.data = error_body(request.path, 400, *error.errors, message=invalid)
        return None
    answer = await accept(
        agent,
        event,
        sender=sender_of(request),
        idempotency_key=idempotency_key_of(request),
        occurred=request.get_header(OCCURRED_AT),
        passed=passed_by(request),
        job=job,
    )
    if isinstance(answer, Refusal):
        # A full queue looks like PagerDuty's rate limit, which clients know to wait out.
        status = status_of(answer)
        response.status = falcon.code_to_http_status(status)
        if answer.retry_after is not None:
            response.set_header("Retry-After", str(answer.retry_after))
        response.data = error_body(
            request.path, status, answer.message, may_have_been_stored=is_uncertain(answer)
        )
    return answer


def sender_of(request: falcon.asgi.Request) -> Sender:
    """The sending program, by its own word, and its user, by the kernel's."""
    agent = request.get_header("Pd-Queued-By") or request.get_header("User-Agent") or ""
    name = agent.partition("/")[0].strip()
    known = name.isascii() and name.isprintable() and 0 < len(name) <= 64
    return Sender(name if known else "pdagent", peer_of(request))
