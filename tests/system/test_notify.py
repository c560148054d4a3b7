"""People learn that pages are stuck: by an alert, or by a command when PagerDuty is away."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from pdagent.occurrence import read
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.faulty_agent import FaultyAgent
from tests.system.numbered_events import key_number, trigger

KEY, OPS = key_number(1), key_number(99)


def with_alerts(directory: Path, sandbox: SandboxProcess, **settings: object) -> AgentProcess:
    return AgentProcess(
        directory,
        sandbox.url,
        routing_keys={"ops": OPS, "database": KEY},
        notify={"routing_key": '"@ops"'},
        **settings,
    )


def alerts(sandbox: SandboxProcess, status: str) -> list[dict[str, Any]]:
    return sandbox.alerts(OPS, status)


def lose_one(agent: AgentProcess, sandbox: SandboxProcess) -> str:
    """Have PagerDuty refuse an event; its id."""
    agent.post("/queue/hold", params={"rk": OPS}).raise_for_status()
    sandbox.behave(fail=400)
    answer = agent.send_v2(trigger(KEY, 0))
    answer.raise_for_status()
    agent.wait_for(lambda: agent.totals()["dead_lettered"] == 1, "it is a dead letter")
    sandbox.behave(fail=None)
    agent.post("/queue/release", params={"rk": OPS}).raise_for_status()
    return str(answer.json()["key"])


def test_a_dead_letter_opens_one_alert_and_its_end_resolves_it_also_after_a_kill(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with with_alerts(tmp_path, sandbox) as agent:
        event = lose_one(agent, sandbox)
        sandbox.wait_for(lambda: alerts(sandbox, "open"), "an alert is open")
        (sent,) = sandbox.events(OPS)
        details = sent["body"]["payload"]["custom_details"]
        assert (details["event"], details["queue"]) == (event, "database")
        assert details["error"].startswith("http_400: ")
        assert event in sent["body"]["payload"]["summary"]
        agent.wait_until_drained()
        agent.wait_until_recorded(OPS)
        agent.kill()
        agent.start()
        agent.post("/queue/retry").raise_for_status()
        sandbox.wait_for(lambda: alerts(sandbox, "resolved"), "the alert is resolved")
        assert [e["body"]["event_action"] for e in sandbox.events(OPS)] == ["trigger", "resolve"]


def test_a_foreign_event_under_the_key_of_an_alert_does_no_harm(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with with_alerts(tmp_path, sandbox) as agent:
        assert agent.cli("notify", "test").returncode == 0
        foreign = {**trigger(OPS, 0), "dedup_key": sandbox.events(OPS)[0]["dedup_key"]}
        del foreign["payload"]["custom_details"]
        agent.send_v2(foreign).raise_for_status()
        agent.restart()
        event = lose_one(agent, sandbox)
        sandbox.wait_for(
            lambda: any(event in alert["summary"] for alert in alerts(sandbox, "open")),
            "the alert is open",
        )


def test_a_dead_letter_among_the_alerts_opens_no_further_one(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with with_alerts(tmp_path, sandbox) as agent:
        sandbox.behave(fail=400)
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        agent.wait_for(lambda: agent.totals()["dead_lettered"] == 2, "event and alert are lost")
        sandbox.behave(fail=None)
        agent.send_v2(trigger(KEY, 1)).raise_for_status()
        sandbox.wait_for(lambda: sandbox.events(KEY)[-1]["status"] == 202, "the key goes on")
        assert agent.totals()["accepted"] == 3


def test_an_alert_that_pagerduty_refuses_is_tried_again(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with with_alerts(tmp_path, sandbox) as agent:
        sandbox.behave(fail=400)
        event = agent.send_v2(trigger(KEY, 0)).json()["key"]
        agent.wait_for(lambda: agent.totals()["dead_lettered"] == 2, "event and alert are lost")
        sandbox.behave(fail=None)
        sandbox.wait_for(lambda: alerts(sandbox, "open"), "the alert is open", timeout=40)
        assert event in alerts(sandbox, "open")[0]["summary"]
        assert agent.totals()["accepted"] == 2


def test_a_full_queue_opens_an_alert(tmp_path: Path, sandbox: SandboxProcess) -> None:
    with with_alerts(tmp_path, sandbox, max_queue_length=2) as agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        agent.wait_until_drained()  # its delivery would make room
        agent.post("/queue/hold", params={"rk": KEY}).raise_for_status()
        while agent.send_v2(trigger(KEY, 1)).status_code != 429:
            pass
        sandbox.wait_for(lambda: alerts(sandbox, "open"), "an alert is open")
        (sent,) = sandbox.events(OPS)
        assert sent["body"]["payload"]["class"] == "queue_full"
        assert sent["body"]["payload"]["custom_details"]["queue"] == "database"


def test_a_quarantined_queue_opens_an_alert(tmp_path: Path, sandbox: SandboxProcess) -> None:
    names = {"ops": OPS, "database": KEY}
    notify = {"routing_key": '"@ops"'}
    agent = FaultyAgent(tmp_path, sandbox.url, routing_keys=names, notify=notify)
    agent.fault = "decide"
    agent.env["PDAGENT_FAULT_TIMES"] = "6"  # after which other queues work

    def is_quarantined() -> bool:
        agent.send_v2(trigger(KEY, 0))
        return bool(agent.status()["agent"]["queues"]["quarantined"])

    with agent:
        agent.wait_for(is_quarantined, "the key is quarantined", 60)
        sandbox.wait_for(lambda: alerts(sandbox, "open"), "an alert is open")
        (sent,) = sandbox.events(OPS)
        assert sent["body"]["payload"]["class"] == "quarantined"
        assert sent["body"]["payload"]["custom_details"]["queue"] == "database"


def test_a_full_journal_opens_an_alert_although_it_takes_no_events(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    big = {"padding": "x" * 400_000}
    with with_alerts(tmp_path, sandbox, max_journal_mb=4) as agent:
        for number in range(1, 8):
            agent.send_v2(trigger(key_number(number), 0)).raise_for_status()
            agent.post("/queue/hold", params={"rk": key_number(number)}).raise_for_status()
        event = trigger(KEY, 0)
        event["payload"]["custom_details"] = big
        codes = set()
        for number in range(60):
            event["routing_key"] = key_number(1 + number % 7)
            codes.add(agent.send_v2(event).status_code)
            if 503 in codes:
                break
        assert 503 in codes
        sandbox.wait_for(
            lambda: any("journal is full" in a["summary"] for a in alerts(sandbox, "open")),
            "the alert is open",
        )


class Told:
    """A command for `notify` that writes down what it is told."""

    def __init__(self, directory: Path) -> None:
        self._written = directory / "written"
        script = directory / "tell.py"
        script.write_text(
            "import os, sys\n"
            f"with open({str(self._written)!r}, 'a') as out:\n"
            "    news = os.environ['PAGERDUTY_AGENT_NEWS']\n"
            "    print(news, sys.stdin.read(), '--', sep='\\n', file=out)\n"
        )
        self.notify = {"command": f"{sys.executable} {script}", "unreachable_after": "1s"}

    def texts(self) -> list[str]:
        return self._written.read_text().split("--\n")[:-1] if self._written.exists() else []

    def news(self) -> list[str]:
        return [text.splitlines()[0] for text in self.texts()]


def test_an_outage_runs_the_command_once_and_once_more_at_its_end(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    told = Told(tmp_path)
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, notify=told.notify) as agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        agent.wait_for(told.texts, "the command was run")
        agent.send_v2(trigger(KEY, 1)).raise_for_status()
        agent.wait_for(lambda: agent.status()["pagerduty"]["in_flight"] == 0, "a probe ended")
        sandbox.behave(down=False)
        agent.wait_until_drained()
        agent.wait_for(lambda: len(told.texts()) >= 2, "the end of the outage was told")
        assert told.news() == ["unreachable", "reachable"]
        assert "1 event in 1 queue now wait." in told.texts()[0]
        assert not any(KEY in text for text in told.texts())


def test_a_restart_in_the_middle_of_an_outage_neither_repeats_nor_forgets_a_notice(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    told = Told(tmp_path)
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, notify=told.notify) as agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        noted = agent.journal / "outage-told"
        agent.wait_for(lambda: noted.exists() and noted.read_text(), "the notice is noted")
        agent.kill()
        agent.start()

        def lasts() -> float:
            since = agent.status()["pagerduty"]["since"]
            return 0.0 if since is None else time.time() - read(since)

        agent.wait_for(lambda: lasts() > 3, "the outage goes on for long enough")
        sandbox.behave(down=False)
        agent.wait_for(lambda: len(told.texts()) >= 2, "the end of the outage was told")
        agent.wait_for(lambda: not noted.exists(), "that is noted")
        agent.restart()
        sandbox.behave(down=True)
        agent.send_v2(trigger(KEY, 1)).raise_for_status()
        agent.wait_for(lambda: len(told.texts()) >= 3, "the next outage was told")
        assert told.news() == ["unreachable", "reachable", "unreachable"]


def test_the_end_of_the_agent_ends_a_command_that_hangs(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    pid = tmp_path / "pid"
    notify = {"command": f"sh -c 'echo $$ > {pid}; sleep 300'", "unreachable_after": "1s"}
    sandbox.behave(down=True)
    with AgentProcess(tmp_path / "agent", sandbox.url, notify=notify) as agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        agent.wait_for(lambda: pid.exists() and pid.read_text(), "the command runs")
        assert is_alive(int(pid.read_text()))
        agent.stop()
        agent.wait_for(lambda: not is_alive(int(pid.read_text())), "it was ended")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_notify_test_uses_each_channel_and_names_the_one_that_fails(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    notify = {"routing_key": OPS, "command": "/bin/false"}
    with AgentProcess(tmp_path, sandbox.url, notify=notify) as agent:
        done = agent.cli("notify", "test")
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "routing_key: done",
            "command: FAILED: /bin/false ended with status 1",
        ]
        assert done.stderr.startswith("error: ") and "command" in done.stderr
        sandbox.wait_for(lambda: alerts(sandbox, "resolved"), "the test's alert is resolved")
        assert agent.post("/notify/test", headers={"Authorization": None}).status_code == 401


def test_notify_test_says_that_pagerduty_refuses_the_key(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    with with_alerts(tmp_path, sandbox) as agent:
        sandbox.behave(fail=400)
        done = agent.cli("notify", "test")
        assert done.returncode == 1
        assert done.stdout.startswith("routing_key: FAILED: PagerDuty refuses it: http_400: ")


def test_without_a_channel_the_test_says_what_to_set(agent: AgentProcess) -> None:
    done = agent.cli("notify", "test")
    assert done.returncode == 1
    assert "set routing_key, command or email below 'notify'" in done.stderr
