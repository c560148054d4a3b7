"""How tests ask an agent what operators ask, and bring its events into a certain state."""

from __future__ import annotations

from typing import Any

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess

NAMED, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


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
        agent.post("/queue/hold", params={"rk": key}).raise_for_status()
    return sent(agent, *events)


def listed(agent: AgentProcess, **query: str) -> list[dict[str, Any]]:
    answer = agent.get("/queue/events", params={"limit": "1000", **query})
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
