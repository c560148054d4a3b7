"""`/metrics` of a real agent: deliveries, an outage, a rate limit, dead letters, a hold."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger

DATABASE, UNNAMED = key_number(1), "k3y" * 10 + "z9"

Labels = tuple[tuple[str, str], ...]


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    names = {"database": DATABASE}
    with AgentProcess(tmp_path / "agent", sandbox.url, routing_keys=names) as process:
        yield process


class Scrape:
    """The figures of one moment; no figure is an AssertionError."""

    def __init__(self, agent: AgentProcess) -> None:
        answer = agent.get("/metrics", headers={"Authorization": None})
        answer.raise_for_status()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        self.text = answer.text
        self._values = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        key = (f"pdagent_{name}", tuple(sorted(labels.items())))
        assert key in self._values, f"{key} is not served"
        return self._values[key]


def send(agent: AgentProcess, key: str, count: int = 1) -> None:
    for number in range(count):
        agent.send_v2(trigger(key, number)).raise_for_status()


def test_deliveries_are_counted_and_timed(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    before = Scrape(agent)
    assert before("events_accepted_total") == before("commits_total") == 0
    assert before("accept_seconds_count") == before("commit_size_count") == 0
    assert (
        before(
            "build_info",
            version=agent.status()["agent"]["version"],
            python=platform.python_version(),
        )
        == 1
    )
    assert (before("ready"), before("accepting"), before("breaker_open")) == (1, 1, 0)
    sandbox.behave(latency="0.05")
    send(agent, DATABASE, 3)
    send(agent, UNNAMED, 2)
    agent.wait_until_drained()
    # What is counted by observers comes after its commit, by which the totals are ahead.
    agent.wait_for(
        lambda: Scrape(agent)("delivery_seconds_count", outcome="delivered") == 5,
        "all deliveries are on disk and counted",
    )
    now = Scrape(agent)
    assert now("events_accepted_total") == now("events_delivered_total") == 5
    assert now("delivery_seconds_count", outcome="delivered") == 5
    assert now("delivery_seconds_bucket", outcome="delivered", le="0.025") == 0
    assert now("delivery_seconds_bucket", outcome="delivered", le="+Inf") == 5
    assert now("delivery_seconds_sum", outcome="delivered") >= 5 * 0.05
    assert now("accept_seconds_count") == now("accept_seconds_bucket", le="+Inf") == 5
    assert 0 < now("accept_seconds_sum") < 60
    assert now("waiting_events") == now("oldest_waiting_seconds") == now("in_flight") == 0
    assert now("queues") == 2
    assert now("journal_used_bytes") > before("journal_used_bytes")
    assert now("journal_records") >= 15
    assert now("journal_free_bytes") == now("journal_limit_bytes") - now("journal_used_bytes")
    assert now("journal_disk_free_bytes") > 0
    assert now("commits_total") == now("commit_size_count") == now("commit_size_bucket", le="+Inf")
    assert now("commit_size_sum") >= now("commits_total") > 0
    assert now("commit_seconds_total") > 0
    assert now("commits_failed_total") == 0
    assert 0 <= before("replay_seconds") < 60
    for actor in ("sequencer", "sender", "writer", "janitor"):
        assert now("actor_restarts_total", actor=actor) == 0


def test_an_outage_shows_in_breaker_waiting_and_age(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    send(agent, DATABASE, 3)
    send(agent, UNNAMED, 1)
    agent.wait_for(lambda: Scrape(agent)("breaker_open") == 1, "the breaker opens")
    agent.wait_for(
        lambda: Scrape(agent)("deferred_total", reason="unreachable") >= 2, "failed attempts"
    )
    agent.wait_for(lambda: Scrape(agent)("oldest_waiting_seconds") > 1, "the oldest gets older")
    now = Scrape(agent)
    assert now("unreachable_seconds") > 0
    assert now("waiting_events") == 4
    assert now("queue_waiting_events", queue="database") == 3
    assert now("queue_waiting_events", queue="unnamed") == 1
    oldest = now("queue_oldest_waiting_seconds", queue="database")
    assert oldest == now("oldest_waiting_seconds") == now("oldest_unheld_seconds")
    assert 0 < now("queue_oldest_waiting_seconds", queue="unnamed") <= oldest
    assert now("delivery_seconds_count", outcome="deferred") >= 2
    assert now("waiting_for_turn") >= 1
    assert now("queues_backing_off") >= 1
    assert now("ready") == 1, "keeping events is what the agent is for"
    sandbox.behave(down=False)
    agent.wait_until_drained()
    after = Scrape(agent)
    assert after("breaker_open") == after("unreachable_seconds") == 0
    assert after("queue_oldest_waiting_seconds", queue="database") == 0
    assert after("events_delivered_total") == 4


def test_a_rate_limit_shows_as_its_reason_and_a_paced_key(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(rate_limit=2, rate_window=5, retry_after="5")
    send(agent, DATABASE, 3)
    agent.wait_for(
        lambda: Scrape(agent)("deferred_total", reason="rate_limited") >= 1, "the rate limit"
    )
    now = Scrape(agent)
    assert now("queues_paced") == 1
    assert now("breaker_open") == 0
    assert now("events_dead_lettered_total") == 0
    agent.wait_until_drained()


def test_dead_letters_holds_and_discards_show(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    sandbox.behave(fail=400)
    send(agent, DATABASE, 2)
    agent.wait_for(
        lambda: Scrape(agent)("delivery_seconds_count", outcome="dead_lettered") == 2,
        "dead letters",
    )
    now = Scrape(agent)
    assert now("events_dead_lettered_total") == now("dead_letters") == 2
    assert now("queue_dead_letters", queue="database") == 2
    assert now("queue_dead_letters", queue="unnamed") == 0
    assert now("delivery_seconds_count", outcome="dead_lettered") == 2
    agent.post("/queue/hold", params={"queue": "database"}).raise_for_status()
    send(agent, DATABASE)
    (letter, _, _) = agent.get("/queue/events").json()["events"]
    agent.session().delete(
        f"{agent.url}/queue/events/{letter['id']}",
        headers={"Authorization": f"token {agent.secret}"},
        timeout=30,
    ).raise_for_status()
    agent.wait_for(lambda: Scrape(agent)("events_discarded_total") == 1, "it is discarded")
    agent.wait_for(lambda: Scrape(agent)("oldest_waiting_seconds") > 0, "the held one gets older")
    now = Scrape(agent)
    assert now("queues_held") == 1
    assert now("dead_letters") == 1
    assert now("events_dead_lettered_total") == 2
    assert now("oldest_unheld_seconds") == 0
    agent.restart()
    again = Scrape(agent)
    for name in ("accepted", "delivered", "dead_lettered", "discarded"):
        assert again(f"events_{name}_total") == now(f"events_{name}_total"), "kept over restarts"
    assert again("queues_held") == 1
    assert again("replay_seconds") > 0


def test_refused_events_are_counted_by_reason(tmp_path: Path, sandbox: SandboxProcess) -> None:
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "small", sandbox.url, max_queue_length=1) as agent:
        send(agent, DATABASE)
        assert agent.send_v2(trigger(DATABASE, 1)).status_code == 429
        assert Scrape(agent)("refused_total", reason="queue_full") == 1


def test_no_routing_key_and_no_secret_is_served(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(fail=400)
    send(agent, DATABASE)
    send(agent, UNNAMED)
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 2, "dead letters")
    text = Scrape(agent).text
    for credential in (DATABASE, UNNAMED, UNNAMED[:4] + "…", agent.secret):
        assert credential not in text
