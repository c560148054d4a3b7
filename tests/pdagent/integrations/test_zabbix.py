"""Alerts of Zabbix, against the formats of the old agents and our own."""

from __future__ import annotations

from typing import Any

import pytest

from pdagent.integrations.event import Event, Unusable
from pdagent.integrations.zabbix import parse_body, v1_event, v2_event
from tests.pdagent.integrations.checked import AT, checked

BODY = """name:Zabbix server: just restarted
id:13502
status:PROBLEM
hostname:Zabbix server
severity:High"""
FIELDS = {
    "name": "Zabbix server: just restarted",
    "id": "13502",
    "status": "PROBLEM",
    "hostname": "Zabbix server",
    "severity": "High",
}
CANCELLED = " Escalation cancelled: host 'web1' disabled."


def body_of(event: Event) -> dict[str, Any]:
    checked(event)
    return event.body


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (BODY, FIELDS),
        ("  a:1 \r\n\tb : 2\n", {"a": "1", "b ": " 2"}),
        ("a:one\ntwo\n\nthree:3", {"a": "onetwo", "three": "3"}),
        ("nothing\na:1", {"nothing": "nothing", "a": "1"}),
        ("a:1\na:2", {"a": "2"}),
    ],
)
def test_a_body_is_read_as_the_old_agents_read_it(body: str, fields: dict[str, str]) -> None:
    assert parse_body(body) == fields


@pytest.mark.parametrize("event_type", ["trigger", "acknowledge", "resolve"])
def test_pd_zabbix_events_have_the_old_agents_form(event_type: str) -> None:
    old = {
        "event_type": event_type,
        "incident_key": "13502-Zabbix server",
        "description": "Zabbix server: just restarted : PROBLEM for Zabbix server",
        "details": FIELDS,
        "agent": {"queued_by": "pd-zabbix", "queued_at": "", "agent_id": ""},
    }
    assert body_of(v1_event(event_type, FIELDS)) == old
    with_url = {**FIELDS, "url": "https://zabbix.example.com/1"}
    assert body_of(v1_event(event_type, with_url)) == {
        **old,
        "details": with_url,
        "client": "Zabbix",
        "client_url": "https://zabbix.example.com/1",
    }


def test_an_incident_key_in_the_body_is_used_unless_it_is_empty() -> None:
    for given, key in (("mine", "mine"), ("", "13502-Zabbix server")):
        fields = {**FIELDS, "incident_key": given}
        assert checked(v1_event("trigger", fields)).dedup_key == key
        assert checked(v2_event("trigger", fields, occurred_at=AT)).dedup_key == key
    alone = {name: value for name, value in FIELDS.items() if name != "id"}
    assert checked(v1_event("trigger", {**alone, "incident_key": "a"})).dedup_key == "a"
    assert checked(v2_event("trigger", FIELDS, occurred_at=AT, dedup_key="b")).dedup_key == "b"


def test_a_cancelled_escalation_resolves_and_its_note_says_so() -> None:
    fields = {**FIELDS, "NOTE": CANCELLED}
    note = f"{CANCELLED} (converted from trigger to resolve by pdagent integration)"
    old = body_of(v1_event("trigger", fields))
    assert (old["event_type"], old["details"]["NOTE"]) == ("resolve", note)
    new = body_of(v2_event("trigger", fields, occurred_at=AT))
    assert (new["event_action"], new["payload"]["custom_details"]["NOTE"]) == ("resolve", note)
    assert body_of(v1_event("acknowledge", fields))["event_type"] == "acknowledge"


@pytest.mark.parametrize("missing", ["name", "status", "hostname", "id"])
def test_pd_zabbix_insists_on_its_fields(missing: str) -> None:
    rest = {name: value for name, value in FIELDS.items() if name != missing}
    with pytest.raises(Unusable, match=f"'{missing}:...'"):
        v1_event("trigger", rest)


@pytest.mark.parametrize(
    ("number", "name", "severity"),
    [
        ("0", "Not classified", "info"),
        ("1", "Information", "info"),
        ("2", "Warning", "warning"),
        ("3", "Average", "warning"),
        ("4", "High", "error"),
        ("5", "Disaster", "critical"),
    ],
)
def test_zabbix_severity_becomes_pagerdutys(number: str, name: str, severity: str) -> None:
    for given in (number, name, f" {name.lower()}"):
        event = v2_event("trigger", {**FIELDS, "severity": given}, occurred_at=AT)
        assert body_of(event)["payload"]["severity"] == severity
        assert event.warnings == ()


def test_an_alert_has_the_trigger_its_address_and_the_time() -> None:
    fields = {**FIELDS, "url": "https://zabbix.example.com/1"}
    assert body_of(v2_event("trigger", fields, occurred_at=AT)) == {
        "event_action": "trigger",
        "dedup_key": "13502-Zabbix server",
        "payload": {
            "summary": "Zabbix server: just restarted : PROBLEM for Zabbix server",
            "source": "Zabbix server",
            "severity": "error",
            "timestamp": "2026-08-01T10:00:00.250Z",
            "custom_details": fields,
        },
        "client": "Zabbix",
        "client_url": "https://zabbix.example.com/1",
    }


def test_what_is_missing_or_wrong_is_left_out_with_a_warning() -> None:
    event = v2_event("PROBLEM", {"id": "1", "hostname": "h", "url": "{URL}"}, occurred_at=AT)
    assert "client_url" not in body_of(event)
    assert event.warnings == (
        "'PROBLEM' is none of trigger, acknowledge, resolve: the status decides",
        "severity '' is none of Zabbix: it is error",
        "url: '{URL}' is left out: it is no http address",
    )


@pytest.mark.parametrize(("status", "action"), [("OK", "resolve"), ("PROBLEM", "trigger")])
def test_the_status_decides_where_the_type_is_unknown(status: str, action: str) -> None:
    event = v2_event("", {**FIELDS, "status": status}, occurred_at=AT)
    assert checked(event).action == action


def test_without_anything_to_make_a_key_of_there_is_no_event() -> None:
    with pytest.raises(Unusable, match="no key"):
        v2_event("trigger", {"hostname": "h"}, occurred_at=AT)
