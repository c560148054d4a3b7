"""What is said of the calls for operators and machines."""

from __future__ import annotations

from pdagent.httpapi.answers import Errors
from pdagent.httpapi.openapi.calls import (
    INTAKE,
    LINES,
    QUEUE,
    RK,
    STRING,
    TEXT,
    Answer,
    Call,
    Json,
    Parameter,
    list_of,
    object_of,
)
from pdagent.httpapi.operators.commands import Wish
from pdagent.operating.listing import MOST_DIGITS, Page
from pdagent.operating.overview import MOST_ROWS, SORTS
from pdagent.operating.rows import DEAD, STATES

_DIGITS = f"[0-9]{{1,{MOST_DIGITS}}}"
_FORCE = Parameter("force", "1: also what was resolved meanwhile.")
_REASON = Parameter("reason", "Recorded in the event's history; the first 1,000 characters.")
_STATE = Parameter(
    "state",
    f"States with commas between: waiting, {', '.join(STATES)}. Default: waiting,{DEAD}.",
    schema={
        "type": "string",
        "pattern": f"^(waiting|{'|'.join(STATES)})(,(waiting|{'|'.join(STATES)}))*$",
    },
)
_NUMBER: Json = {"type": "integer"}
_COUNT: Json = {"type": "integer", "minimum": 0, "maximum": MOST_ROWS}
_OPTIONAL_TEXT: Json = {"type": ["string", "null"]}
_QUEUE_ITEM = object_of(
    "One queue. Times are ISO 8601 in UTC.",
    routing_key=STRING,
    queue=STRING,
    pending=_NUMBER,
    success=_NUMBER,
    error=_NUMBER,
    discarded=_NUMBER,
    accepted=_NUMBER,
    state={"type": "string", "enum": ["active", "backing_off", "held"]},
    held={"type": "boolean"},
    oldest_waiting_at=_OPTIONAL_TEXT,
    next_attempt_at=_OPTIONAL_TEXT,
    in_flight_since=_OPTIONAL_TEXT,
    last_error=_OPTIONAL_TEXT,
)
_CHANGED = object_of(
    message=STRING, count=_NUMBER, events=list_of({**STRING, "description": "An id."})
)
_CHANGED_OR_NOT = object_of(
    **_CHANGED["properties"], refused=list_of(object_of(id=STRING, error=STRING, status=_NUMBER))
)
_HELD = object_of(message=STRING, queue=STRING, held={"type": "boolean"}, waiting=_NUMBER)
_LIFE = object_of(
    "The fields of the list, and the event itself (its key masked) with all that happened to it.",
    id=STRING,
    state={"type": "string", "enum": [*STATES]},
    event={"type": "object"},
    history=list_of({"type": "object"}),
)
_STATUS = object_of(
    agent={"type": "object"},
    pagerduty={"type": "object"},
    totals=object_of(
        accepted=_NUMBER,
        delivered=_NUMBER,
        waiting=_NUMBER,
        dead_lettered=_NUMBER,
        discarded=_NUMBER,
    ),
    queues=list_of(_QUEUE_ITEM),
)

_OK: Json = {"type": "string", "const": "OK"}
_READY = Call(
    "Whether the agent can store and deliver.",
    {
        200: Answer(
            "It can. While PagerDuty accepts nothing, a second line says since when and why.",
            {"type": "string", "pattern": "^OK"},
            TEXT,
        ),
        503: Answer("It can't, and why.", Errors),
    },
    secret=False,
)

CALLS: dict[str, Call] = {
    "GET /status": Call(
        "The agent, PagerDuty as it sees it, totals and queues.",
        {200: Answer("How things stand.", _STATUS)},
        parameters=(
            RK,
            QUEUE,
            Parameter(
                "sort",
                f"{', '.join(SORTS)}; without it, in the order of their making.",
                schema={"type": "string", "enum": [*SORTS]},
            ),
            Parameter("match", "Only queues with this in their name or state."),
            Parameter("limit", "At most so many queues.", schema=_COUNT),
            Parameter("offset", "Leave out so many queues.", schema=_COUNT),
            Parameter("show_keys", "1: whole routing keys."),
        ),
        refusals=(400,),
    ),
    "GET /queue/status": Call(
        "The counts of all queues, or of one.",
        {200: Answer("One item a queue.", object_of(status_items=list_of(_QUEUE_ITEM)))},
        parameters=(
            RK,
            QUEUE,
            Parameter("show_keys", "1: whole routing keys, as also with rk=; 0: masked."),
        ),
    ),
    "GET /queue/events": Call(
        "Events in pages: dead letters first, then what waits, then what has ended.",
        {200: Answer("A page.", Page)},
        parameters=(
            _STATE,
            RK,
            QUEUE,
            Parameter(
                "limit",
                "How many events a page has at most; default 100.",
                schema={"type": "integer", "minimum": 1, "maximum": 1000},
            ),
            Parameter(
                "after",
                "The 'next' of the page before.",
                schema={"type": "string", "pattern": rf"^[0-2]\.{_DIGITS}\.{_DIGITS}$"},
            ),
        ),
        refusals=(400, 503),
    ),
    "GET /queue/events/{event}": Call(
        "One event with all that happened to it.",
        {200: Answer("The event.", _LIFE)},
        refusals=(404, 409, 503),
    ),
    "DELETE /queue/events/{event}": Call(
        "Discard an event: it is never delivered.",
        {200: Answer("It is discarded.", _CHANGED)},
        parameters=(_REASON,),
        refusals=(404, 409, 503),
    ),
    "POST /queue/events/{event}/retry": Call(
        "Try an event again: a dead letter goes to the tail of its queue.",
        {200: Answer("It will be tried again.", _CHANGED)},
        parameters=(_FORCE,),
        refusals=(404, 409, 503),
    ),
    "POST /queue/retry": Call(
        "Try again what failed: the events named, or all of the queues meant.",
        {200: Answer("What is tried again, and what isn't and why.", _CHANGED_OR_NOT)},
        bodies=(Wish,),
        needs_body=False,
        parameters=(RK, QUEUE, _FORCE),
        refusals=INTAKE,
    ),
    "POST /queue/discard": Call(
        "Discard the events named, or those of one queue in some states.",
        {200: Answer("What is discarded, and what isn't and why.", _CHANGED_OR_NOT)},
        bodies=(Wish,),
        needs_body=False,
        parameters=(RK, QUEUE, _STATE),
        refusals=INTAKE,
    ),
    "POST /queue/hold": Call(
        "Go on accepting events of one key, and deliver none.",
        {200: Answer("It is held.", _HELD)},
        bodies=(Wish,),
        needs_body=False,
        parameters=(RK, QUEUE, _REASON),
        refusals=(*INTAKE, 404, 409),
    ),
    "POST /queue/release": Call(
        "Deliver the events of a held key.",
        {200: Answer("It is released.", _HELD)},
        bodies=(Wish,),
        needs_body=False,
        parameters=(RK, QUEUE),
        refusals=(*INTAKE, 404, 409),
    ),
    "GET /queue/tail": Call(
        "What happens from now on, one JSON object a line, without end; a blank line is a pulse.",
        {200: Answer("Lines.", {"type": "string"}, LINES)},
        parameters=(RK, QUEUE),
        refusals=(404, 409, 503),
    ),
    "GET /health": _READY,
    "GET /health/ready": _READY,
    "GET /health/live": Call(
        "Whether the process answers, whatever else is wrong.",
        {200: Answer("It does.", _OK, TEXT)},
        secret=False,
    ),
    "GET /metrics": Call(
        "All figures, for Prometheus.",
        {200: Answer("Prometheus's text format.", STRING, TEXT)},
        secret=False,
    ),
    "GET /openapi.json": Call(
        "This document.",
        {200: Answer("OpenAPI 3.1.", object_of(openapi=STRING, paths={"type": "object"}))},
        secret=False,
    ),
}
