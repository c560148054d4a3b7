"""How a call is described, and what several of them share."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pdagent.httpapi.answers import Errors

Json = dict[str, Any]

JSON, LINES, TEXT = "application/json", "application/x-ndjson", "text/plain"


STRING: Json = {"type": "string"}


class Parameter(NamedTuple):
    """One parameter of the query, or a header."""

    name: str
    description: str
    place: str = "query"
    required: bool = False
    schema: Json = STRING


class Answer(NamedTuple):
    """A body; its schema is a struct that it is encoded from, JSON Schema, or None for no body."""

    description: str
    schema: Any
    media_type: str = JSON


class Call(NamedTuple):
    """`bodies` are structs, or unions of them, of which a JSON body is one; `lines` says what each
    line of NDJSON is.

    `refusals` are the statuses, beyond 401 where a secret is asked for and 403, with which this
    call says no, in the shape `refusal`.
    """

    summary: str
    answers: dict[int, Answer]
    secret: bool = True
    bodies: tuple[Any, ...] = ()
    needs_body: bool = True
    lines: str | None = None
    parameters: tuple[Parameter, ...] = ()
    refusals: tuple[int, ...] = ()
    refusal: type[msgspec.Struct] = Errors


REFUSALS = {
    400: "The request or the event is invalid; every problem is named.",
    401: "The secret is missing or wrong (on PagerDuty's paths: with `require_secret`).",
    403: "The request comes from a web page, or (v1 only) the queue is full: try again later.",
    404: "There is no such event or queue.",
    409: "It can't be done: the sentence says why.",
    413: "The body has more than 512,000 bytes.",
    415: "The body is compressed, or its type says that it is no JSON.",
    422: "The Idempotency-Key was used for another event; this one was not stored.",
    429: "The queue of this routing key is full: try again later.",
    503: "The journal is full or failing, or the agent is stopping: try again later. With "
    "`may_have_been_stored`, repeat with the same Idempotency-Key or dedup key.",
}

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "A repetition with the same key gets the first receipt again; nothing is stored twice.",
    "header",
    schema={"type": "string", "minLength": 1, "maxLength": 255},
)
RK = Parameter("rk", "A routing key: only its queue is meant. Empty: all.")
QUEUE = Parameter("queue", "A queue by its name, or its masked key, as 'status' shows it.")
INTAKE = (400, 413, 415, 422, 503)


def object_of(description: str = "", **properties: Json) -> Json:
    """JSON Schema of an object that has at least these properties."""
    schema: Json = {"type": "object", "properties": properties, "required": [*properties]}
    return {**schema, "description": description} if description else schema


def list_of(items: Json) -> Json:
    """JSON Schema of a list."""
    return {"type": "array", "items": items}
