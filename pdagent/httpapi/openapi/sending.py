"""What is said of the calls that take events."""

from __future__ import annotations

import msgspec

from pdagent.events import EventKind
from pdagent.httpapi.answers import (
    ChangeEventProcessed,
    EventProcessed,
    PagerDutyErrors,
    Stored,
    V1EventProcessed,
)
from pdagent.httpapi.openapi.calls import (
    IDEMPOTENCY_KEY,
    INTAKE,
    LINES,
    Answer,
    Call,
    Parameter,
)
from pdagent.httpapi.openapi.events import EVENTS

_QUEUED_BY = Parameter(
    "Pd-Queued-By",
    "The sending program, for the `agent` object of an event of v1; default: its User-Agent.",
    "header",
)


def _version(*kinds: str, required: bool) -> Parameter:
    text = "What kind the body is." if required else "The kind of all lines; else each tells its."
    return Parameter(
        "Pd-Event-Version", text, "header", required, {"type": "string", "enum": [*kinds]}
    )


def _pagerduty(summary: str, kind: EventKind, status: int, answer: type[msgspec.Struct]) -> Call:
    full = () if status == 200 else (429,)
    return Call(
        f"{summary} As PagerDuty takes it; answered when it is on disk.",
        {status: Answer("The event is stored.", answer)},
        secret=False,
        bodies=tuple(EVENTS[kind]),
        parameters=(IDEMPOTENCY_KEY, _QUEUED_BY),
        refusals=(401, *INTAKE, *full),
        refusal=PagerDutyErrors,
    )


CALLS: dict[str, Call] = {
    "POST /v2/enqueue": _pagerduty("Events API v2, an alert event.", "v2", 202, EventProcessed),
    "POST /v2/change/enqueue": _pagerduty(
        "Events API v2, a change event.", "change", 202, ChangeEventProcessed
    ),
    "POST /generic/2010-04-15/create_event.json": _pagerduty(
        "Events API v1, an event.", "v1", 200, V1EventProcessed
    ),
    "POST /send": Call(
        "An event of any kind; the protocol of go-pdagent's client.",
        {200: Answer("The event is stored.", Stored)},
        bodies=tuple(name for kind in EVENTS.values() for name in kind),
        parameters=(_version("v1", "v2", "change", required=True), IDEMPOTENCY_KEY, _QUEUED_BY),
        refusals=(*INTAKE, 429),
    ),
    "POST /send/batch": Call(
        "Many events, one a line; a line of result for each, in their order, as it is known.",
        {
            200: Answer(
                "For each line that isn't blank: its number, and a receipt or the reasons why not.",
                {"type": "string"},
                LINES,
            )
        },
        lines="One event a line, of any kind.",
        parameters=(
            _version("v1", "v2", "change", required=False),
            IDEMPOTENCY_KEY,
            _QUEUED_BY,
            Parameter(
                "Pd-First-Line",
                "The number of the first line, for files sent in several requests.",
                "header",
                schema={"type": "integer", "minimum": 1, "maximum": 10**15 - 1},
            ),
        ),
        refusals=(400, 415, 503),
    ),
}
