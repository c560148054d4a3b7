"""What `run` says with the event of a job: its name, and by when the next success is expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from pdagent.config.values import LONGEST
from pdagent.events import AgentStamp, ParsedEvent, complete, parse
from pdagent.events.ids import new_event_id
from pdagent.occurrence import utc_timestamp
from pdagent.wording import duration
from store.records import EventId, Expectation, JobReport

PARAMETERS = ("job", "expect_every", "always_resolve")
"""Of `POST /send`, and of a spooled event."""

_LONGEST_NAME = 255


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """`job` is None if the event is no report. A mistake in the parameters costs no event."""

    job: JobReport | None = None
    only_if_open: bool = False
    warnings: tuple[str, ...] = ()


def reported(
    event: ParsedEvent, given: Mapping[str, str], *, at: float, stamp: AgentStamp
) -> Reported:
    """What the parameters `given` with a completed event mean.

    `at` is when the job ended, in seconds since 1970; `stamp` is that of the agent's own events.
    """
    name = given.get("job", "")[:_LONGEST_NAME].strip()
    if not name:
        return Reported()
    if event.kind != "v2" or event.action not in ("trigger", "resolve"):
        why = "job: ignored, only a trigger or resolve of version 2 reports the end of a job"
        return Reported(warnings=(why,))
    every, warnings = _seconds(given.get("expect_every", "never"))
    expected = None if every is None else _expectation(event, name, every, at, stamp)
    return Reported(
        job=JobReport(expected=expected),
        only_if_open=event.action == "resolve" and given.get("always_resolve") != "1",
        warnings=warnings,
    )


def _seconds(text: str) -> tuple[float | None, tuple[str, ...]]:
    if text == "never":
        return None, ()
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0 < seconds <= LONGEST:
        return seconds, ()
    why = f"expect_every: {text[:40]!r} is neither seconds up to {LONGEST:.0f} nor never: the job "
    return None, (f"{why}is NOT expected to report",)


def _expectation(
    event: ParsedEvent, name: str, every: float, at: float, stamp: AgentStamp
) -> Expectation:
    by, source = at + every, _source(event)
    details = {"job": name, "expected_every": duration(every)}
    details["last_success" if event.action == "resolve" else "last_report"] = utc_timestamp(at)
    alarm = {
        "routing_key": event.routing_key,
        "event_action": "trigger",
        "dedup_key": event.dedup_key,
        "payload": {
            "summary": f"{name} on {source}: no success reported within {duration(every)}",
            "source": source,
            "severity": "error",
            "timestamp": utc_timestamp(by),
            "custom_details": details,
        },
        "client": "pagerduty-agent run",
    }
    event_id = new_event_id()
    parsed = parse("v2", msgspec.json.encode(alarm))
    whole = complete(parsed, event_id=event_id, accepted_at=by, agent=stamp)
    return Expectation(by=by, event=EventId(event_id), body=whole.body)


class _Payload(msgspec.Struct):
    source: str = ""


class _Event(msgspec.Struct):
    payload: _Payload | None = None


def _source(event: ParsedEvent) -> str:
    """The host that the event names; without one, the alert has to do."""
    try:
        payload = msgspec.json.decode(event.body, type=_Event).payload
    except msgspec.MsgspecError:
        payload = None
    return payload.source if payload is not None and payload.source.strip() else event.dedup_key


def parameters_of(parameter: Callable[[str], str | None]) -> dict[str, str]:
    """The parameters of a request, by what gives the value of one or None."""
    found = {name: parameter(name) for name in PARAMETERS}
    return {name: value for name, value in found.items() if value is not None}
