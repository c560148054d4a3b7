"""The snippets of docs/integrations that need no daemon: each opens an incident and resolves it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.agent_process import AgentProcess
from tests.clients.documented import ADDRESS, INTEGRATIONS, KEY, blocks
from tests.clients.monitoring_daemons import PROGRAM, client_config, wrapper
from tests.sandbox_process import SandboxProcess


class Snippets:
    """Runs what pages say, with the program's path replaced by one that finds `agent`."""

    def __init__(self, directory: Path, agent: AgentProcess) -> None:
        self.agent = agent
        self._directory = directory
        config = directory / "client.yaml"
        config.write_text(client_config(agent))
        config.chmod(0o600)
        self._program = directory / "pagerduty-agent"
        self._program.write_text(wrapper(config))
        self._program.chmod(0o755)

    def run(self, script: str, *arguments: str, stdin: str = "", **env: str) -> None:
        """Run a script as its daemon does, with a bare environment."""
        assert PROGRAM in script
        file = self._directory / "script"
        file.write_text(script.replace(PROGRAM, str(self._program)))
        done = subprocess.run(
            ["/bin/bash" if "local " in script else "/bin/sh", str(file), *arguments],
            input=stdin,
            env={"PATH": os.environ["PATH"], **env},
            cwd="/tmp",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def block(page: str, language: str) -> str:
    [code] = blocks(page, language, INTEGRATIONS)
    return code


def zabbix(run: Snippets, well: bool) -> None:
    values = {"TRIGGER.ID": "4711", "HOST.NAME": "db1", "EVENT.NAME": "Disk full"}
    values |= {"TRIGGER.STATUS": "OK" if well else "PROBLEM", "EVENT.NSEVERITY": "5"}
    values["TRIGGER.URL"] = ""
    body = re.sub(r"\{([\w.]+)\}", lambda found: values[found[1]], block("zabbix", "text"))
    run.run(block("zabbix", "sh"), "@database", "resolve" if well else "trigger", body)


def sensu_go(run: Snippets, well: bool) -> None:
    handler = yaml.safe_load(block("sensu", "yaml"))
    check = {"metadata": {"name": "disk"}, "status": 0 if well else 2, "output": "DISK"}
    event = {"entity": {"metadata": {"name": "db1"}}, "check": check}
    run.run(handler["spec"]["command"], stdin=json.dumps(event))


def sensu_core(run: Snippets, well: bool) -> None:
    handler = json.loads(block("sensu", "json"))["handlers"]["pagerduty"]
    check = {"name": "disk", "status": 0 if well else 2, "output": "DISK"}
    action = "resolve" if well else "create"
    event = {"id": "1", "client": {"name": "db1"}, "check": check, "action": action}
    run.run(handler["command"], stdin=json.dumps(event))


def checkmk(run: Snippets, well: bool) -> None:
    env = {
        "NOTIFY_WHAT": "SERVICE",
        "NOTIFY_NOTIFICATIONTYPE": "RECOVERY" if well else "PROBLEM",
        "NOTIFY_HOSTNAME": "db1",
        "NOTIFY_HOSTADDRESS": "192.0.2.1",
        "NOTIFY_SERVICEDESC": "Disk",
        "NOTIFY_SERVICESTATE": "OK" if well else "CRITICAL",
        "NOTIFY_SERVICEOUTPUT": "DISK",
    }
    run.run(block("checkmk", "sh"), **env)


def monit(run: Snippets, well: bool) -> None:
    failed, succeeded = re.findall(r'exec "\S+ (\w+)"', block("monit", "monit"))
    run.run(
        block("monit", "sh"),
        succeeded if well else failed,
        MONIT_HOST="db1",
        MONIT_SERVICE="nginx",
        MONIT_EVENT="Exists" if well else "Does not exist",
        MONIT_DESCRIPTION="process is running" if well else "process is not running",
    )


def netdata(run: Snippets, well: bool) -> None:
    run.run(
        block("netdata", "bash") + 'sent=0; custom_sender "${DEFAULT_RECIPIENT_CUSTOM}"\n',
        status="CLEAR" if well else "CRITICAL",
        host="db1",
        chart="disk_space._",
        name="disk_space_usage",
        info="disk space",
        when="1795719626" if well else "1795719600",
    )


def ansible(run: Snippets, well: bool) -> None:
    [task] = yaml.safe_load(block("ansible", "yaml"))
    call = task["ansible.builtin.uri"]
    body = call["body"] | {"event_action": "resolve" if well else "trigger"}
    assert body["routing_key"] == KEY
    answer = run.agent.session().post(call["url"].replace(ADDRESS, run.agent.address), json=body)
    assert answer.status_code == call["status_code"]


TOOLS = [zabbix, sensu_go, sensu_core, checkmk, monit, netdata, ansible]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__)
def test_a_snippet_opens_an_incident_and_resolves_it(
    tool: Callable[[Snippets, bool], None],
    tmp_path: Path,
    agent: AgentProcess,
    sandbox: SandboxProcess,
) -> None:
    snippets = Snippets(tmp_path, agent)
    for well in (False, True):
        tool(snippets, well)
    agent.wait_until_drained()
    assert [(alert["routing_key"], alert["status"]) for alert in sandbox.alerts()] == [
        (KEY, "resolved")
    ]


def test_the_index_lists_every_page() -> None:
    index = (INTEGRATIONS / "README.md").read_text()
    for page in INTEGRATIONS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index
