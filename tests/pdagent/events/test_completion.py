"""What the agent adds at acceptance."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pdagent.events import (
    MAX_EVENT_BYTES,
    EventKind,
    ParsedEvent,
    complete,
    summary_of,
    with_routing_key,
)
from pdagent.events import parse as parse_body
from tests.pdagent.events.sample_events import (
    ACCEPTED_AT,
    AGENT,
    CHANGE,
    EVENT_ID,
    KEY,
    V1_RESOLVE,
    V1_TRIGGER,
    V2_RESOLVE,
    V2_TRIGGER,
    Event,
    changed,
    parse,
)

TIME = "2026-08-01T10:00:00.250Z"
STAMP = {"queued_by": "pdagent", "queued_at": TIME, "agent_id": "agent-1"}


def completed(kind: EventKind, event: Event) -> ParsedEvent:
    """Parse and complete `event`."""
    return complete(parse(kind, event), event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT)


def added(kind: EventKind, event: Event) -> dict[str, Any]:
    """Complete `event`; return what it has then that it had not, or had differently."""
    body = json.loads(completed(kind, event).body)
    return {name: value for name, value in body.items() if value != event.get(name, ...) and value}


def test_a_trigger_without_a_dedup_key_gets_the_event_id() -> None:
    for kind, event, name in (
        ("v2", V2_TRIGGER, "dedup_key"),
        ("v1", V1_TRIGGER, "incident_key"),
    ):
        done = completed(kind, event)  # type: ignore[arg-type]
        assert done.dedup_key == EVENT_ID
        assert json.loads(done.body)[name] == EVENT_ID


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_dedup_key_is_filled_in_its_place(nothing: object) -> None:
    event = {"dedup_key": nothing, **V2_TRIGGER}
    body = json.loads(completed("v2", event).body)
    assert next(iter(body)) == "dedup_key"
    assert body["dedup_key"] == EVENT_ID


def test_a_given_dedup_key_stays() -> None:
    assert completed("v2", {**V2_TRIGGER, "dedup_key": "mine"}).dedup_key == "mine"
    assert "dedup_key" not in added("v2", {**V2_TRIGGER, "dedup_key": "mine"})
    assert completed("v1", {**V1_TRIGGER, "incident_key": "mine"}).dedup_key == "mine"


def test_a_trigger_without_a_timestamp_gets_the_time_of_acceptance_last() -> None:
    payload = json.loads(completed("v2", V2_TRIGGER).body)["payload"]
    assert payload == {**V2_TRIGGER["payload"], "timestamp": TIME}
    assert list(payload)[-1] == "timestamp"


def test_a_change_event_gets_a_timestamp_and_nothing_else() -> None:
    assert added("change", CHANGE) == {"payload": {**CHANGE["payload"], "timestamp": TIME}}
    assert completed("change", CHANGE).dedup_key == ""


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_timestamp_is_filled_in_its_place(nothing: object) -> None:
    event = changed(V2_TRIGGER, "payload", {"timestamp": nothing, **V2_TRIGGER["payload"]})
    payload = json.loads(completed("v2", event).body)["payload"]
    assert next(iter(payload.items())) == ("timestamp", TIME)


def test_a_given_timestamp_stays() -> None:
    event = changed(V2_TRIGGER, "payload.timestamp", "2015-07-17T08:42:58.315+0000")
    assert "payload" not in added("v2", event)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_a_follow_up_with_a_payload_tells_its_own_time_too(action: str) -> None:
    payload = {**V2_TRIGGER["payload"], "summary": "over"}
    event = {**V2_RESOLVE, "event_action": action, "payload": payload}
    assert added("v2", event) == {"payload": {**payload, "timestamp": TIME}}


def test_a_resolve_that_says_nothing_gets_nothing() -> None:
    event = {**V2_RESOLVE, "payload": None}
    assert json.loads(completed("v2", event).body) == {**event, "routing_key": ""}
    assert added("v2", V2_RESOLVE) == {}


@pytest.mark.parametrize("event", [V1_TRIGGER, V1_RESOLVE, {**V1_RESOLVE, "agent": None}])
def test_v1_events_say_who_queued_them(event: Event) -> None:
    assert added("v1", event)["agent"] == STAMP


@pytest.mark.parametrize("agent", [{}, {"queued_by": "pd-zabbix"}, "pd-zabbix", ["a"]])
def test_an_agent_object_of_the_client_stays(agent: object) -> None:
    assert json.loads(completed("v1", {**V1_TRIGGER, "agent": agent}).body)["agent"] == agent


def test_what_go_pdagents_client_leaves_empty_in_its_agent_object_is_filled_in() -> None:
    agent = {"queued_by": "pd-nagios", "queued_at": "", "agent_id": None, "more": ""}
    done = json.loads(completed("v1", {**V1_TRIGGER, "agent": agent}).body)["agent"]
    assert list(done.items()) == list({**STAMP, "queued_by": "pd-nagios", "more": ""}.items())


@pytest.mark.parametrize(
    ("kind", "event"),
    [("v1", V1_TRIGGER), ("v1", V1_RESOLVE), ("v2", V2_TRIGGER), ("change", CHANGE)],
)
def test_completing_twice_changes_nothing(kind: EventKind, event: Event) -> None:
    once = completed(kind, event)
    assert complete(once, event_id="other", accepted_at=0.0, agent=AGENT) == once


def test_completion_keeps_key_kind_action_and_warnings() -> None:
    event = parse("v2", changed(V2_TRIGGER, "payload.summary", "x" * 1025))
    done = complete(event, event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT)
    assert (done.kind, done.action, done.routing_key) == ("v2", "trigger", KEY)
    assert done.warnings == event.warnings != ()


@pytest.mark.parametrize(
    ("kind", "event"),
    [("v1", V1_TRIGGER), ("v2", {"a": 1, **V2_TRIGGER, "b": 2}), ("change", CHANGE)],
)
def test_the_key_comes_back_in_its_place(kind: EventKind, event: Event) -> None:
    body = with_routing_key(kind, parse(kind, event).body, KEY)
    assert json.loads(body) == event
    assert list(json.loads(body)) == list(event)


def test_a_routing_key_inside_the_event_is_not_mistaken_for_the_key() -> None:
    event = {"custom": {"routing_key": ""}, **V2_TRIGGER}
    assert json.loads(with_routing_key("v2", parse("v2", event).body, KEY)) == event


def test_a_body_that_is_no_object_takes_no_key() -> None:
    with pytest.raises(msgspec.DecodeError):
        with_routing_key("v2", b"[]", KEY)


@pytest.mark.parametrize(
    ("kind", "event", "summary"),
    [
        ("v2", V2_TRIGGER, "Disk full"),
        ("v2", V2_RESOLVE, ""),
        ("v2", {**V2_RESOLVE, "payload": None}, ""),
        ("v2", changed(V2_TRIGGER, "payload.summary", 5), "5"),
        ("v1", {**V1_RESOLVE, "description": [1]}, "[1]"),
        ("change", CHANGE, "Deployed 2.1"),
        ("v1", V1_TRIGGER, "Disk full"),
        ("v1", V1_RESOLVE, ""),
        ("v1", {**V1_RESOLVE, "payload": {"summary": "no"}}, ""),
        ("v1", {**V1_RESOLVE, "payload": 5}, ""),
        ("v2", {**V2_TRIGGER, "description": 5}, "Disk full"),
    ],
)
def test_the_summary_is_what_the_event_says_for_people(
    kind: EventKind, event: Event, summary: str
) -> None:
    assert summary_of(kind, parse(kind, event).body) == summary


def test_the_members_of_the_outer_object_are_written_without_white_space() -> None:
    assert (
        parse_body(
            "v2",
            b'{ "routing_key" : "%s", "event_action":\n"resolve", "dedup_key": "x", "n": [ 1 ] }'
            % KEY.encode(),
        ).body
        == b'{"routing_key":"","event_action":"resolve","dedup_key":"x","n":[ 1 ]}'
    )


def filled(event: Event, path: str) -> bytes:
    """An event of exactly the permitted size, by the text at `path`."""
    bare = json.dumps(changed(event, path, ""))
    return json.dumps(changed(event, path, "x" * (MAX_EVENT_BYTES - len(bare)))).encode()


@pytest.mark.parametrize(
    ("kind", "event", "lost"),
    [
        ("v2", V2_TRIGGER, "payload.custom_details"),
        ("change", CHANGE, "payload.custom_details"),
        ("v1", V1_TRIGGER, "details"),
    ],
)
def test_an_event_that_grows_over_the_limit_loses_its_details(
    kind: EventKind, event: Event, lost: str
) -> None:
    parsed = parse_body(kind, filled(event, lost))
    done = complete(parsed, event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT)
    sent = with_routing_key(kind, done.body, KEY)
    assert len(sent) < 10_000
    left_out = "left out, PagerDuty takes events of at most 512,000 bytes"
    assert done.warnings == (f"{lost}: {left_out}",)
    again = parse_body(kind, sent)
    assert (again.body, again.warnings, again.dedup_key) == (done.body, (), done.dedup_key)


def test_an_event_without_details_is_left_as_it_is_whatever_its_size() -> None:
    parsed = parse_body("v2", filled(V2_TRIGGER, "payload.source"))
    done = complete(parsed, event_id=EVENT_ID, accepted_at=ACCEPTED_AT, agent=AGENT)
    assert done.warnings == ()
    assert (
        json.loads(done.body)["payload"]["source"] == json.loads(parsed.body)["payload"]["source"]
    )


def test_an_event_that_just_fits_after_completion_loses_nothing() -> None:
    def warnings(size: int) -> tuple[str, ...]:
        event = changed(V2_TRIGGER, "payload.custom_details", "x" * size)
        return completed("v2", event).warnings

    bare = completed("v2", changed(V2_TRIGGER, "payload.custom_details", ""))
    most = MAX_EVENT_BYTES - len(with_routing_key("v2", bare.body, KEY))
    assert warnings(most) == ()
    assert len(warnings(most + 1)) == 1
