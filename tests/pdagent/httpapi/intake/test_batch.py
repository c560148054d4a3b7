"""`POST /send/batch`: a result for each line, in order; a bad line spoils only itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.raw_http import RawConnection, chunked, head
from tests.pdagent.httpapi.sample_events import (
    change,
    ndjson,
    new_key,
    of_size,
    trigger,
    v1_trigger,
)

LIMIT = 512_000
QUEUE_LENGTH = 50


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory, nowhere: str) -> Iterator[AgentProcess]:
    """An agent whose queues take more than those of `agent`."""
    with AgentProcess(tmp_path_factory.mktemp("roomy") / "agent", nowhere) as process:
        yield process
        assert "Traceback" not in process.log()


def results(answer: requests.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def send(agent: AgentProcess, *events: object, **headers: str) -> list[dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return results(agent.post("/send/batch", data=ndjson(*events), headers=named))


def accepted(agent: AgentProcess) -> int:
    return agent.totals()["accepted"]


def test_events_of_all_kinds_get_their_receipts_in_the_order_of_the_lines(
    agent: AgentProcess,
) -> None:
    key = new_key()
    first, second, third, fourth, fifth = send(
        agent,
        trigger(key),
        v1_trigger(key),
        change(key),
        {"routing_key": key, "event_action": "resolve", "dedup_key": "web-17/disk"},
        v1_trigger(key, incident_key="mine", description="x" * 2_000),
    )
    assert first == {"line": 1, "key": first["key"], "dedup_key": first["key"]}
    assert second == {"line": 2, "key": second["key"], "incident_key": second["key"]}
    assert third == {"line": 3, "key": third["key"]}
    assert fourth == {"line": 4, "key": fourth["key"], "dedup_key": "web-17/disk"}
    assert fifth["incident_key"] == "mine"
    assert "shortened" in fifth["warnings"][0]


def test_a_bad_line_spoils_only_itself(agent: AgentProcess) -> None:
    before = accepted(agent)
    without_action = trigger()
    del without_action["event_action"]
    answers = send(
        agent,
        trigger(),
        b"{not json",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        trigger(payload={}),
        without_action,
        {"routing_key": new_key(), "dedup_key": "x"},
        b"[" * 100_000,
        trigger(),
    )
    assert [answer.get("status", 200) for answer in answers] == [200, *[400] * 9, 200]
    assert [answer["line"] for answer in answers] == list(range(1, 12))
    assert "payload.summary" in answers[6]["errors"][0]
    assert len(answers[6]["errors"]) == 3
    assert answers[7]["errors"] == [
        "event_action: is missing, it takes one of trigger, acknowledge, resolve"
    ]
    assert accepted(agent) == before + 2


def test_blank_lines_get_no_result_but_are_counted(agent: AgentProcess) -> None:
    body = b"\n\r\n" + ndjson(trigger()) + b"   \n" + json.dumps(trigger()).encode() + b"\r\n\n"
    answers = results(agent.post("/send/batch", data=body))
    assert [answer["line"] for answer in answers] == [3, 5]
    assert all("key" in answer for answer in answers)
    assert results(agent.post("/send/batch", data=b"")) == []


def test_the_last_line_needs_no_line_feed(agent: AgentProcess) -> None:
    body = ndjson(trigger()) + json.dumps(trigger()).encode()
    assert len(results(agent.post("/send/batch", data=body))) == 2


@pytest.mark.parametrize("event", [trigger(), v1_trigger(), change()])
def test_a_byte_order_mark_before_the_first_line_changes_nothing(
    agent: AgentProcess, event: dict[str, Any]
) -> None:
    body = b"\xef\xbb\xbf" + ndjson(event)
    [answer] = results(agent.post("/send/batch", data=body))
    assert "key" in answer, answer


def test_an_event_of_v1_may_have_a_field_named_payload(agent: AgentProcess) -> None:
    [answer] = send(agent, v1_trigger(incident_key="mine", payload="unknown to v1"))
    assert answer == {"line": 1, "key": answer.get("key"), "incident_key": "mine"}


def test_a_last_line_that_was_cut_off_is_not_taken(agent: AgentProcess) -> None:
    before = accepted(agent)
    body = ndjson(trigger()) + json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/send/batch", Content_Length=len(body) + 1), body)
    with RawConnection(agent) as connection:
        unfinished = chunked(body)[: -len(b"0\r\n\r\n")]
        connection.send(head(agent, "/send/batch", Transfer_Encoding="chunked"), unfinished)
    agent.wait_for(lambda: accepted(agent) == before + 2, "both complete lines were taken")
    assert len(send(agent, trigger())) == 1
    assert accepted(agent) == before + 3


def test_a_line_over_the_limit_is_refused_and_the_next_one_taken(roomy: AgentProcess) -> None:
    answers = send(roomy, of_size(LIMIT), of_size(LIMIT + 1), trigger(), of_size(2_000_000))
    assert [answer.get("status", 200) for answer in answers] == [200, 413, 200, 413]
    assert "512000" in answers[1]["errors"][0]


def test_the_line_end_does_not_count_towards_the_limit(roomy: AgentProcess) -> None:
    lines = (of_size(LIMIT), of_size(LIMIT), of_size(LIMIT + 1))
    body = b"".join(line + b"\r\n" for line in lines)
    answers = results(roomy.post("/send/batch", data=body + of_size(LIMIT) + b"\r"))
    assert [answer.get("status", 200) for answer in answers] == [200, 200, 413, 200]


def test_a_line_without_end_does_not_fill_the_memory(roomy: AgentProcess) -> None:
    def peak() -> int:
        status = Path(f"/proc/{roomy.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])

    before = peak()
    with RawConnection(roomy) as connection:
        connection.send(head(roomy, "/send/batch", Transfer_Encoding="chunked"))
        piece = b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20))
        for _ in range(100):
            connection.send(piece)
        connection.send(chunked(b"\n" + ndjson(trigger())))
        answers = [json.loads(line) for line in connection.answer().body.splitlines()]
    assert [answer.get("status", 200) for answer in answers] == [413, 200]
    assert peak() - before < 30_000


def test_many_large_lines_wait_their_turn(roomy: AgentProcess) -> None:
    answers = send(roomy, *(of_size(400_000) for _ in range(60)))
    assert all("key" in answer for answer in answers)
    assert len(answers) == 60


def test_the_header_can_name_one_kind_for_all_lines(agent: AgentProcess) -> None:
    looks_like_an_alert = change(payload={"summary": "Deployed", "severity": "info"})
    assert send(agent, looks_like_an_alert)[0]["status"] == 400
    assert "key" in send(agent, looks_like_an_alert, Pd_Event_Version="change")[0]
    answers = send(agent, trigger(), v1_trigger(), Pd_Event_Version="v1")
    assert ["status" in answer for answer in answers] == [True, False]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "token wrong"}, 401),
        ({"Pd-Event-Version": "v3"}, 400),
        ({"Pd-First-Line": "0"}, 400),
        ({"Pd-First-Line": "-1"}, 400),
        ({"Pd-First-Line": "many"}, 400),
        ({"Pd-First-Line": "9" * 5_000}, 400),
        ({"Idempotency-Key": "x" * 256}, 400),
        ({"Content-Type": "text/html"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_a_batch_is_refused_as_a_whole_before_its_first_line_is_read(
    agent: AgentProcess, headers: dict[str, Any], status: int
) -> None:
    before = accepted(agent)
    answer = agent.post("/send/batch", data=ndjson(trigger()), headers=headers)
    assert answer.status_code == status
    assert answer.json()["errors"]
    assert accepted(agent) == before


def test_a_repetition_with_the_same_idempotency_key_stores_nothing_twice(
    roomy: AgentProcess,
) -> None:
    key = new_key()
    events = [trigger(key), b"", b"{}", v1_trigger(key), change(key)]
    first = send(roomy, *events, Idempotency_Key="one")
    before = accepted(roomy)
    assert send(roomy, *events, Idempotency_Key="one") == first
    assert accepted(roomy) == before
    # The number of the line counts, not how many were sent with it.
    assert send(roomy, events[3], Idempotency_Key="one", Pd_First_Line="4") == [first[2]]
    assert accepted(roomy) == before
    assert send(roomy, events[3], Idempotency_Key="two")[0]["key"] != first[2]["key"]
    assert accepted(roomy) == before + 1


def test_results_come_while_the_batch_is_still_being_sent(agent: AgentProcess) -> None:
    with RawConnection(agent) as connection:
        connection.send(head(agent, "/send/batch", Transfer_Encoding="chunked"))
        received = b""
        for number in range(1, 4):
            line = ndjson(trigger())
            connection.send(b"%x\r\n%b\r\n" % (len(line), line))
            while received.count(b'"key"') < number:
                received += connection.socket.recv(65536)
        connection.send(b"0\r\n\r\n")
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += connection.socket.recv(65536)


def test_after_a_refusal_for_now_no_line_of_that_key_overtakes(agent: AgentProcess) -> None:
    full, other = new_key(), new_key()
    events = [trigger(full) for _ in range(QUEUE_LENGTH + 10)]
    answers = send(agent, *events, trigger(other), *events)
    taken = [answer["line"] for answer in answers if "key" in answer]
    assert taken == [*range(1, QUEUE_LENGTH + 1), len(events) + 1]
    refused = answers[QUEUE_LENGTH]
    assert (refused["status"], refused["retry_after"]) == (429, 30)
    assert "max_queue_length" in refused["errors"][0]


def test_what_clients_leave_unfinished_does_not_disturb_others(roomy: AgentProcess) -> None:
    body = ndjson(*(trigger() for _ in range(200)))
    request = head(roomy, "/send/batch", Content_Length=len(body)) + body
    for length in range(100, len(request), len(request) // 25):
        with RawConnection(roomy) as connection:
            connection.send(request[:length])
    answers = send(roomy, *(trigger() for _ in range(2_000)))
    assert len([answer for answer in answers if "key" in answer]) == 2_000


def test_lines_share_their_commits(roomy: AgentProcess) -> None:
    def commits() -> float:
        text = roomy.get("/metrics").text
        return sum(float(n) for n in re.findall(r"(?m)^pdagent_commits_total (\S+)$", text))

    keys = [new_key() for _ in range(100)]
    before = commits()
    answers = send(roomy, *(trigger(keys[number % 100]) for number in range(5_000)))
    assert len([answer for answer in answers if "key" in answer]) == 5_000
    assert 0 < commits() - before < 500
