"""A request that falcon reads is answered as one that goes past it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.raw_http import Answer, RawConnection, head
from tests.pdagent.httpapi.sample_events import change, new_key, trigger, v1_trigger

V1 = "/generic/2010-04-15/create_event.json"
EVENTS = {
    "/send": trigger,
    "/v2/enqueue": trigger,
    "/v2/change/enqueue": change,
    V1: v1_trigger,
}
ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What makes falcon read a request: each says nothing about the event.
BY_FALCON = ({"query": "?a=b"}, {"query": "/"}, {"expect": "100-continue"})


def answer(
    agent: AgentProcess, path: str, body: bytes, query: str = "", **headers: object
) -> Answer:
    headers = {"Pd_Event_Version": "v2", "Content_Length": len(body), **headers}
    with RawConnection(agent) as connection:
        connection.send(head(agent, path + query, **headers), body)
        found = connection.answer()
    return found._replace(body=ID.sub(b"an id", found.body))


@pytest.mark.parametrize("way", BY_FALCON, ids=str)
@pytest.mark.parametrize("path", EVENTS)
def test_both_ways_answer_alike(agent: AgentProcess, path: str, way: Mapping[str, Any]) -> None:
    named = {} if path == "/v2/change/enqueue" else {"dedup_key": "d"}
    named = {"incident_key": "d"} if path == V1 else named
    event = EVENTS[path](new_key(), **named)
    body = json.dumps(event).encode()
    key = {"Idempotency_Key": new_key()}
    for what, headers in (
        (body, key),
        (body, key),
        (body.replace(b"4.2", b"4.3").replace(b"full", b"empty"), key),
        (body, {"Idempotency_Key": "x" * 256}),
        (b"{", {}),
        (b"{}", {"Content_Type": "text/html"}),
        (b"{}", {"Origin": "http://example.com"}),
        (b"{}", {"Pd_Agent_Id": "a,b,c,d,e,f,g,h"}),
        (body, {"Host": "elsewhere.example.com"}),
        (body.replace(b"Dep", b"\xe4"), {"Pd_Occurred_At": "never"}),
    ):
        past, read = (answer(agent, path, what, **{**headers, **each}) for each in ({}, way))
        assert past == read, (what, headers)
