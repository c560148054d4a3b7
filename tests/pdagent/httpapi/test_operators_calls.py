"""What operators ask over HTTP: lists, lives, retries, discards, holds. All with the secret."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.raw_http import RawConnection, head
from tests.sandbox_process import SandboxProcess

NAMED, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
ROW = [
    *("id", "state", "queue", "kind", "dedup_key", "summary"),
    *("accepted_at", "attempts", "next_attempt_at", "last_error"),
]


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[AgentProcess, SandboxProcess]]:
    directory = tmp_path_factory.mktemp("operators") / "agent"
    with (
        SandboxProcess() as sandbox,
        AgentProcess(directory, sandbox.url, routing_keys={"database": NAMED}) as agent,
    ):
        yield agent, sandbox


@pytest.fixture
def sandbox(running: tuple[AgentProcess, SandboxProcess]) -> SandboxProcess:
    running[1].reset()
    return running[1]


@pytest.fixture
def agent(
    running: tuple[AgentProcess, SandboxProcess], sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    """An agent in which nothing waits and nothing is dead."""
    agent = running[0]
    yield agent
    sandbox.behave(fail=None, hang_key=[])
    for key in (NAMED, OTHER):
        agent.post("/queue/release", params={"rk": key})
        agent.post("/queue/discard", params={"rk": key}).raise_for_status()
    agent.wait_until_drained()
    assert "Traceback" not in agent.log()


def event(key: str = NAMED, dedup_key: str = "disk", action: str = "trigger") -> dict[str, Any]:
    summary = f"{action} of {dedup_key}"
    payload = {"summary": summary, "source": "web-17", "severity": "error"}
    return {
        "routing_key": key,
        "event_action": action,
        "dedup_key": dedup_key,
        "payload": {**payload, "custom_details": {"repeated": key}},
    }


def sent(agent: AgentProcess, *events: dict[str, Any]) -> list[str]:
    """Have events accepted; their ids."""
    answers = [agent.send_v2(each) for each in events]
    return [answer.json()["key"] for answer in answers]


def wait_for_state(agent: AgentProcess, event_id: str, state: str) -> None:
    """Wait until the journal says so: lists are ahead of it by the commit that is under way."""
    agent.wait_for(lambda: life(agent, event_id)["state"] == state, f"the event is {state}")


def dead(agent: AgentProcess, sandbox: SandboxProcess, *events: dict[str, Any]) -> list[str]:
    """Have events refused by PagerDuty, which then is well again."""
    sandbox.behave(fail=400)
    ids = sent(agent, *events)
    for id_ in ids:
        wait_for_state(agent, id_, "dead_lettered")
    sandbox.behave(fail=None)
    return ids


def held(agent: AgentProcess, *events: dict[str, Any]) -> list[str]:
    """Have events wait in queues that are held."""
    for key in {each["routing_key"] for each in events}:
        # A key that no event ever came for has no queue yet, unless the config names it.
        if agent.post("/queue/hold", params={"rk": key}).status_code == 404:
            sent(agent, event(key, "first", "resolve"))
            agent.wait_until_drained()
            agent.post("/queue/hold", params={"rk": key}).raise_for_status()
    return sent(agent, *events)


def listed(agent: AgentProcess, **query: str) -> list[dict[str, Any]]:
    answer = agent.get("/queue/events", params=query)
    answer.raise_for_status()
    assert answer.json()["next"] is None
    rows: list[dict[str, Any]] = answer.json()["events"]
    return rows


def ids_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def life(agent: AgentProcess, event_id: str) -> dict[str, Any]:
    answer = agent.get(f"/queue/events/{event_id}")
    answer.raise_for_status()
    shown: dict[str, Any] = answer.json()
    return shown


def records_of(shown: dict[str, Any]) -> list[str]:
    return [entry["record"] for entry in shown["history"]]


def error_of(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    [error] = answer.json()["errors"]
    assert isinstance(error, str)
    return error


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/queue/events"),
        ("GET", "/queue/events/0"),
        ("DELETE", "/queue/events/0"),
        ("POST", "/queue/events/0/retry"),
        ("POST", "/queue/retry"),
        ("POST", "/queue/discard"),
        ("POST", "/queue/hold"),
        ("POST", "/queue/release"),
        ("GET", "/queue/tail"),
    ],
)
def test_without_the_secret_nothing_is_shown_or_changed(
    agent: AgentProcess, method: str, path: str
) -> None:
    for given in (None, "token wrong", f"Basic {agent.secret}"):
        answer = agent.session().request(
            method, agent.url + path, headers={"Authorization": given}, params={"rk": NAMED}
        )
        assert "secret" in error_of(answer, 401)


def test_a_row_says_what_an_event_is_and_how_it_stands(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    [waits] = held(agent, event(OTHER, "load"))
    first, second = listed(agent)
    assert list(first) == list(second) == ROW
    assert first | {"accepted_at": "", "last_error": ""} == {
        "id": died,
        "state": "dead_lettered",
        "queue": "database",
        "kind": "v2",
        "dedup_key": "disk",
        "summary": "trigger of disk",
        "accepted_at": "",
        "attempts": 1,
        "next_attempt_at": None,
        "last_error": "",
    }
    assert first["accepted_at"].endswith("Z")
    assert "The sandbox was told to refuse this" in first["last_error"]
    assert (second["id"], second["state"], second["queue"]) == (waits, "queued", "fedc…3210")
    assert (second["attempts"], second["last_error"]) == (0, None)


def test_states_and_queues_limit_a_list(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    [died] = dead(agent, sandbox, event())
    [delivered] = sent(agent, event(OTHER, "delivered"))
    wait_for_state(agent, delivered, "delivered")
    [discarded] = held(agent, event(OTHER, "discarded"))
    assert agent.post("/queue/discard", json={"ids": [discarded]}).json()["count"] == 1
    sandbox.behave(fail=503)
    [deferred, queued] = sent(agent, event(NAMED, "a"), event(NAMED, "b"))
    wait_for_state(agent, deferred, "deferred")
    [waits] = sent(agent, event(OTHER, "c"))
    assert ids_of(listed(agent)) == [died, deferred, queued, waits]
    assert ids_of(listed(agent, state="waiting")) == [deferred, queued, waits]
    assert ids_of(listed(agent, state="queued")) == [queued, waits]
    assert ids_of(listed(agent, state="deferred,in_flight")) == [deferred]
    assert ids_of(listed(agent, state="dead-lettered")) == [died]
    assert ids_of(listed(agent, state="delivered"))[0] == delivered
    assert ids_of(listed(agent, state="discarded"))[0] == discarded
    assert ids_of(listed(agent, rk=OTHER)) == [waits]
    assert ids_of(listed(agent, queue="database")) == [died, deferred, queued]
    assert ids_of(listed(agent, queue="@database", state="dead_lettered")) == [died]
    for mask in ("fedc…3210", "fedc...3210"):
        assert ids_of(listed(agent, queue=mask)) == [waits]
    assert listed(agent, rk="x" * 32) == listed(agent, queue="unknown") == []


def test_pages_show_every_event_once_and_in_order(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    names = [f"alert-{number}" for number in range(5)]
    died = dead(agent, sandbox, *(event(NAMED, name) for name in names))
    agent.post("/queue/hold", params={"rk": NAMED}).raise_for_status()
    waiting = held(agent, *(event(key, name) for key in (NAMED, OTHER) for name in names))
    ended = ids_of(listed(agent, state="delivered,discarded"))
    everything = "waiting,dead_lettered,delivered,discarded"
    for limit in (1, 2, 4, 100):
        found, after = [], {}
        while True:
            query = {"limit": str(limit), "state": everything, **after}
            page = agent.get("/queue/events", params=query).json()
            assert len(page["events"]) <= limit
            found += ids_of(page["events"])
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert found == [*died, *waiting, *ended]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
        {"limit": "9" * 40},
        {"state": "lost"},
        {"after": "somewhere"},
        {"after": "9.1.1"},
        {"after": "0.1." + "9" * 30},
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    agent: AgentProcess, query: dict[str, str]
) -> None:
    error = error_of(agent.get("/queue/events", params=query), 400)
    assert error.startswith(next(iter(query)))


def test_a_life_is_told_from_the_acceptance_on_with_the_key_masked(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    answer = agent.get(f"/queue/events/{died}")
    assert NAMED not in answer.text
    shown = answer.json()
    assert list(shown) == [*ROW, "event", "history"]
    assert shown["event"]["routing_key"] == "0123…cdef"
    assert shown["event"]["payload"]["custom_details"] == {"repeated": "0123…cdef"}
    assert records_of(shown) == ["EventAccepted", "DeliveryStarted", "EventDeadLettered"]
    times = [entry["at"] for entry in shown["history"]]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert shown["history"][1]["attempt"] == 1
    assert shown["history"][2]["reason"] == "http_400"
    assert "The sandbox was told to refuse this" in shown["history"][2]["detail"]

    assert agent.post(f"/queue/events/{died}/retry").json()["events"] == [died]
    wait_for_state(agent, died, "delivered")
    shown = life(agent, died)
    assert (shown["state"], shown["attempts"]) == ("delivered", 2)
    assert records_of(shown)[3:] == ["EventRetried", "DeliveryStarted", "EventDelivered"]
    assert shown["history"][-1]["status"] == 202


def test_an_event_is_found_by_any_beginning_that_no_other_has(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    first, _ = dead(agent, sandbox, event(), event(NAMED, "load"))
    assert life(agent, first[:18])["id"] == first
    assert life(agent, first.upper())["id"] == first
    several = error_of(agent.get(f"/queue/events/{first[:6]}"), 409)
    assert "is the beginning of several ids" in several
    assert several.count(first[:6]) >= 3, "some of them are named"
    for unknown in (first + "0", "zz", "%20", "x" * 600, "é"):
        error = error_of(agent.get(f"/queue/events/{unknown}"), 404)
        assert "queue list" in error


def test_discarding_is_recorded_with_its_reason_and_final(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    url = f"{agent.url}/queue/events/{died[:18]}"
    headers = {"Authorization": f"token {agent.secret}"}
    answer = agent.session().delete(url, headers=headers, params={"reason": "known, see #42"})
    assert answer.json() == {"message": "Discarded 1 events.", "count": 1, "events": [died]}
    shown = life(agent, died)
    assert shown["state"] == "discarded"
    assert shown["history"][-1]["record"] == "EventDiscarded"
    assert shown["history"][-1]["reason"] == "known, see #42"
    again = error_of(agent.session().delete(url, headers=headers), 409)
    assert "nothing to discard" in again
    assert f"queue show {died}" in again
    assert "nothing to retry" in error_of(agent.post(f"/queue/events/{died}/retry"), 409)


def test_what_is_being_delivered_can_not_be_taken_back(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(hang_key=NAMED, hang=60)
    in_flight, waits = sent(agent, event(), event(NAMED, "load"))
    wait_for_state(agent, in_flight, "in_flight")
    answer = agent.post("/queue/discard", json={"ids": [in_flight, waits, "zz"]}).json()
    assert answer["events"] == [waits]
    refused = {each["id"]: (each["status"], each["error"]) for each in answer["refused"]}
    assert refused.keys() == {in_flight, "zz"}
    assert refused[in_flight][0] == 409
    assert "being delivered right now" in refused[in_flight][1]
    assert refused["zz"][0] == 404
    sandbox.behave(hang_key=[])
    wait_for_state(agent, in_flight, "delivered")
    assert life(agent, waits)["state"] == "discarded"


def test_what_is_under_way_for_a_moment_only_is_waited_for(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(fail=503, latency=0.1)
    in_flight, waits = sent(agent, event(), event(NAMED, "load"))
    wait_for_state(agent, in_flight, "in_flight")
    answer = agent.post("/queue/discard", params={"rk": NAMED}).json()
    assert set(answer["events"]) == {in_flight, waits}, answer["refused"]
    sandbox.behave(fail=None, latency=0)


def test_a_retry_says_why_an_event_can_not_be_retried_and_by_force_does_it(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died, other] = dead(agent, sandbox, event(), event(NAMED, "load"))
    [resolve] = sent(agent, event(action="resolve"))
    agent.wait_until_drained()
    error = error_of(agent.post(f"/queue/events/{died}/retry"), 409)
    assert f"the later event {resolve} resolves" in error
    assert f"'pagerduty-agent queue discard {died}'" in error
    assert f"'pagerduty-agent queue retry --force {died}'" in error
    answer = agent.post("/queue/retry", params={"rk": NAMED}).json()
    assert (answer["events"], answer["left"]) == ([other], 1)
    several = agent.post("/queue/retry", json={"ids": [died, died]}).json()
    assert (several["count"], len(several["refused"])) == (0, 1)
    assert agent.post(f"/queue/events/{died}/retry", params={"force": "1"}).json()["count"] == 1
    wait_for_state(agent, died, "delivered")
    [waits] = held(agent, event(NAMED, "waits"))
    assert "has not failed" in error_of(agent.post(f"/queue/events/{waits}/retry"), 409)


def test_a_deferred_event_is_retried_at_once(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    sandbox.behave(fail=429, retry_after="3600")
    [deferred] = sent(agent, event(OTHER))
    wait_for_state(agent, deferred, "deferred")
    sandbox.behave(fail=None, retry_after=None)
    assert agent.post("/queue/retry", json={"ids": [deferred]}).json()["count"] == 1
    wait_for_state(agent, deferred, "delivered")


def test_a_queue_is_discarded_only_where_it_is_named_and_only_the_states_asked_for(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    [died] = dead(agent, sandbox, event())
    waiting = held(agent, event(NAMED, "a"), event(NAMED, "b"), event(OTHER, "c"))
    assert "say what to discard" in error_of(agent.post("/queue/discard"), 400)
    query = {"rk": NAMED, "state": "delivered"}
    assert "has ended" in error_of(agent.post("/queue/discard", params=query), 400)
    query["state"] = "dead_lettered"
    assert agent.post("/queue/discard", params=query).json()["events"] == [died]
    answer = agent.post("/queue/discard", params={"queue": "database"}, json={"reason": "why"})
    assert answer.json()["events"] == waiting[:2]
    assert life(agent, waiting[0])["history"][-1]["reason"] == "why"
    assert ids_of(listed(agent)) == waiting[2:]


def test_a_name_that_two_keys_share_changes_neither(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    twins = [f"fedc{letter * 24}3210" for letter in "xy"]
    ids = dead(agent, sandbox, *(event(key) for key in twins))
    shared = {"queue": "fedc...3210"}
    assert set(ids) <= set(ids_of(listed(agent, **shared)))
    for path in ("/queue/discard", "/queue/retry", "/queue/hold", "/queue/release"):
        assert "routing keys look like this" in error_of(agent.post(path, params=shared), 409)
    assert agent.post("/queue/discard", json={"ids": ids}).json()["count"] == 2


def test_a_held_queue_takes_events_and_delivers_them_after_its_release(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    answer = agent.post("/queue/hold", params={"queue": "database"}, json={"reason": "upgrade"})
    assert answer.json() == {
        "message": "Holding database: upgrade.",
        "queue": "database",
        "held": True,
        "waiting": 0,
    }
    [waits] = sent(agent, event())
    sent(agent, event(OTHER))
    sandbox.wait_for_events(1, rk=OTHER)
    [queue] = agent.status(rk=NAMED)["queues"]
    assert (queue["state"], queue["held"], queue["hold_reason"]) == ("held", True, "upgrade")
    assert life(agent, waits)["state"] == "queued"
    assert sandbox.events(rk=NAMED) == []
    answer = agent.post("/queue/release", params={"rk": NAMED})
    assert answer.json()["message"] == "Released database."
    agent.wait_until_drained()
    assert len(sandbox.events(rk=NAMED)) == 1
    assert "name a queue" in error_of(agent.post("/queue/hold"), 400)
    assert "no event was ever accepted" in error_of(
        agent.post("/queue/hold", params={"rk": "n" * 32}), 404
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"ids": []}',
        b'{"ids": "a"}',
        b'{"ids": [1]}',
        b'{"force": "yes"}',
        b'{"reason": 1}',
        b"\xff",
        b"[" * 100_000,
        json.dumps({"reason": "x" * 1_001}).encode(),
        json.dumps({"ids": ["0"] * 10_001}).encode(),
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
def test_a_body_that_is_no_wish_is_refused_and_changes_nothing(
    agent: AgentProcess, sandbox: SandboxProcess, body: bytes
) -> None:
    [died] = dead(agent, sandbox, event())
    for path in ("/queue/retry", "/queue/discard"):
        answer = agent.post(path, params={"rk": NAMED}, data=body)
        assert error_of(answer, 400).startswith("the JSON body: ")
    assert ids_of(listed(agent, rk=NAMED)) == [died]


def lines_until(lines: Iterator[bytes], record: str) -> list[dict[str, Any]]:
    """What a tail tells up to a record."""
    told = []
    for line in lines:
        if line:
            told.append(json.loads(line))
            if told[-1]["record"] == record:
                break
    return told


def test_a_tail_tells_what_happens_to_the_queue_it_follows(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sent(agent, event(OTHER, "before"))
    agent.wait_until_drained()
    with agent.get("/queue/tail", params={"rk": NAMED}, stream=True) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        lines = answer.iter_lines(chunk_size=None)
        assert next(lines) == b"", "the client is told at once that it follows"
        sent(agent, event(OTHER, "of another key"))
        [followed] = sent(agent, event())
        told = lines_until(lines, "EventDelivered")
    assert [line["record"] for line in told] == [
        "EventAccepted",
        "DeliveryStarted",
        "EventDelivered",
    ]
    assert {(line["queue"], line["id"]) for line in told} == {("database", followed)}
    assert told[0]["summary"] == "trigger of disk"
    assert told[2]["status"] == 202
    assert NAMED not in json.dumps(told)


def test_followers_are_limited_and_those_that_left_make_room(agent: AgentProcess) -> None:
    with ExitStack() as following:

        def follows() -> bool:
            connection = following.enter_context(RawConnection(agent))
            # Closed without ceremony, as by the end of a process that had not read all.
            connection.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            connection.send(head(agent, "/queue/tail", "GET"))
            return connection.socket.recv(4096).startswith(b"HTTP/1.1 200 ")

        count = 0
        while follows():
            count += 1
        # Another test's may not have been missed yet.
        assert 45 <= count <= 50
        one_more = agent.get("/queue/tail")
        assert "too many follow" in error_of(one_more, 503)
        assert one_more.headers["Retry-After"] == "60"

    def there_is_room() -> bool:
        with agent.get("/queue/tail", stream=True) as answer:
            return answer.status_code == 200

    agent.wait_for(there_is_room, "those who left are forgotten")
