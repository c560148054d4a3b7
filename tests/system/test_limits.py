"""Full queues, a full journal, a full disk: new events are refused, what was accepted goes on."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.store.small_disk import small_disk
from tests.system.full_run import FULL
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY, OTHER_KEY = key_number(1), key_number(2)
FILLING = [key_number(number) for number in (3, 4, 5)]
LIMIT = 5
FULL_ONLY = pytest.mark.skipif(not FULL, reason="takes long: PDAGENT_FULL=1 asks for it")
V1_PATH = "/generic/2010-04-15/create_event.json"
NO_SECRET = {"Authorization": None}


def v1_trigger(key: str) -> dict[str, Any]:
    return {"service_key": key, "event_type": "trigger", "description": "disk full"}


def change(key: str) -> dict[str, Any]:
    return {"routing_key": key, "payload": {"summary": "deployed"}}


def large(key: str, number: int) -> dict[str, Any]:
    """An event of about 60 kB."""
    event = trigger(key, number)
    event["payload"]["custom_details"]["log"] = "x" * 60_000
    return event


def fill_journal(agent: AgentProcess, words: str) -> int:
    """Have large events accepted until they are refused with 503 and `words`; returns how many.

    Of several keys in turn: one may fill half of the journal only.
    """
    for number in range(5_000):
        answer = agent.send_v2(large(FILLING[number % len(FILLING)], number))
        if answer.status_code != 200:
            assert_unavailable(answer, words)
            return number
    raise AssertionError("the journal never got full")


def filled(count: int) -> dict[str, list[int]]:
    """What arrives after `fill_journal` has returned `count`."""
    return {key: list(range(n, count, len(FILLING))) for n, key in enumerate(FILLING)}


def assert_unavailable(answer: requests.Response, words: str) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"].startswith("application/json")
    assert words in answer.json()["errors"][0]
    assert_for_now(answer, "service unavailable")


def assert_for_now(answer: requests.Response, status: str) -> None:
    """Not the event's fault: clients of v1 delete an event unless they read 'retry later'."""
    assert "invalid event" not in answer.text
    assert int(answer.headers["Retry-After"]) > 0
    body = answer.json()
    assert "retry later" in body["errors"][0]
    if "status" in body:  # on PagerDuty's paths
        assert body["status"] == status
        assert "retry later" in body["message"]


@pytest.fixture
def full_queue(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, max_queue_length=LIMIT) as agent:
        sandbox.behave(down=True)
        for number in range(LIMIT):
            agent.send_v2(trigger(KEY, number)).raise_for_status()
        yield agent


def test_a_full_queue_refuses_for_now_and_says_so_everywhere(full_queue: AgentProcess) -> None:
    answer = full_queue.send_v2(trigger(KEY, LIMIT))
    assert answer.status_code == 429
    assert_for_now(answer, "throttle exceeded")
    (error,) = answer.json()["errors"]
    assert f"{LIMIT} events wait for this routing key (max_queue_length)" in error

    # On PagerDuty's paths it looks like PagerDuty's rate limit.
    for path, event, status in (
        ("/v2/enqueue", trigger(KEY, LIMIT), 429),
        ("/v2/change/enqueue", change(KEY), 429),
        (V1_PATH, v1_trigger(KEY), 403),
    ):
        answer = full_queue.post(path, json=event, headers=NO_SECRET)
        assert (answer.status_code, answer.json()["status"]) == (status, "throttle exceeded")
        assert_for_now(answer, "throttle exceeded")
        assert "max_queue_length" in answer.json()["errors"][0]

    batch = "\n".join(json.dumps(event) for event in (trigger(KEY), v1_trigger(KEY), change(KEY)))
    lines = full_queue.post("/send/batch", data=batch).text.splitlines()
    results = [json.loads(line) for line in lines]
    assert [result["status"] for result in results] == [429, 429, 429]
    assert all("retry later" in result["errors"][0] for result in results)

    arguments = ("-k", KEY, "-t", "trigger", "-d", "disk full", "-u", "web-17")
    done = full_queue.cli("enqueue", *arguments)
    assert done.returncode == 75, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert KEY not in done.stderr

    full_queue.send_v2(trigger(OTHER_KEY, 1)).raise_for_status()
    shown = full_queue.cli("status", "--filter", "full").stdout
    assert "0000…0001 is full: its new events are refused" in shown
    assert "0000…0002" not in shown
    assert full_queue.status()["agent"]["queues"]["full"] == 1


def test_a_full_queue_concerns_no_other_key_and_opens_as_it_drains(
    full_queue: AgentProcess, sandbox: SandboxProcess
) -> None:
    assert full_queue.send_v2(trigger(OTHER_KEY, 0)).status_code == 200
    assert full_queue.send_v2(trigger(KEY, 99)).status_code == 429
    sandbox.behave(down=False)
    full_queue.wait_until_drained()
    assert full_queue.send_v2(trigger(KEY, LIMIT)).status_code == 200
    full_queue.wait_until_drained()
    arrived = numbers_by_key(sandbox.events())
    assert arrived == {KEY: list(range(LIMIT + 1)), OTHER_KEY: [0]}


def test_a_backlog_above_the_limits_at_the_start_starts_and_drains(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    """go-pdagent with 1,001 waiting events of one key never listens again after a restart."""
    backlog = 1_001
    sandbox.behave(down=True)
    with AgentProcess(tmp_path, sandbox.url) as agent:
        lines = (json.dumps(trigger(KEY, number)) for number in range(backlog))
        agent.post("/send/batch", data="\n".join(lines)).raise_for_status()
        agent.kill()
    with AgentProcess(tmp_path, sandbox.url, max_queue_length=10, max_journal_mb=1) as agent:
        assert agent.totals()["waiting"] == backlog
        assert agent.send_v2(trigger(KEY, backlog)).status_code in (429, 503)
        sandbox.behave(down=False)
        agent.wait_until_drained(60)
    assert numbers_by_key(sandbox.events()) == {KEY: list(range(backlog))}


def test_a_full_journal_refuses_all_new_events_delivers_the_old_and_opens_again_by_itself(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    settings = {"max_journal_mb": 1, "retention": "1s"}
    with AgentProcess(tmp_path, sandbox.url, **settings) as agent:
        accepted = fill_journal(agent, "the journal is full (1 MB, max_journal_mb)")
        assert accepted > 5
        for path, event in (
            ("/v2/enqueue", trigger(OTHER_KEY)),
            ("/v2/change/enqueue", change(OTHER_KEY)),
            (V1_PATH, v1_trigger(OTHER_KEY)),
        ):
            answer = agent.post(path, json=event, headers=NO_SECRET)
            assert_unavailable(answer, "max_journal_mb")
            assert answer.json().keys() == {"status", "message", "errors"}
        assert_unavailable_health(agent)
        done = agent.cli("enqueue", "-k", OTHER_KEY, "-t", "trigger", "-d", "full", "-u", "web-17")
        assert done.returncode == 75, done.stderr
        assert agent.status()["totals"]["waiting"] == accepted, "status answers"

        sandbox.behave(down=False)
        agent.wait_until_drained()
        agent.wait_for(agent.is_healthy, "room again, without a restart")
        assert agent.send_v2(trigger(KEY, accepted)).status_code == 200
        agent.wait_until_drained()
        assert agent.totals()["delivered"] == accepted + 1
    assert numbers_by_key(sandbox.events()) == {**filled(accepted), KEY: [accepted]}


def test_a_batch_that_is_repeated_while_the_journal_is_full_gets_its_first_receipts(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    lines = [json.dumps(trigger(key, number)) for number in range(3) for key in (KEY, OTHER_KEY)]
    new = json.dumps(trigger(KEY, 3))

    def repeated(*lines: str) -> list[dict[str, Any]]:
        headers = {"Idempotency-Key": "once"}
        answer = agent.post("/send/batch", data="\n".join(lines), headers=headers)
        return [json.loads(line) for line in answer.text.splitlines()]

    with AgentProcess(tmp_path, sandbox.url, max_journal_mb=1) as agent:
        receipts = repeated(*lines)
        assert all(each["key"] for each in receipts)
        fill_journal(agent, "max_journal_mb")
        *again, refused = repeated(*lines, new)
        assert again == receipts
        assert refused["status"] == 503
        assert "max_journal_mb" in refused["errors"][0]


def assert_unavailable_health(agent: AgentProcess) -> None:
    health = agent.get("/health")
    assert health.status_code == 503
    assert "max_journal_mb" in health.json()["errors"][0]


class StartedFull(AgentProcess):
    """An agent that is ready for a test as soon as it answers, healthy or not."""

    def is_healthy(self) -> bool:
        """Whether `/health` says anything."""
        with contextlib.suppress(requests.RequestException):
            return self.get("/health").status_code in (200, 503)
        return False


def test_a_full_journal_starts_refuses_at_once_and_drains(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    with StartedFull(tmp_path, sandbox.url, max_journal_mb=1) as agent:
        accepted = fill_journal(agent, "max_journal_mb")
        agent.kill()
        agent.start()
        assert_unavailable_health(agent)
        assert_unavailable(agent.send_v2(trigger(OTHER_KEY)), "max_journal_mb")
        sandbox.behave(down=False)
        agent.wait_until_drained()
        assert agent.totals()["delivered"] == accepted
    assert numbers_by_key(sandbox.events()) == filled(accepted)


def test_a_full_disk_refuses_all_new_events_records_deliveries_and_opens_when_there_is_room(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with (
        small_disk(tmp_path / "disk", 44) as disk,
        AgentProcess(tmp_path, sandbox.url, database=disk.path / "journal") as agent,
    ):
        sandbox.behave(down=True)
        disk.fill()
        accepted = fill_journal(agent, "has no room")
        assert accepted > 5
        answer = agent.post("/v2/enqueue", json=trigger(OTHER_KEY), headers=NO_SECRET)
        assert_unavailable(answer, "has no room")
        sandbox.behave(down=False)
        agent.wait_until_drained()
        assert agent.totals()["delivered"] == accepted
        assert_unavailable(agent.send_v2(trigger(KEY, accepted)), "has no room")

        disk.free()
        agent.wait_for(agent.is_healthy, "room again, without a restart")
        assert agent.send_v2(trigger(KEY, accepted)).status_code == 200
        agent.wait_until_drained()
        agent.wait_until_recorded(KEY)
        agent.kill()
        agent.start()
        assert agent.totals()["delivered"] == accepted + 1, "all of it was recorded"
        agent.stop()
    assert numbers_by_key(sandbox.events()) == {**filled(accepted), KEY: [accepted]}


def test_a_key_may_fill_half_of_the_journal_and_concerns_no_other(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    with AgentProcess(tmp_path, sandbox.url, max_journal_mb=1) as agent:
        codes = [agent.send_v2(large(KEY, number)).status_code for number in range(20)]
        accepted = codes.count(200)
        assert codes == [200] * accepted + [429] * (20 - accepted)
        assert 7 <= accepted <= 9, "of 60 kB each"
        answer = agent.post("/v2/enqueue", json=trigger(KEY, 99), headers=NO_SECRET)
        assert answer.status_code == 429
        assert "half of the journal's 1 MB (max_journal_mb)" in answer.json()["errors"][0]
        assert "is full: its new events are refused" in agent.cli("status").stdout
        assert agent.send_v2(trigger(OTHER_KEY, 1)).status_code == 200
        sandbox.behave(down=False)
        agent.wait_until_drained()
        assert agent.send_v2(trigger(KEY, accepted)).status_code == 200
        agent.wait_until_drained()
    arrived = numbers_by_key(sandbox.events())
    assert arrived == {KEY: list(range(accepted + 1)), OTHER_KEY: [1]}


@pytest.mark.parametrize("megabytes", [4, pytest.param(64, marks=FULL_ONLY)])
def test_a_key_that_pagerduty_refuses_cannot_shut_out_the_others(
    tmp_path: Path, sandbox: SandboxProcess, megabytes: int
) -> None:
    """A client without the secret needs no valid key to fill the journal with dead letters."""
    sandbox.behave(fail=400)
    settings = {"max_journal_mb": megabytes, "log_level": "error"}
    with AgentProcess(tmp_path, sandbox.url, **settings) as agent:
        event = trigger(KEY)
        event["payload"]["custom_details"]["log"] = "x" * 490_000
        # The janitor makes room once a second, and a slow machine stores little in a second.
        for _ in range(30 * megabytes):
            if agent.post("/v2/enqueue", json=event, headers=NO_SECRET).status_code == 503:
                break
        else:
            raise AssertionError("the journal never got full")
        agent.wait_until_drained()  # the last one is refused as well
        sandbox.behave(fail=None)
        agent.wait_for(lambda: agent.send_v2(trigger(OTHER_KEY)).status_code == 200, "room")
        agent.wait_until_drained()
        totals = agent.totals()
        assert 0 < totals["dead_lettered"] <= megabytes // 2 + 2, "a quarter of the journal"
        assert totals["discarded"] >= megabytes
        assert agent.log().count("journal_full") == totals["discarded"]
        assert " ERROR " in agent.log()
    assert list(numbers_by_key(sandbox.events())) == [OTHER_KEY]


class AgentWithAClock(AgentProcess):
    """An agent whose clock is a day ahead for as long as the file `clock_ahead` is there."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        module = "tests.system.faulty_agent"
        config = ["--config", str(self.config), *arguments]
        return [sys.executable, "-m", module, "clock", *config]


@FULL_ONLY
def test_a_clock_that_was_ahead_for_a_moment_does_not_stop_intake(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    ahead = tmp_path / "clock_ahead"
    ahead.touch()
    with AgentWithAClock(tmp_path, sandbox.url, max_journal_mb=8) as agent:
        for number in range(30):
            assert agent.send_v2(large(FILLING[number % 3], number)).status_code == 200
        agent.wait_until_drained()
        ahead.unlink()
        for number in range(30, 600):  # four journals full
            event = large(FILLING[number % 3], number)
            agent.wait_for(lambda e=event: agent.send_v2(e).status_code == 200, "room for it", 10)
        agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == filled(600)
