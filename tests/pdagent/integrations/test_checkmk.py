"""Notifications of Checkmk, under the keys of its own plugin for PagerDuty."""

from __future__ import annotations

from typing import Any

import pytest

from pdagent.integrations.checkmk import microtime, v2_event, variables
from pdagent.integrations.event import Event, Nothing, Unusable
from tests.pdagent.integrations.checked import AT, checked

ENVIRONMENT = {
    "PATH": "/bin",
    "NOTIFY_WHAT": "SERVICE",
    "NOTIFY_NOTIFICATIONTYPE": "PROBLEM",
    "NOTIFY_HOSTNAME": "web1",
    "NOTIFY_HOSTADDRESS": "192.0.2.1",
    "NOTIFY_HOSTSTATE": "UP",
    "NOTIFY_HOSTURL": "/check_mk/host.py",
    "NOTIFY_SERVICEDESC": "CPU load",
    "NOTIFY_SERVICESTATE": "CRITICAL",
    "NOTIFY_SERVICEOUTPUT": "CRIT - load is 9",
    "NOTIFY_LONGSERVICEOUTPUT": r"a\nb",
    "NOTIFY_SERVICEURL": "/check_mk/service.py",
    "NOTIFY_NOTIFICATIONCOMMENT": "",
    "NOTIFY_CONTACTPAGER": "a-credential",
    "NOTIFY_PARAMETER_1": "a-credential",
    "NOTIFY_MICROTIME": "1785578400250000",
}
HOST = {
    **ENVIRONMENT,
    "NOTIFY_WHAT": "HOST",
    "NOTIFY_HOSTSTATE": "DOWN",
    "NOTIFY_HOSTOUTPUT": "no answer",
}


def body_of(event: Event | Nothing) -> dict[str, Any]:
    checked(event)
    assert isinstance(event, Event)
    return event.body


def test_an_alert_has_checkmks_key_its_output_and_a_link() -> None:
    event = v2_event(
        variables(ENVIRONMENT), occurred_at=AT, url_prefix="https://mon.example.com/site/"
    )
    assert body_of(event) == {
        "event_action": "trigger",
        "dedup_key": "CPUload/web1:192.0.2.1",
        "payload": {
            "summary": "CPU load on web1 is CRITICAL: CRIT - load is 9",
            "source": "web1",
            "severity": "critical",
            "timestamp": "2026-08-01T10:00:00.250Z",
            "component": "CPU load",
            "custom_details": {
                "WHAT": "SERVICE",
                "NOTIFICATIONTYPE": "PROBLEM",
                "HOSTNAME": "web1",
                "HOSTADDRESS": "192.0.2.1",
                "HOSTSTATE": "UP",
                "SERVICEDESC": "CPU load",
                "SERVICESTATE": "CRITICAL",
                "SERVICEOUTPUT": "CRIT - load is 9",
                "LONGSERVICEOUTPUT": "a\nb",
            },
        },
        "links": [{"href": "https://mon.example.com/site/check_mk/service.py", "text": "Checkmk"}],
        "client": "Checkmk",
    }


def test_a_host_has_a_key_without_a_service() -> None:
    body = body_of(v2_event(variables(HOST), occurred_at=AT))
    assert body["dedup_key"] == "web1:192.0.2.1"
    assert body["payload"]["summary"] == "web1 is DOWN: no answer"
    assert "component" not in body["payload"]
    assert "links" not in body


@pytest.mark.parametrize(
    ("notification_type", "well", "not_well"),
    [
        ("PROBLEM", "trigger", "trigger"),
        ("ACKNOWLEDGEMENT", "acknowledge", "acknowledge"),
        ("RECOVERY", "resolve", "resolve"),
        ("FLAPPINGSTART", "trigger", "trigger"),
        ("FLAPPINGSTOP", "resolve", "trigger"),
        ("DOWNTIMESTART", None, None),
        ("DOWNTIMEEND", "resolve", "trigger"),
        ("CUSTOM", None, "trigger"),
    ],
)
def test_the_type_and_the_state_decide_what_is_sent(
    notification_type: str, well: str | None, not_well: str | None
) -> None:
    for state, action in (("OK", well), ("CRITICAL", not_well)):
        given = {**variables(ENVIRONMENT), "NOTIFICATIONTYPE": notification_type}
        event = v2_event({**given, "SERVICESTATE": state}, occurred_at=AT)
        if action is None:
            assert isinstance(event, Nothing)
        else:
            assert checked(event).action == action


def test_the_time_of_the_notification_is_checkmks() -> None:
    assert microtime(variables(ENVIRONMENT)) == "1785578400.250000"
    assert microtime({}) is None
    assert microtime({"MICROTIME": "yesterday"}) is None


def test_without_checkmks_variables_there_is_no_event() -> None:
    with pytest.raises(Unusable, match="NOTIFY_HOSTNAME is missing"):
        v2_event(variables({"PATH": "/bin", "NOTIFY_HOSTNAME": " "}), occurred_at=AT)
