"""Answers that are not PagerDuty's word: the event is kept and tried again."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.system.numbered_events import key_number, trigger

PAGE = b"<html><head><title>Sign in</title></head><body>Please log in</body></html>"
SUCCESS = b'{"status":"success","message":"Event processed"}'
REFUSAL = b'{"status":"invalid event","message":"no","errors":["bad"]}'

ANSWERS: list[tuple[int, bytes]] = [
    *((status, PAGE) for status in (200, 202, 302, 401, 403, 404, 407, 451, 511)),
    *((status, b"") for status in (200, 400, 408, 410, 413, 421, 425, 426, 431, 499, 503)),
    (204, b""),
    (200, REFUSAL),
    (202, REFUSAL),
]


class Portal:
    """Answers each key as `answers` says, all others as PagerDuty does."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []
        portal = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = event.get("routing_key") or event.get("service_key")
                usual = (200 if "service_key" in event else 202, SUCCESS, {})
                status, body, headers = portal.answers.get(key, portal.answers.get("", usual))
                portal.asked.append(key)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(b"" if status == 204 else body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def portal() -> Iterator[Portal]:
    portal = Portal()
    thread = threading.Thread(target=portal.server.serve_forever)
    thread.start()
    yield portal
    portal.server.shutdown()
    thread.join()
    portal.server.server_close()


def test_what_is_not_pagerdutys_word_ends_no_event(portal: Portal, tmp_path: Path) -> None:
    """Cases 05, 06, 07: an answer for each key; one of them, PagerDuty's own 404, is a refusal."""
    keys = [key_number(number) for number in range(len(ANSWERS) + 2)]
    for key, (status, body) in zip(keys, ANSWERS, strict=False):
        portal.answers[key] = status, body, {}
    portal.answers[keys[-2]] = 404, REFUSAL, {}
    with AgentProcess(tmp_path, portal.url) as agent:
        for key in keys:
            agent.send_v2(trigger(key, 0)).raise_for_status()
        agent.wait_for(lambda: set(portal.asked) == set(keys), "a try of each")
        agent.wait_for(lambda: len(portal.asked) > len(keys) + 1, "retries")

        def ended() -> tuple[int, int]:
            totals = agent.totals()
            return totals["delivered"], totals["dead_lettered"]

        agent.wait_for(lambda: ended() == (1, 1), "the refusal, and what PagerDuty accepts")
        assert agent.totals()["waiting"] == len(ANSWERS)
        (queue,) = agent.get(f"/queue/status?rk={keys[0]}").json()["status_items"]
        assert queue["last_error"] == (
            "not_understood: HTTP 200: not PagerDuty: HTML page 'Sign in'"
        )


def test_a_v1_event_is_not_delivered_by_a_page_nor_by_another_code(
    portal: Portal, tmp_path: Path
) -> None:
    keys = [f"{number:032x}" for number in range(1, 4)]
    portal.answers = {keys[0]: (200, PAGE, {}), keys[1]: (202, SUCCESS, {})}
    with AgentProcess(tmp_path, portal.url) as agent:
        for key in keys:
            event = {"service_key": key, "event_type": "trigger", "description": "disk full"}
            agent.send_v1(event).raise_for_status()
        agent.wait_for(lambda: all(portal.asked.count(key) > 1 for key in keys[:2]), "retries")
        totals = agent.totals()
        assert (totals["delivered"], totals["dead_lettered"], totals["waiting"]) == (1, 0, 2)


def test_a_failing_pagerduty_is_shown_everywhere_and_its_end_as_well(
    portal: Portal, tmp_path: Path
) -> None:
    portal.answers[""] = 200, PAGE, {}
    with AgentProcess(tmp_path, portal.url) as agent:
        for number in range(6):
            agent.send_v2(trigger(key_number(number), 0)).raise_for_status()
        agent.wait_for(lambda: agent.status()["pagerduty"]["state"] == "failing", "it is noticed")
        said = "not PagerDuty: HTML page 'Sign in'"
        pagerduty = agent.status()["pagerduty"]
        assert said in pagerduty["last_error"]
        health = agent.get("/health")
        assert health.status_code == 200
        assert health.text == (
            f"OK\nPagerDuty is failing since {pagerduty['since']}: HTTP 200: {said}"
        )
        metrics = agent.get("/metrics").text
        assert "pdagent_breaker_open 1.0" in metrics
        assert "pdagent_failing_seconds 0.0\n" not in metrics
        assert "pdagent_unreachable_seconds 0.0" in metrics
        agent.wait_for(
            lambda: f"accepts no event (HTTP 200: {said})" in agent.log(), "it is logged"
        )
        portal.answers.clear()
        agent.wait_for(lambda: agent.totals()["delivered"], "the first delivery")
        agent.wait_until_drained()
        assert agent.status()["pagerduty"]["state"] == "reachable"
        assert agent.get("/health").text == "OK"
        agent.wait_for(lambda: "PagerDuty accepts events again" in agent.log(), "its end is logged")


def test_retry_after_of_a_503_is_honoured(portal: Portal, tmp_path: Path) -> None:
    """Case 08: no try before an hour, while other keys go on."""
    key, other = key_number(1), key_number(2)
    portal.answers[key] = 503, b"", {"Retry-After": "3600"}
    with AgentProcess(tmp_path, portal.url) as agent:
        agent.send_v2(trigger(key, 0)).raise_for_status()
        agent.wait_for(lambda: key in portal.asked, "the first try")
        for number in range(5):
            agent.send_v2(trigger(other, number)).raise_for_status()
        agent.wait_for(lambda: portal.asked.count(other) == 5, "the other key's events")
        assert portal.asked.count(key) == 1
        (queue,) = agent.get(f"/queue/status?rk={key}").json()["status_items"]
        assert queue["next_attempt_at"] is not None
        assert queue["deferred_because"] == "server_error"


def test_the_limits_of_giving_up_are_settings(portal: Portal, tmp_path: Path) -> None:
    portal.answers[key_number(1)] = 500, b"", {}
    with AgentProcess(tmp_path, portal.url, max_attempts=1, give_up_after="1s") as agent:
        agent.send_v2(trigger(key_number(1), 0)).raise_for_status()
        agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "it is given up")
        (event,) = agent.get("/queue/events?state=dead_lettered").json()["events"]
        assert event["last_error"].startswith("gave_up: give_up_after: ")
