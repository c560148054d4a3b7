"""Every command line of README and docs runs as it stands there, on a real agent."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.operator_shell import OperatorShell
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import trigger

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]

BLOCK = re.compile(r"(?:^ {4,}.*\n)+|^```(?:sh|console)?\n(?:(?!```).*\n)*", re.MULTILINE)
INLINE = re.compile(r"`pagerduty-agent ([a-z][^`]*)`")
NAME = re.compile(r"(?!help)[a-z ]+")
COMMAND = re.compile(
    r"(?:(?:[0-9*]+ +){5})?(?:sudo )?(?:exec )?(?:/usr/local/bin/)?(pagerduty-agent .*)"
)

ELSEWHERE = {
    "server": "tests/system/test_first_use.py",
    "server --sandbox": "tests/system/test_trial.py",
    "server stop": "tests/system/test_clean_stop.py",
    "status --watch": "tests/system/test_dashboard.py",
    **dict.fromkeys(
        (
            "status --fleet",
            "hosts",
            "hosts --missing",
            "hosts --json | jq -r 'select(.version != \"1.2.0\") | .host'",
            "hosts forget web1",
            "hosts forget NAME",
            "hosts forget --missing",
        ),
        "tests/pdagent/fleet/test_relay_hosts.py",
    ),
    "relay check": "tests/system/test_relay.py",
    "relay status": "tests/system/test_relay.py",
    "relay resend --since 2h": "tests/system/test_relays.py",
    "queue tail": "tests/system/test_queue_commands.py",
    "init --system": "tests/system/test_whole_host.py",
    "init --system --from /etc/pdagent.conf": "tests/system/test_whole_host.py",
    "import /var/lib/pdagent/outqueue": "tests/system/test_import.py",
    "init --from ~/.pdagent/config.yaml": "tests/pdagent/migration/test_old_configs.py",
}
"""Command lines that are not run here, and the file with the test that runs them."""

# In place of what readers have.
IN_PLACE_OF = {
    "help COMMAND": "help queue list",
    "help TOPIC": "help tls",
    "-k KEY": "-k @database",
    "@NAME": "@database",
    "INCIDENT_KEY": "some-incident",
    "DEDUP_KEY": "some-alert",
    "/usr/local/bin/backup --all": "true",
    " [DIR]": "",
    "NEW_DIR": "new-journal",
    "/backup/journal": "$HOME/journal",
    "~/.pagerduty-agent/salvaged": "$HOME/salvaged",
    "~/.pagerduty-agent/journal.damaged": "$HOME/journal",
    "~/tls.yaml": "$HOME/tls.yaml",
}
PARAMETERS = {"enqueue": "trigger", "zabbix": '@database trigger "$BODY"'}
"""Of scripts in the pages, by command."""
INPUT = {
    "OUTPUT": "DISK CRITICAL - 1% free",
    "BODY": "id:1\nname:Disk\nstatus:PROBLEM\nhostname:db1",
    "MONIT_HOST": "db1",
    "MONIT_SERVICE": "nginx",
    "MONIT_DESCRIPTION": "it does not run",
    "NOTIFY_PARAMETER_1": "",
    "NOTIFY_WHAT": "HOST",
    "NOTIFY_HOSTNAME": "db1",
    "NOTIFY_NOTIFICATIONTYPE": "PROBLEM",
    "NOTIFY_HOSTSTATE": "DOWN",
    "EDITOR": "sed -i s/critical/error/",
}
SENSU = {
    "id": "1",
    "action": "create",
    "client": {"name": "c"},
    "check": {"name": "k", "output": ""},
}


def lines_of(page: str) -> Iterator[str]:
    """The lines of the page's blocks of code; one that goes on is joined with the next."""
    for block in BLOCK.findall(page):
        yield from re.sub(r"(?:\\|(?<=\|))\n\s*", " ", block).splitlines()


def documented() -> list[str]:
    """Each command line once, in the order of the pages."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = page.read_text("utf-8")
        for line in lines_of(text):
            if match := COMMAND.fullmatch(re.sub(r" +#.*", "", line.strip())):
                found.setdefault(match[1])
        for words in INLINE.findall(text):
            # The name of a command alone says what it is about: there has to be such a command.
            found.setdefault(f"pagerduty-agent {'help ' * bool(NAME.fullmatch(words))}{words}")
    return list(found)


COMMANDS = documented()


def shown(line: str) -> str:
    return line.removeprefix("pagerduty-agent ")


def test_commands_that_are_run_elsewhere_are_documented_and_their_tests_are_there() -> None:
    assert set(ELSEWHERE) <= {shown(line) for line in COMMANDS}
    for line, test in ELSEWHERE.items():
        words = line.split()[0]
        assert words in (REPOSITORY / test).read_text("utf-8"), line


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    settings = {"routing_keys": {"database": KEY}, "notify": {"command": "'true'"}}
    with AgentProcess(tmp_path / "agent", sandbox.url, **settings) as process:
        process.env |= INPUT
        yield process


def prepared(line: str, event: str) -> str:
    """The line for a shell, with `event` as ID. `init` finds no config."""
    command = shown(line).split()[0]
    home = "HOME=$(mktemp -d -p $HOME) " if "init" in line.split() else ""
    line = f"set -- {PARAMETERS.get(command, '')}\n{home}{line}"
    for what, instead in IN_PLACE_OF.items():
        line = line.replace(what, instead)
    return re.sub(r"\bID\b", event, line)


def test_every_documented_command_line_runs(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    if shutil.which("jq") is None:
        pytest.skip("needs jq, as the pages do")
    shell = OperatorShell(agent)
    (agent.directory / "events.ndjson").write_text(json.dumps(trigger(KEY)) + "\n")
    failed = []

    def run(line: str, event: str) -> None:
        done = shell.run(f"cd {agent.directory}\n{prepared(line, event)}")
        if done.returncode or "rror:" in done.stderr:
            failed.append((line, done.returncode, done.stderr))

    lines = [line for line in COMMANDS if shown(line) not in ELSEWHERE]
    assert len(lines) > 40
    of_journal = [line for line in lines if shown(line).startswith("journal")]
    for number, line in enumerate(each for each in lines if each not in of_journal):
        event = ""
        if re.search(r"\bID\b", line):
            sandbox.behave(fail=400)
            event = agent.send_v2(trigger(KEY, number)).json()["key"]
            agent.wait_for(lambda: agent.totals()["waiting"] == 0, "it is a dead letter")
            sandbox.behave(fail=None)
            (agent.directory / "event.json").write_text(
                json.dumps(agent.get(f"/queue/events/{event}").json()["event"])
            )
        elif "sensu" in line:
            (agent.directory / "event.json").write_text(json.dumps(SENSU))
        run(line, event)
    agent.stop()
    for line in of_journal:
        run(line, "")
    assert not failed, "\n".join(map(str, failed))
