"""Events of Sensu Core and Sensu Go, against the formats of the old agents and our own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdagent.integrations.event import Event, Nothing, Unusable
from pdagent.integrations.sensu import parse, v1_event, v2_event
from tests.pdagent.integrations.checked import AT, checked

CORE: dict[str, Any] = {
    "id": "c6ad4f14",
    "client": {"name": "web1", "address": "127.0.0.1"},
    "check": {"name": "disk", "output": "DISK CRITICAL\n", "status": 2, "duration": 0.025},
    "action": "create",
    "silenced": False,
}
GO: dict[str, Any] = {
    "entity": {"metadata": {"name": "web1", "namespace": "default"}},
    "check": {
        "metadata": {"name": "disk"},
        "output": "DISK CRITICAL",
        "status": 2,
        "is_silenced": False,
    },
    "id": "e1",
}


def changed(document: dict[str, Any], **check: Any) -> dict[str, Any]:
    return {**document, "check": {**document["check"], **check}}


def body_of(event: Event | Nothing) -> dict[str, Any]:
    checked(event)
    assert isinstance(event, Event)
    return event.body


@pytest.mark.parametrize(
    ("action", "event_type"),
    [("create", "trigger"), ("resolve", "resolve"), ("flapping", "trigger")],
)
def test_pd_sensu_events_have_the_old_agents_form(action: str, event_type: str) -> None:
    document = {**CORE, "action": action}
    assert body_of(v1_event(document)) == {
        "event_type": event_type,
        "incident_key": "web1/disk",
        "description": "web1/disk : DISK CRITICAL\n",
        "details": document,
        "client": "Sensu",
        "agent": {"queued_by": "pd-sensu", "queued_at": "", "agent_id": ""},
    }


def test_the_key_is_the_given_one_or_the_names_or_the_id() -> None:
    nameless = {**CORE, "client": {}}
    for document, given, key in (
        (CORE, "mine", "mine"),
        (CORE, None, "web1/disk"),
        (CORE, "", "web1/disk"),
        (nameless, None, "c6ad4f14"),
        (GO, None, "web1/disk"),
    ):
        assert checked(v1_event(document, given)).dedup_key == key
        assert checked(v2_event(document, occurred_at=AT, dedup_key=given)).dedup_key == key


def test_pd_sensu_insists_on_an_action_and_ours_goes_by_the_status() -> None:
    document = {name: value for name, value in CORE.items() if name != "action"}
    with pytest.raises(Unusable, match="no 'action'"):
        v1_event(document)
    assert checked(v2_event(document, occurred_at=AT)).action == "trigger"
    assert checked(v2_event(changed(document, status=0), occurred_at=AT)).action == "resolve"


@pytest.mark.parametrize(
    ("status", "severity", "action"),
    [
        (0, "info", "resolve"),
        (1, "warning", "trigger"),
        (2, "critical", "trigger"),
        (3, "error", "trigger"),
        (127, "error", "trigger"),
    ],
)
def test_sensu_gos_document_is_known_and_its_status_decides(
    status: int, severity: str, action: str
) -> None:
    document = changed(GO, status=status)
    body = body_of(v2_event(document, occurred_at=AT))
    assert (body["event_action"], body["payload"]["severity"]) == (action, severity)
    assert body_of(v1_event(document))["event_type"] == action
    core = changed({**CORE, "action": "create"}, status=status)
    assert body_of(v2_event(core, occurred_at=AT))["payload"]["severity"] == severity


def test_a_silenced_check_of_sensu_go_triggers_nothing_but_resolves() -> None:
    for status, is_sent in ((2, False), (0, True)):
        document = changed(GO, status=status, is_silenced=True)
        assert isinstance(v2_event(document, occurred_at=AT), Event) is is_sent
        assert isinstance(v1_event(document), Event) is is_sent


@pytest.mark.parametrize("document", [CORE, GO])
def test_an_alert_has_the_output_and_the_whole_document(document: dict[str, Any]) -> None:
    event = v2_event(document, occurred_at=AT, links=({"href": "https://sensu.example.com"},))
    assert body_of(event) == {
        "event_action": "trigger",
        "dedup_key": "web1/disk",
        "payload": {
            "summary": "web1/disk : DISK CRITICAL",
            "source": "web1",
            "severity": "critical",
            "timestamp": "2026-08-01T10:00:00.250Z",
            "component": "disk",
            "custom_details": document,
        },
        "links": [{"href": "https://sensu.example.com"}],
        "client": "Sensu",
    }


def test_without_output_and_status_there_is_an_alert_with_a_warning() -> None:
    event = v2_event({**CORE, "check": {"name": "disk"}}, occurred_at=AT)
    assert body_of(event)["payload"]["summary"] == "web1/disk"
    assert event.warnings == ("check.status is missing: the severity is error",)  # type: ignore[union-attr]


@pytest.mark.parametrize("document", [{}, {"client": {"name": "a"}}, {"check": "disk"}, {"id": []}])
def test_without_anything_to_make_a_key_of_there_is_no_event(document: dict[str, Any]) -> None:
    for make in (v1_event, lambda document: v2_event(document, occurred_at=AT)):
        with pytest.raises(Unusable, match="no key"):
            make({**document, "action": "create"})


def test_a_document_is_read_in_utf_8_or_latin_1() -> None:
    document = {"check": {"output": "Größe"}}
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        assert parse(json.dumps(document, ensure_ascii=False).encode(encoding)) == document


def test_numbers_that_json_has_not_become_text() -> None:
    number = b"1" * 5000
    assert parse(b'{"a": NaN, "b": -Infinity, "c": ' + number + b"}") == {
        "a": "NaN",
        "b": "-Infinity",
        "c": number.decode(),
    }


@pytest.mark.parametrize("document", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_no_event(document: bytes) -> None:
    with pytest.raises(Unusable, match="no JSON object"):
        parse(document)
