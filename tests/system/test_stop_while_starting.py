"""A signal to stop that comes while the agent starts is an orderly stop, too."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

from pdagent.spool import SpooledEvent, put
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import KEY, key_number, numbers_by_key, trigger


def test_an_agent_that_reads_its_journal_stops_at_once_with_exit_status_0(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    keys, each = [key_number(n) for n in range(20)], 200
    sandbox.behave(down=True)
    lines = [json.dumps(trigger(key, n)) for n in range(each) for key in keys]
    agent.post("/send/batch", data="\n".join(lines)).raise_for_status()
    agent.kill()
    agent.pidfile.unlink()

    for number in (SIGTERM, SIGINT, SIGHUP):
        agent.launch()
        agent.wait_for(agent.pidfile.exists, "it holds the pidfile, and goes for the journal")
        agent.signal(number)
        assert agent.wait() == 0
        assert not agent.pidfile.exists()
    agent.start()
    assert agent.totals()["waiting"] == len(keys) * each
    assert "Traceback" not in agent.log()


def test_server_stop_is_heeded_while_the_agent_starts(agent: AgentProcess) -> None:
    for _ in range(2):
        agent.stop()
        agent.launch()
        agent.wait_for(agent.pidfile.exists, "it holds the pidfile")
        done = agent.cli("server", "stop")
        assert (done.returncode, done.stdout) == (0, f"Stopped the agent (pid {agent.pid}).\n")
        stopped = agent.process
        agent.start()  # at once: nothing of the other is in its way
        assert stopped.wait(10) == 0


def test_an_agent_that_takes_in_a_spool_stops_and_goes_on_with_it_after_the_next_start(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    folder, spooled = tmp_path / "spool", 400
    for number in range(spooled):
        body = json.dumps(trigger(KEY, number)).encode()
        put(folder, SpooledEvent(kind="v2", body=body, idempotency_key=str(number)))

    agent = AgentProcess(tmp_path / "agent", sandbox.url, spool=folder)
    agent.launch()
    try:
        agent.wait_for(lambda: len(list(folder.iterdir())) < spooled - 5, "spooled events go")
    finally:
        status = agent.stop()
    assert (status, agent.pidfile.exists()) == (0, False)
    assert list(folder.iterdir()), "there was something left to be taken in"
    with agent:
        agent.wait_until_drained()
        assert numbers_by_key(sandbox.events()) == {KEY: list(range(spooled))}
        assert "Traceback" not in agent.log()
