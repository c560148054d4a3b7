"""`GET /queue/events` and `/queue/events/{id}`: which events there are, and the life of one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.operators.asking import (
    NAMED,
    OTHER,
    dead,
    error_of,
    event,
    held,
    ids_of,
    life,
    listed,
    records_of,
    sent,
    wait_for_state,
)
from tests.sandbox_process import SandboxProcess

ROW = [
    *("id", "state", "queue", "kind", "dedup_key", "summary"),
    *("accepted_at", "attempts", "next_attempt_at", "last_error", "superseded_by"),
]


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
        "superseded_by": None,
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
        {"after": "1.1." + "9" * 19, "state": "waiting"},
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


def test_an_event_is_found_by_any_part_that_no_other_has(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    first, _ = dead(agent, sandbox, event(), event(NAMED, "load"))
    assert life(agent, first[:18])["id"] == first
    assert life(agent, first[-12:])["id"] == first
    assert life(agent, first[9:-4].upper())["id"] == first
    assert life(agent, first.upper())["id"] == first
    several = error_of(agent.get(f"/queue/events/{first[:6]}"), 409)
    assert "is part of several ids" in several
    assert several.count(first[:6]) >= 3, "some of them are named"
    for unknown in (first + "0", "zz", "%20", "x" * 600, "é"):
        error = error_of(agent.get(f"/queue/events/{unknown}"), 404)
        assert "queue list" in error
