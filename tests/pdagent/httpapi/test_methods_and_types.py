"""Which methods, paths, types and origins are taken, and that every refusal is JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.raw_http import RawConnection, head
from tests.pdagent.httpapi.sample_events import change, trigger, v1_trigger

PAGERDUTY_PATHS: dict[str, tuple[dict[str, Any], int]] = {
    "/v2/enqueue": (trigger(), 202),
    "/v2/change/enqueue": (change(), 202),
    "/generic/2010-04-15/create_event.json": (v1_trigger(), 200),
}
JSON_BY_OTHER_NAMES = [
    None,
    "application/json",
    "application/json; charset=utf-8",
    "application/vnd.pagerduty+json;version=2",
    "application/x-www-form-urlencoded",  # what curl -d says
    "text/plain",
    "application/octet-stream",
    "rubbish",
    "",
]
NOT_JSON = [
    "multipart/form-data; boundary=x",
    "text/html",
    "text/xml; charset=utf-8",
    "application/xml",
    "APPLICATION/XML",
    "application/soap+xml",
    "image/png",
    "application/x-protobuf",
]


def body_of(event: object) -> bytes:
    return json.dumps(event).encode()


@pytest.mark.parametrize("content_type", JSON_BY_OTHER_NAMES)
@pytest.mark.parametrize("path", PAGERDUTY_PATHS)
def test_json_is_taken_whatever_it_is_called(
    agent: AgentProcess, path: str, content_type: str | None
) -> None:
    event, success = PAGERDUTY_PATHS[path]
    answer = agent.post(path, data=body_of(event), headers={"Content-Type": content_type})
    assert answer.status_code == success


@pytest.mark.parametrize("content_type", NOT_JSON)
@pytest.mark.parametrize("path", [*PAGERDUTY_PATHS, "/send", "/send/batch"])
def test_a_type_that_is_not_json_is_refused(
    agent: AgentProcess, path: str, content_type: str
) -> None:
    before = agent.totals()["accepted"]
    event, _ = PAGERDUTY_PATHS.get(path, (trigger(), 0))
    headers = {"Content-Type": content_type, "Pd-Event-Version": "v2"}
    answer = agent.post(path, data=body_of(event), headers=headers)
    assert answer.status_code == 415
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Accept-Post"] == "application/json"
    assert answer.json()["errors"] == ["this Content-Type is not JSON: send application/json"]
    assert agent.totals()["accepted"] == before


def test_a_compressed_body_is_refused_with_what_would_be_taken(agent: AgentProcess) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = agent.post("/v2/enqueue", data=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "identity"
    assert "Content-Encoding" in answer.json()["errors"][0]
    for encoding in ("identity", "", "utf-8", "UTF8", "iso-8859-1"):
        headers = {"Content-Encoding": encoding}
        answer = agent.post("/v2/enqueue", data=body_of(trigger()), headers=headers)
        assert answer.status_code == 202


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize("path", [*PAGERDUTY_PATHS, "/send", "/send/batch"])
def test_another_method_gets_a_405_that_names_the_right_one(
    agent: AgentProcess, path: str, method: str
) -> None:
    with RawConnection(agent) as connection:
        answer = connection.send(head(agent, path, method)).answer(method)
        assert answer.status == 405
        assert "POST" in answer.headers["allow"]
        assert answer.headers["content-type"] == "application/json"
        if method != "HEAD":
            errors = answer.json()["errors"]
            expected = "this path does not take this method: the Allow header lists what it takes"
            assert errors == [expected]
        # The connection is still in step.
        assert connection.send(head(agent, "/health", "GET")).answer("GET").status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
def test_an_unknown_path_gets_a_404_in_json(agent: AgentProcess, method: str) -> None:
    answer = agent.session().request(method, f"{agent.url}/v3/enqueue", timeout=20)
    if method == "BREW":
        assert answer.status_code == 400
    else:
        assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["errors"]


def test_head_gets_the_headers_of_get(agent: AgentProcess) -> None:
    with RawConnection(agent) as connection:
        answer = connection.send(head(agent, "/health/live", "HEAD")).answer("HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "2"
        assert connection.send(head(agent, "/health/live", "GET")).answer("GET").body == b"OK"


@pytest.mark.parametrize("path", [*PAGERDUTY_PATHS, "/health", "/send/batch"])
def test_options_says_what_a_path_takes(agent: AgentProcess, path: str) -> None:
    answer = agent.session().options(f"{agent.url}{path}", timeout=20)
    assert answer.status_code == 200
    assert ("GET" if path == "/health" else "POST") in answer.headers["Allow"]
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:49463"},
        {"Host": "localhost.evil.example"},
    ],
)
@pytest.mark.parametrize("path", [*PAGERDUTY_PATHS, "/send", "/send/batch", "/health"])
def test_a_web_page_reaches_nothing(
    agent: AgentProcess, path: str, headers: dict[str, str]
) -> None:
    before = agent.totals()["accepted"]
    event, _ = PAGERDUTY_PATHS.get(path, (trigger(), 0))
    method = "GET" if path == "/health" else "POST"
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = agent.session().request(
            method,
            f"{agent.url}{path}",
            data=body_of(event) if method == "POST" else None,
            headers={
                "Authorization": f"token {agent.secret}",
                "Pd-Event-Version": "v2",
                "Content-Type": content_type,
                **headers,
            },
            timeout=20,
        )
        assert answer.status_code == 403
        assert answer.json()["errors"]
    preflight = agent.session().options(f"{agent.url}{path}", headers=headers, timeout=20)
    assert preflight.status_code == 403
    assert agent.totals()["accepted"] == before


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:49463", "127.0.0.1", "[::1]:49463", "10.1.2.3:80"]
)
def test_names_and_addresses_of_the_agent_are_fine(agent: AgentProcess, host: str) -> None:
    headers = {"Host": host, "Sec-Fetch-Site": "none"}
    assert agent.get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/v2/enqueue/", "//v2/enqueue"])
def test_a_slash_too_many_loses_no_alert(agent: AgentProcess, path: str) -> None:
    event = body_of(trigger())
    with RawConnection(agent) as connection:
        answer = connection.send(head(agent, path, Content_Length=len(event)), event).answer()
    assert answer.status == 202
