"""Notifications of Nagios and Icinga 2, against the formats of the old agents and our own."""

from __future__ import annotations

import pytest

from pdagent.integrations.event import Event, Nothing, Unusable
from pdagent.integrations.nagios import v1_event, v2_event
from tests.pdagent.integrations.checked import AT, checked

SERVICE = {"HOSTNAME": "web1", "SERVICEDESC": "Disk /=", "SERVICESTATE": "CRITICAL"}
HOST = {"HOSTNAME": "web1", "HOSTSTATE": "DOWN"}
SERVICE_KEY = "event_source=service;host_name=web1;service_desc=Disk /="
HOST_KEY = "event_source=host;host_name=web1"


def body_of(event: Event | Nothing) -> dict[str, object]:
    checked(event)
    assert isinstance(event, Event)
    return event.body


@pytest.mark.parametrize(
    ("notification_type", "action"),
    [("PROBLEM", "trigger"), ("ACKNOWLEDGEMENT", "acknowledge"), ("RECOVERY", "resolve")],
)
def test_pd_nagios_events_have_the_old_agents_form(notification_type: str, action: str) -> None:
    agent = {"queued_by": "pd-nagios", "queued_at": "", "agent_id": ""}
    assert body_of(v1_event("service", notification_type, {**SERVICE, "MORE": "x"})) == {
        "event_type": action,
        "incident_key": SERVICE_KEY,
        "description": "SERVICEDESC=Disk /=; SERVICESTATE=CRITICAL; HOSTNAME=web1",
        "details": {**SERVICE, "MORE": "x", "pd_nagios_object": "service"},
        "agent": agent,
    }
    assert body_of(v1_event("host", notification_type, HOST)) == {
        "event_type": action,
        "incident_key": HOST_KEY,
        "description": "HOSTNAME=web1; HOSTSTATE=DOWN",
        "details": {**HOST, "pd_nagios_object": "host"},
        "agent": agent,
    }


def test_go_pdagent_begins_the_description_with_the_host() -> None:
    body = body_of(v1_event("service", "PROBLEM", SERVICE, host_first=True))
    assert body["description"] == "HOSTNAME=web1; SERVICEDESC=Disk /=; SERVICESTATE=CRITICAL"


def test_a_given_incident_key_is_used() -> None:
    assert body_of(v1_event("host", "PROBLEM", HOST, "mine"))["incident_key"] == "mine"
    assert body_of(v1_event("host", "PROBLEM", HOST, ""))["incident_key"] == HOST_KEY
    event = v2_event("PROBLEM", HOST, occurred_at=AT, dedup_key="mine")
    assert body_of(event)["dedup_key"] == "mine"


@pytest.mark.parametrize(("about", "fields"), [("service", SERVICE), ("host", HOST)])
def test_the_old_programs_insist_on_their_fields(about: str, fields: dict[str, str]) -> None:
    for name in fields:
        rest = {other: value for other, value in fields.items() if other != name}
        with pytest.raises(Unusable, match=f"-f {name}=... is missing"):
            v1_event(about, "PROBLEM", rest)


# Nagios' and Icinga's types: what becomes of them while all is well, and while it is not.
TYPES = [
    ("PROBLEM", "trigger", "trigger"),
    ("ACKNOWLEDGEMENT", "acknowledge", "acknowledge"),
    ("RECOVERY", "resolve", "resolve"),
    *(
        (name, "resolve", "trigger")
        for name in (
            *("FLAPPINGSTOP", "FLAPPINGEND", "FLAPPINGDISABLED"),
            *("DOWNTIMEEND", "DOWNTIMECANCELLED", "DOWNTIMEREMOVED"),
        )
    ),
    ("FLAPPINGSTART", None, "trigger"),
    ("CUSTOM", None, "trigger"),
    ("DOWNTIMESTART", None, None),
    ("SOMETHING NEW", "resolve", "trigger"),
]


@pytest.mark.parametrize(("notification_type", "well", "not_well"), TYPES)
def test_the_type_and_the_state_decide_what_is_sent(
    notification_type: str, well: str | None, not_well: str | None
) -> None:
    for state, action in (("OK", well), ("CRITICAL", not_well), ("UP", well), ("", not_well)):
        fields = {**SERVICE, "SERVICESTATE": state}
        found = [v2_event(notification_type, fields, occurred_at=AT)]
        found.append(v1_event("service", notification_type, fields))
        for event in found:
            assert (checked(event).action if action else event) == (
                action or Nothing(f"Nothing to send: {notification_type} needs no event.")
            )


@pytest.mark.parametrize(
    ("state", "severity"),
    [
        ("CRITICAL", "critical"),
        ("DOWN", "critical"),
        ("WARNING", "warning"),
        ("UNKNOWN", "error"),
        ("UNREACHABLE", "error"),
        ("OK", "info"),
        ("UP", "info"),
        ("critical", "critical"),
    ],
)
def test_the_state_becomes_the_severity(state: str, severity: str) -> None:
    event = v2_event("PROBLEM", {**SERVICE, "SERVICESTATE": state}, occurred_at=AT)
    assert body_of(event)["payload"]["severity"] == severity  # type: ignore[index]
    assert event.warnings == ()  # type: ignore[union-attr]


def test_an_alert_has_output_notes_and_time() -> None:
    fields = {
        **SERVICE,
        "SERVICEOUTPUT": "DISK CRITICAL\nsecond line",
        "LONGSERVICEOUTPUT": r"a\nb",
        "SERVICENOTESURL": "https://wiki.example.com/disk",
        "NOTIFICATIONAUTHOR": "",
        "NOTIFICATIONCOMMENT": "$NOTIFICATIONCOMMENT$",
    }
    link = {"href": "https://mon.example.com"}
    assert body_of(v2_event("PROBLEM", fields, occurred_at=AT, links=(link,))) == {
        "event_action": "trigger",
        "dedup_key": SERVICE_KEY,
        "payload": {
            "summary": "Disk /= on web1 is CRITICAL: DISK CRITICAL",
            "source": "web1",
            "severity": "critical",
            "timestamp": "2026-08-01T10:00:00.250Z",
            "component": "Disk /=",
            "custom_details": {
                **SERVICE,
                "SERVICEOUTPUT": "DISK CRITICAL\nsecond line",
                "LONGSERVICEOUTPUT": "a\nb",
                "SERVICENOTESURL": "https://wiki.example.com/disk",
            },
        },
        "links": [link, {"href": "https://wiki.example.com/disk", "text": "Notes"}],
    }


def test_old_and_new_events_of_an_object_have_the_same_key() -> None:
    for about, fields in (("service", SERVICE), ("host", HOST)):
        for notification_type in ("PROBLEM", "ACKNOWLEDGEMENT", "RECOVERY"):
            old = checked(v1_event(about, notification_type, fields)).dedup_key
            assert checked(v2_event(notification_type, fields, occurred_at=AT)).dedup_key == old


def test_a_long_key_is_shortened_alike_for_all_events_of_its_incident() -> None:
    keys = set()
    for notification_type in ("PROBLEM", "ACKNOWLEDGEMENT", "RECOVERY"):
        for end in ("a", "b"):
            fields = {**SERVICE, "SERVICEDESC": "x" * 300 + end}
            keys.add(checked(v2_event(notification_type, fields, occurred_at=AT)).dedup_key)
            keys.add(checked(v1_event("service", notification_type, fields)).dedup_key)
    assert len(keys) == 2
    assert {len(key) for key in keys} == {255}


def test_what_is_missing_or_wrong_is_left_out_with_a_warning() -> None:
    fields = {"HOSTNAME": "web1", "HOSTNOTESURL": "see the wiki", "HOSTSTATE": "$HOSTSTATE$"}
    event = v2_event("PROBLEM", fields, occurred_at=AT)
    body = body_of(event)
    assert "links" not in body
    assert body["payload"]["summary"] == "web1 is in an unknown state"  # type: ignore[index]
    assert event.warnings == (  # type: ignore[union-attr]
        "state '' is none of a host: the severity is error",
        "notes 'see the wiki' are left out: they are no http address",
    )


@pytest.mark.parametrize("host", ["", " ", "$HOSTNAME$", "$"])
def test_without_a_host_there_is_no_event(host: str) -> None:
    with pytest.raises(Unusable, match="--host is missing"):
        v2_event("PROBLEM", {**SERVICE, "HOSTNAME": host}, occurred_at=AT)
