"""Command lines of PagerDuty's old agents: the same event arrives, the same is printed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.agent_process import COMMAND_SECONDS, REPOSITORY, AgentProcess
from tests.pdagent.cli.integrations.old_program import command_of
from tests.sandbox_process import SandboxProcess

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
SERVICE = {
    "HOSTNAME": "service.test.local",
    "SERVICEDESC": "service=test-service",
    "SERVICESTATE": "critical",
}
SERVICE_FIELDS = [word for name, value in SERVICE.items() for word in ("-f", f"{name}={value}")]
SERVICE_KEY = "event_source=service;host_name=service.test.local;service_desc=service=test-service"
HOST = {"HOSTNAME": "host.test.local", "HOSTSTATE": "DOWN"}
HOST_FIELDS = [word for name, value in HOST.items() for word in ("-f", f"{name}={value}")]
HOST_KEY = "event_source=host;host_name=host.test.local"
NAGIOS_TYPES = {"PROBLEM": "trigger", "ACKNOWLEDGEMENT": "acknowledge", "RECOVERY": "resolve"}
B_KEY = "event_source=host;host_name=b"
ZABBIX = {
    "name": "Zabbix server: just restarted",
    "id": "13502",
    "status": "PROBLEM",
    "hostname": "Zabbix server",
    "ip": "127.0.0.1",
    "value": "1",
    "event_id": "70",
    "severity": "High",
}
CANCELLED = "Escalation cancelled: trigger 'x' disabled."
SENSU = {
    "client": {"name": "CLIENT", "address": "127.0.0.1", "socket": {"port": 3030}},
    "check": {"name": "CHECK", "output": "SERVERS ON FIRE", "status": 2, "duration": 0.025},
    "id": "c6ad4f14",
}
PRINTED = "Event processed. Incident Key: {}\n"
# The Python agent's integrations wrote these members whether or not they had a value.
NO_CLIENT = {"client": "", "client_url": ""}


class Old(NamedTuple):
    """A command line, and the event (without its key) and output that it made."""

    program: str
    arguments: Sequence[str]
    event: dict[str, Any]
    queued_by: str
    printed: str | None = ""  # None: the receipt as JSON
    stdin: str = ""


def pd_send() -> Iterator[Old]:
    for event_type in NAGIOS_TYPES.values():
        event = {
            "event_type": event_type,
            "incident_key": "db1/disk",
            "description": "Disk full",
            "details": {"query": "a=b,c", "empty": ""},
            "client": "Tool",
            "client_url": "https://tool.example.com",
        }
        short = ["-k", KEY, "-t", event_type, "-d", "Disk full", "-i", "db1/disk", "-c", "Tool"]
        short += ["-u", "https://tool.example.com", "-f", "query=a=b,c", "-f", "empty="]
        yield Old("send", short, event, "pd-send", PRINTED.format("db1/disk"))
        if event_type != "trigger":
            least = {"event_type": event_type, "incident_key": "a", "details": {}}
            words = ["-k", KEY, "-t", event_type, "-i", "a"]
            yield Old("send", words, least, "pd-send", PRINTED.format("a"))
            continue
        yield Old("send", [*short, "-q"], event, "pd-send", "")
        long = ["--service-key", KEY, f"--event-type={event_type}", "--description", "Disk full"]
        long += ["--incident-key", "db1/disk", "--client", "Tool"]
        long += ["--client-url", "https://tool.example.com", "--field", "query=a=b,c"]
        yield Old("send", [*long, "--field=empty=", "--quiet"], event, "pd-send", "")
        beginnings = ["--serv", KEY, "--event", event_type, "--desc", "Disk full", "--inc=db1/disk"]
        beginnings += ["--client", "Tool", "--client-u", "https://tool.example.com"]
        beginnings += ["--fie", "query=a=b,c", "--fi", "empty=", "--qu"]
        yield Old("send", beginnings, event, "pd-send", "")


def nagios() -> Iterator[Old]:
    pairs = [f"SERVICEDESC={SERVICE['SERVICEDESC']}", f"SERVICESTATE={SERVICE['SERVICESTATE']}"]
    host = f"HOSTNAME={SERVICE['HOSTNAME']}"
    for notification_type, event_type in NAGIOS_TYPES.items():
        of_service = {
            "event_type": event_type,
            "incident_key": SERVICE_KEY,
            "description": "; ".join([*pairs, host]),
            "details": {**SERVICE, "pd_nagios_object": "service"},
        }
        of_host = {
            "event_type": event_type,
            "incident_key": HOST_KEY,
            "description": "HOSTNAME=host.test.local; HOSTSTATE=DOWN",
            "details": {**HOST, "pd_nagios_object": "host"},
        }
        for about, fields, event in (
            ("service", SERVICE_FIELDS, of_service),
            ("host", HOST_FIELDS, of_host),
        ):
            python, printed = {**event, **NO_CLIENT}, PRINTED.format(event["incident_key"])
            words = ["-n", about, "-k", KEY, "-t", notification_type, *fields]
            yield Old("nagios", words, python, "pd-nagios", printed)
            go = event
            if about == "service":
                go = {**event, "description": "; ".join([host, *pairs])}
            words = ["-k", KEY, "-t", notification_type, "-n", about, *fields]
            yield Old("nagios enqueue", words, go, "pd-nagios", None)
            if event_type != "trigger":
                continue
            long = ["--notification-type", about, "--service-key", KEY]
            long += ["--event-type", notification_type, *fields]
            yield Old("nagios", long, python, "pd-nagios", printed)
            words = ["-n", about, "-k", KEY, "-t", notification_type, *fields, "-i", "mine"]
            mine = {**python, "incident_key": "mine"}
            yield Old("nagios", words, mine, "pd-nagios", PRINTED.format("mine"))
            long = ["--service-key", KEY, "--notification-type", notification_type]
            long += ["--source-type", about, "--incident-key", "mine"]
            long += [word.replace("-f", "--field") for word in fields]
            yield Old("nagios enqueue", long, {**go, "incident_key": "mine"}, "pd-nagios", None)


def zabbix() -> Iterator[Old]:
    for event_type in NAGIOS_TYPES.values():
        for more in (
            {},
            {"url": "https://zabbix.example.com/1"},
            {"incident_key": "mine"},
            {"incident_key": ""},
            {"NOTE": CANCELLED},
        ):
            fields = {**ZABBIX, **more}
            event: dict[str, Any] = {
                "event_type": event_type,
                "incident_key": more.get("incident_key") or "13502-Zabbix server",
                "description": "Zabbix server: just restarted : PROBLEM for Zabbix server",
                "details": fields,
            }
            if "NOTE" in more and event_type == "trigger":
                note = f"{CANCELLED} (converted from trigger to resolve by pdagent integration)"
                event |= {"event_type": "resolve", "details": {**fields, "NOTE": note}}
            client = {}
            if "url" in more:
                client = {"client": "Zabbix", "client_url": more["url"]}
            body = "\n".join(f"{name}:{value}" for name, value in fields.items())
            words = [KEY, event_type, body]
            yield Old("zabbix", words, {**event, **NO_CLIENT, **client}, "pd-zabbix")
            yield Old("zabbix enqueue", words, {**event, **client}, "pd-zabbix", None)
            if event_type != "trigger":
                break  # the fields are treated alike


def sensu() -> Iterator[Old]:
    for action, event_type in (("create", "trigger"), ("resolve", "resolve"), ("x", "trigger")):
        whole = {**SENSU, "action": action}
        nameless = {**whole, "client": {}}
        for document, key, options in (
            (whole, "CLIENT/CHECK", []),
            (nameless, "c6ad4f14", []),
            (whole, "mine", ["mine"]),
        ):
            event = {
                "event_type": event_type,
                "incident_key": key,
                "description": f"{key} : SERVERS ON FIRE",
                "details": document,
                "client": "Sensu",
            }
            python, stdin = {**event, "client_url": ""}, json.dumps(document)
            given = [word for key in options for word in ("-i", key)]
            yield Old("sensu", ["-k", KEY, *given], python, "pd-sensu", "", stdin)
            given = [word for key in options for word in ("-y", key)]
            yield Old("sensu enqueue", ["-k", KEY, *given], event, "pd-sensu", None, stdin)
            if action != "create":
                break  # the client and the key are treated alike
            given = [word for key in options for word in ("--incident-key", key)]
            yield Old("sensu", ["--integration-key", KEY, *given], python, "pd-sensu", "", stdin)
            yield Old(
                "sensu enqueue", ["--integration-key", KEY, *given], event, "pd-sensu", None, stdin
            )


def run(agent: AgentProcess, old: Old, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line; it finds the agent by its environment alone."""
    if old.program.endswith(" enqueue"):
        command: Sequence[str | bytes] = agent.command(*old.program.split(), *old.arguments)
    else:
        command = command_of(old.program, *old.arguments)
    agent.credentials.note_keys_in(*old.arguments)
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={"PAGERDUTY_AGENT_CONFIG": str(agent.config), **environment},
        input=old.stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    agent.credentials.check(done.stdout + done.stderr, f"the output of {old.program}")
    return done


@pytest.mark.parametrize("commands", [pd_send, nagios, zabbix, sensu])
def test_each_old_command_line_makes_the_old_event_and_output(
    agent: AgentProcess, sandbox: SandboxProcess, commands: Any
) -> None:
    given = list(commands())
    for old in given:
        done = run(agent, old)
        assert (done.returncode, done.stderr) == (0, ""), (old, done)
        if old.printed is None:
            receipt = json.loads(done.stdout)
            assert receipt.pop("key")
            assert receipt == {"incident_key": old.event["incident_key"]}
        else:
            assert done.stdout == old.printed
    agent.wait_until_drained()
    for old, event in zip(given, sandbox.events(), strict=True):
        assert event["kind"] == "v1"
        body = event["body"]
        stamp = body.pop("agent")
        assert stamp.keys() == {"queued_by", "queued_at", "agent_id"}
        assert all(stamp.values())
        assert stamp["queued_by"] == old.queued_by
        assert body == {"service_key": KEY, **old.event}


REFUSED: list[tuple[str, Sequence[str], str]] = [
    ("send", ["-t", "trigger", "-d", "x"], "-k"),
    ("send", ["-k", KEY, "-d", "x"], "-t"),
    ("send", ["-k", KEY, "-t", "trigger"], "-d/--description is needed"),
    ("send", ["-k", KEY, "-t", "trigger", "-d", " "], "-d/--description is needed"),
    ("send", ["-k", KEY, "-t", "resolve", "-d", "x"], "-i/--incident-key is needed"),
    ("send", ["-k", KEY, "-t", "open", "-d", "x"], "invalid choice"),
    ("send", ["-k", KEY, "-t", "trigger", "--cli", "x"], "ambiguous option"),
    ("nagios", ["-n", "host", "-k", KEY, "-t", "PROBLEM"], "HOSTNAME and HOSTSTATE"),
    ("nagios", ["-n", "service", "-k", KEY, "-t", "PROBLEM", *HOST_FIELDS], "SERVICEDESC"),
    ("nagios", ["-n", "x", "-k", KEY, "-t", "PROBLEM", *HOST_FIELDS], "invalid choice"),
    ("nagios", ["-n", "host", "-k", KEY, "-t", "BAD", *HOST_FIELDS], "invalid choice"),
    ("zabbix", [KEY, "trigger"], "usage: pd-zabbix KEY"),
    ("zabbix", [KEY, "trigger", "id:1"], "has no line 'name:...'"),
    ("zabbix", [KEY, "bad", "name:a\nid:1\nstatus:b\nhostname:c"], "'bad' is none of trigger"),
    ("sensu", ["-k", KEY], "no JSON object"),
    ("sensu", [], "-k"),
    ("queue", [], "required"),
    ("queue", ["retry"], "name one key with -k, or all of them with -a"),
    ("queue", ["retry", "-a", "-k", KEY], "name one key with -k, or all of them with -a"),
]


def test_what_the_old_programs_refused_is_one_line_and_exit_code_2(agent: AgentProcess) -> None:
    for program, arguments, problem in REFUSED:
        done = run(agent, Old(program, arguments, {}, ""))
        assert (done.returncode, done.stdout) == (2, ""), (program, arguments)
        assert problem in done.stderr
        [line] = done.stderr.splitlines()
        assert line.startswith("error: ")
    assert agent.totals()["accepted"] == 0


def test_the_old_programs_explain_themselves(agent: AgentProcess) -> None:
    for program in ("send", "queue", "nagios", "sensu"):
        done = run(agent, Old(program, ["--help"], {}, ""))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: pd-{program} ")


def test_pd_queue_counts_and_retries(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    def pd_queue(*arguments: str) -> str:
        done = run(agent, Old("queue", arguments, {}, ""))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert pd_queue("status") == pd_queue("status", "-k", KEY) == "Nothing to report.\n"
    sandbox.behave(fail=400)
    for _ in range(2):
        run(agent, Old("send", ["-k", KEY, "-t", "trigger", "-d", "x"], {}, "")).check_returncode()
    agent.wait_until_drained()
    sandbox.reset()
    run(agent, Old("send", ["-k", KEY, "-t", "trigger", "-d", "x"], {}, "")).check_returncode()
    agent.wait_until_drained()
    shown = [
        "Service Key                           Pending   Success  In Error",
        "=================================================================",
        "v4g5…nvj9                                   0         1         2",
    ]
    assert pd_queue("status").splitlines() == shown
    assert pd_queue("status", "-k", KEY).splitlines() == shown
    assert pd_queue("status", "--service-key", "v" * 32) == "Nothing to report.\n"
    assert pd_queue("retry", "-k", KEY) == "2 event(s) set up for retry.\n"
    agent.wait_until_drained()
    assert pd_queue("retry", "--all-keys") == "0 event(s) set up for retry.\n"


def test_the_commands_work_while_the_agent_is_down(sandbox: SandboxProcess, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with AgentProcess(tmp_path / "agent", sandbox.url, spool=folder) as agent:
        agent.kill()
        words = ["-k", KEY, "-t", "trigger", "-d", "x", "-i", "a"]
        done = run(agent, Old("send", words, {}, ""))
        assert (done.returncode, done.stdout) == (0, PRINTED.format("a"))
        done = agent.cli(
            "nagios", "-k", KEY, "-t", "PROBLEM", "--host", "b", "--at", "1785578400.5"
        )
        assert (done.returncode, done.stdout) == (0, f"Event processed. Dedup Key: {B_KEY}\n")
        times = [json.loads(path.read_text())["occurred"] for path in sorted(folder.iterdir())]
        assert abs(float(times[0]) - time.time()) < COMMAND_SECONDS
        assert times[1] == "1785578400.500000"
        agent.start()
        old, new = sandbox.wait_for_events(2)
        assert old["body"]["incident_key"] == "a"
        assert new["body"]["dedup_key"] == B_KEY


def test_a_long_incident_key_is_shortened_alike(
    agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    for event_type in NAGIOS_TYPES.values():
        words = ["-k", KEY, "-t", event_type, "-d", "x", "-i", "y" * 300]
        run(agent, Old("send", words, {}, "")).check_returncode()
    [key] = {event["body"]["incident_key"] for event in sandbox.wait_for_events(3)}
    assert len(key) == 255
    [alert] = sandbox.alerts()
    assert alert["status"] == "resolved"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
def test_a_user_without_home_passwd_entry_and_locale_can_send(
    agent: AgentProcess, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    shutil.copytree(REPOSITORY / "pdagent", code / "pdagent")
    shutil.copytree(REPOSITORY / "store", code / "store")
    tmp_path.chmod(0o755)
    environment = {"PAGERDUTY_AGENT_ADDRESS": agent.address, "PAGERDUTY_AGENT_SECRET": agent.secret}
    nagios_words = ["nagios", "-k", KEY, "-t", "PROBLEM", "--host", "web1", "--output", "Größe"]
    commands = [agent.command(*nagios_words)]
    commands[0][3:5] = []  # its config
    commands.append(
        [str(word) for word in command_of("send", "-k", KEY, "-t", "trigger", "-d", "Größe")]
    )
    for command in commands:
        done = subprocess.run(
            ["setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups", *command],
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done
        assert b"Traceback" not in done.stderr
    new, old = sandbox.wait_for_events(2)
    assert new["body"]["payload"]["summary"] == "web1 is in an unknown state: Größe"
    assert old["body"]["description"] == "Größe"


def test_every_program_is_installed_under_its_old_name() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    for name in ("pd-send", "pd-queue", "pd-nagios", "pd-zabbix", "pd-sensu"):
        module, _, function = scripts[name].partition(":")
        assert callable(getattr(import_module(module), function))
