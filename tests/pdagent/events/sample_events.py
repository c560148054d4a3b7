"""Events to start from: minimal ones, and the examples of PagerDuty's documentation."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pdagent.events import (
    AgentStamp,
    EventKind,
    InvalidEvent,
    ParsedEvent,
)
from pdagent.events import (
    parse as parse_body,
)

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
EVENT_ID = "0198f3a2-7c11-7d3e-9a55-3f1c2b6d8e90"
ACCEPTED_AT = 1_785_578_400.25  # 2026-08-01T10:00:00.250Z
AGENT = AgentStamp(agent_id="agent-1", queued_by="pdagent")

Event = dict[str, Any]

V2_TRIGGER: Event = {
    "routing_key": KEY,
    "event_action": "trigger",
    "payload": {"summary": "Disk full", "source": "db1", "severity": "error"},
}
V2_RESOLVE: Event = {"routing_key": KEY, "event_action": "resolve", "dedup_key": "db1/disk"}
V1_TRIGGER: Event = {"service_key": KEY, "event_type": "trigger", "description": "Disk full"}
V1_RESOLVE: Event = {"service_key": KEY, "event_type": "resolve", "incident_key": "db1/disk"}
CHANGE: Event = {"routing_key": KEY, "payload": {"summary": "Deployed 2.1"}}

DOCUMENTED_TRIGGER: Event = {
    "payload": {
        "summary": "DISK at 99% on machine prod-datapipe03.example.com",
        "timestamp": "2015-07-17T08:42:58.315+0000",
        "severity": "critical",
        "source": "prod-datapipe03.example.com",
        "component": "mysql",
        "group": "prod-datapipe",
        "class": "disk",
        "custom_details": {"free space": "1%", "ping time": "1500ms", "load avg": 0.75},
    },
    "routing_key": "samplekeyhere0000000000000000000",
    "dedup_key": "samplekeyhere",
    "images": [
        {
            "src": "https://www.pagerduty.com/wp-content/uploads/2016/05/pagerduty-logo-green.png",
            "href": "https://example.com/",
            "alt": "Example text",
        }
    ],
    "links": [{"href": "https://example.com/", "text": "Link text"}],
    "event_action": "trigger",
    "client": "Sample Monitoring Service",
    "client_url": "https://monitoring.example.com",
}
DOCUMENTED_ACKNOWLEDGE: Event = {
    "routing_key": "samplekeyhere0000000000000000000",
    "dedup_key": "samplekeyhere",
    "event_action": "acknowledge",
}
DOCUMENTED_CHANGE: Event = {
    "routing_key": "samplekeyhere0000000000000000000",
    "payload": {
        "summary": "Build Success - Increase snapshot create timeout to 30 seconds",
        "timestamp": "2020-07-17T08:42:58.315+0000",
        "source": "acme-build-pipeline-tool-default-i-9999",
        "custom_details": {"build_state": "passed", "build_number": "2", "run_time": "1236s"},
    },
    "links": [{"href": "https://acme.pagerduty.dev/build/2", "text": "View more details in Acme!"}],
}
DOCUMENTED_V1_TRIGGER: Event = {
    "service_key": "e93facc04764012d7bfb002500d5d1a6",
    "event_type": "trigger",
    "incident_key": "srv01/HTTP",
    "description": "FAILURE for production/HTTP on machine srv01.acme.com",
    "client": "Sample Monitoring Service",
    "client_url": "https://monitoring.service.com",
    "details": {"ping time": "1500ms", "load avg": 0.75},
    "contexts": [
        {"type": "link", "href": "http://acme.pagerduty.com"},
        {"type": "link", "href": "http://acme.pagerduty.com", "text": "View the incident"},
        {"type": "image", "src": "https://chart.googleapis.com/chart?chs=600x400&chd=t:6,2"},
        {"type": "image", "src": "https://chart.googleapis.com/x", "href": "https://google.com"},
    ],
}


def changed(event: Event, path: str, value: object) -> Event:
    """Return a copy of `event` with one value set; `path` is like `payload.severity`."""
    copied = copy.deepcopy(event)
    *outer, name = path.split(".")
    owner = copied
    for step in outer:
        owner = owner[step]
    owner[name] = value
    return copied


def without(event: Event, path: str) -> Event:
    """Return a copy of `event` without one member."""
    copied = copy.deepcopy(event)
    *outer, name = path.split(".")
    owner = copied
    for step in outer:
        owner = owner[step]
    del owner[name]
    return copied


def raw(event: object) -> bytes:
    """Write an event as Python's clients do."""
    return json.dumps(event).encode()


def parse(kind: EventKind, event: object) -> ParsedEvent:
    """Parse an event given as a Python value."""
    return parse_body(kind, raw(event))


def errors_of(kind: EventKind, body: bytes | Event) -> tuple[str, ...]:
    """Return what is wrong with an event that must be refused."""
    with pytest.raises(InvalidEvent) as refused:
        parse_body(kind, body if isinstance(body, bytes) else raw(body))
    return refused.value.errors
