"""What all commands of monitoring tools do: keys, times, failures, what is left out."""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import subprocess
import syslog
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pdagent.cli import main
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn, Received, hang_up, stay_silent
from tests.pdagent.cli.command_line import CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
NAGIOS = ("nagios", "-k", KEY, "-t", "PROBLEM", "--host", "web1", "--state", "DOWN")
NAGIOS_OLD = ("nagios", "enqueue", "-k", KEY, "-t", "PROBLEM", "-n", "host")
NAGIOS_OLD += ("-f", "HOSTNAME=web1", "-f", "HOSTSTATE=DOWN")
ZABBIX = ("zabbix", "-k", KEY, "-t", "trigger", "--id", "1", "--host", "web1", "--severity", "4")
ZABBIX_OLD = ("zabbix", "enqueue", KEY, "trigger", "id:1\nhostname:web1\nname:a\nstatus:PROBLEM")
SENSU = ("sensu", "-k", KEY)
SENSU_OLD = ("sensu", "enqueue", "-k", KEY)
SENSU_EVENT = {
    "client": {"name": "web1"},
    "check": {"name": "disk", "output": "full", "status": 2},
    "action": "create",
}
STDIN = json.dumps(SENSU_EVENT).encode()
CHECKMK = ("checkmk", "-k", KEY)
CHECKMK_ENVIRONMENT = {
    "NOTIFY_WHAT": "HOST",
    "NOTIFY_NOTIFICATIONTYPE": "PROBLEM",
    "NOTIFY_HOSTNAME": "web1",
    "NOTIFY_HOSTADDRESS": "192.0.2.1",
    "NOTIFY_HOSTSTATE": "DOWN",
}
NEW = [NAGIOS, ZABBIX, SENSU, CHECKMK, ("checkmk", "enqueue", *CHECKMK[1:])]
SEND = ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")
ENQUEUE = ("enqueue", *SEND[1:], "-u", "web1")
OLD = [NAGIOS_OLD, ZABBIX_OLD, SENSU_OLD]


@pytest.fixture
def user(cli: CommandLine, agent: AgentStandIn) -> CommandLine:
    """The program with a named key, in the environment of a Checkmk script."""
    cli.configure(f"routing_keys:\n  database: {KEY}\n", address=agent.address, secret=SECRET)
    cli.env |= CHECKMK_ENVIRONMENT
    return cli


@pytest.mark.parametrize("command", NEW)
def test_a_command_sends_an_alert_and_prints_its_key(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    before = time.time()
    done = user(*command, stdin=STDIN)
    assert (done.code, done.err) == (0, "")
    [request] = agent.received
    assert request.headers["pd-event-version"] == "v2"
    assert was_started_since(before, request)
    assert request.body["routing_key"] == KEY
    assert request.body["payload"]["source"] == "web1"
    assert done.out == f"Event processed. Dedup Key: {request.body['dedup_key']}\n"
    assert user(*command, "-q", stdin=STDIN) == (0, "", "")
    assert json.loads(user(*command, "--json", stdin=STDIN).out)["key"] == "ev1"


@pytest.mark.parametrize("command", OLD)
def test_go_pdagents_subcommands_send_v1_and_print_json(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    before = time.time()
    done = user(*command, stdin=STDIN)
    assert (done.code, done.err) == (0, "")
    [request] = agent.received
    assert request.headers["pd-event-version"] == "v1"
    assert was_started_since(before, request)
    assert request.body["service_key"] == KEY
    assert json.loads(done.out) == {"key": "ev1", "incident_key": request.body["incident_key"]}


@pytest.mark.parametrize("command", [SEND, ENQUEUE])
def test_commands_of_any_tool_say_as_well_when_they_were_started(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    before = time.time()
    user(*command)
    [request] = agent.received
    assert was_started_since(before, request)


def was_started_since(before: float, request: Received) -> bool:
    """Whether the command says so that sent this; its start is known to a hundredth of a second."""
    return before - 0.02 <= float(request.headers["pd-occurred-at"]) <= time.time()


@pytest.mark.parametrize("command", [*NEW, SEND])
def test_a_command_passes_on_when_it_happened(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    for given, passed in (("1785578400.25", "1785578400.250000"), ("2026-08-01T10:00:00Z", None)):
        user(*command, "--at", given, stdin=STDIN)
        at = agent.received[-1].headers["pd-occurred-at"]
        # A whole second gets its fraction from the start of the command, which was later.
        assert at == passed or at == "1785578400.999000"
        if "payload" in agent.received[-1].body:
            timestamp = agent.received[-1].body["payload"]["timestamp"]
            assert timestamp == f"2026-08-01T10:00:00.{at[11:14]}Z"


def test_notifications_of_one_second_are_in_the_order_of_their_numbers(
    user: CommandLine, agent: AgentStandIn
) -> None:
    for number in ("8", "9", "10", "x"):
        user(*NAGIOS, "--at", "1785578400", "--notification-id", number)
    times = [request.headers["pd-occurred-at"] for request in agent.received]
    assert times == [f"1785578400.{end}" for end in ("000008", "000009", "000010", "999000")]


def test_checkmks_own_time_is_passed_on(user: CommandLine, agent: AgentStandIn) -> None:
    user.env["NOTIFY_MICROTIME"] = "1785578400250000"
    user(*CHECKMK)
    assert agent.received[0].headers["pd-occurred-at"] == "1785578400.250000"


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (["@database"], ""),
        ([KEY], ""),
        (["", "@database"], ""),
        (["$", "$_SERVICEPD_KEY$", "@database"], ""),
        (["not-a-key", "@database"], ""),
        (["@database", "@other"], "warning: no key is named 'other'"),
        (["@other", "@database"], "warning: no key is named 'other'"),
    ],
)
def test_the_first_usable_key_counts(
    user: CommandLine, agent: AgentStandIn, keys: list[str], warning: str
) -> None:
    options = [word for key in keys for word in ("-k", key)]
    done = user("nagios", *options, *NAGIOS[3:])
    assert done.code == 0
    assert done.err.startswith(warning)
    assert agent.received[0].body["routing_key"] == KEY


@pytest.mark.parametrize("command", NEW)
def test_a_dedup_key_without_a_value_counts_as_missing(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    for given in ("", "$_SERVICEALERT$", "mine"):
        assert user(*command, "-y", given, stdin=STDIN).code == 0
    *made, mine = (request.body["dedup_key"] for request in agent.received)
    assert mine == "mine"
    assert len({*made}) == 1
    assert "web1" in made[0]


def test_a_long_key_is_shortened_alike_by_all_commands(
    user: CommandLine, agent: AgentStandIn
) -> None:
    for command in ((*SEND, "-i"), (*ENQUEUE, "-y"), (*NAGIOS, "-y"), (*CHECKMK, "-y")):
        assert user(*command, "long" * 100).code == 0
    bodies = [request.body for request in agent.received]
    [key] = {body.get("incident_key") or body["dedup_key"] for body in bodies}
    assert len(key) == 255
    assert key.startswith("longlong")


def test_checkmk_finds_a_key_in_its_variables(user: CommandLine, agent: AgentStandIn) -> None:
    for variable in ("NOTIFY_PARAMETER_1", "NOTIFY_CONTACTPAGER"):
        user.env[variable] = "@database"
        assert user("checkmk").code == 0
        assert user.env.pop(variable) not in str(agent.received[-1].body)
    assert user("checkmk").code == 2


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        ((*NAGIOS, "-f", "bad", "-f", "=x", "-f", "A=b=c,d"), "-f 'bad' is left out"),
        ((*NAGIOS, "--link", "wiki", "-f", "A=b=c,d"), "--link 'wiki' is left out"),
        ((*NAGIOS, "--at", "$TIMET$", "-f", "A=b=c,d"), "--at '$TIMET$' is neither"),
        ((*NAGIOS_OLD, "-f", "bad", "-f", "A=b=c,d"), "-f 'bad' is left out"),
    ],
)
def test_a_bad_field_is_left_out_with_a_warning(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str], warning: str
) -> None:
    done = user(*command)
    assert done.code == 0
    assert f"warning: {warning}" in done.err
    body = agent.received[0].body
    assert (body.get("details") or body["payload"]["custom_details"])["A"] == "b=c,d"
    assert "links" not in body


@pytest.mark.parametrize("command", [NAGIOS, NAGIOS_OLD])
def test_an_event_that_is_refused_is_sent_without_what_is_optional(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str]
) -> None:
    agent.refuse_next(400, "details: something is wrong")
    done = user(*command, "-f", "A=b")
    assert done.code == 0
    assert done.err.startswith("warning: all that is optional is left out: ")
    whole, bare = (request.body for request in agent.received)
    assert "'A': 'b'" in str(whole)
    assert "'A': 'b'" not in str(bare)
    assert {*bare} == {*whole} - {"details"}
    agent.refuse_next(400, "no")
    agent.refuse_next(400, "no")
    assert user(*command).code == 2


def test_an_event_that_is_too_large_is_sent_without_what_is_optional(
    user: CommandLine, agent: AgentStandIn
) -> None:
    check = {**SENSU_EVENT["check"], "output": "x" * 600_000}
    done = user(*SENSU, stdin=json.dumps({**SENSU_EVENT, "check": check}).encode())
    assert done.code == 0
    assert "PagerDuty takes no larger events" in done.err
    [request] = agent.received
    assert request.body["dedup_key"] == "web1/disk"
    assert "custom_details" not in request.body["payload"]


def test_a_lone_surrogate_in_a_document_keeps_no_event_back(
    user: CommandLine, agent: AgentStandIn
) -> None:
    assert user(*SENSU, stdin=STDIN.replace(b"full", rb"\ud800")).code == 0
    assert agent.received[0].body["payload"]["custom_details"]["check"]["output"] == "?"


def test_what_needs_no_event_sends_none(user: CommandLine, agent: AgentStandIn) -> None:
    done = user("nagios", "-k", KEY, "-t", "DOWNTIMESTART", "--host", "web1")
    assert done == (0, "Nothing to send: DOWNTIMESTART needs no event.\n", "")
    assert user(*NAGIOS_OLD[:5], "DOWNTIMESTART", *NAGIOS_OLD[6:]) == (0, "", "")
    assert agent.received == []


def test_zabbix_takes_a_scripts_three_parameters(user: CommandLine, agent: AgentStandIn) -> None:
    body = "id:1\nhostname:web1\nname:Disk full\nstatus:OK\nseverity:5"
    assert user("zabbix", "--url", "https://a.example", "@database", "resolve", body).code == 0
    [request] = agent.received
    assert request.body["event_action"] == "resolve"
    assert request.body["dedup_key"] == "1-web1"
    assert request.body["payload"]["severity"] == "critical"
    assert request.body["client_url"] == "https://a.example"
    assert "KEY, TYPE and BODY go together" in user("zabbix", KEY, "trigger").error


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nagios", "-k", KEY, "-t", "PROBLEM"), "--host is missing"),
        (("nagios", *NAGIOS[3:]), "Missing option '-k'"),
        (("nagios", "-k", "@other", *NAGIOS[3:]), "no key is named 'other'"),
        (NAGIOS_OLD[:-2], "-f HOSTSTATE=... is missing"),
        (("nagios", "enqueue", "-k", KEY), "Missing option '-t'"),
        (("zabbix", "-k", KEY, "-t", "trigger"), "no key: the body needs lines"),
        (("zabbix", "enqueue", KEY, "trigger", "id:1"), "has no line 'name:...'"),
        (("sensu", "-k", KEY), "standard input is no JSON object"),
        (("sensu", "enqueue", "-k", KEY), "standard input is no JSON object"),
    ],
)
def test_input_without_an_event_is_one_line_and_exit_code_2(
    user: CommandLine, agent: AgentStandIn, arguments: Sequence[str], problem: str
) -> None:
    done = user(*arguments)
    assert done.code == 2
    assert problem in done.error
    assert agent.received == []


@pytest.mark.parametrize("command", [NAGIOS, NAGIOS_OLD, ZABBIX, CHECKMK])
def test_standard_input_is_not_touched(user: CommandLine, command: Sequence[str]) -> None:
    reading, writing = os.pipe()  # nobody will ever write
    try:
        done = subprocess.run(
            user.command(*command), stdin=reading, env=user.environment(), timeout=60, check=False
        )
        assert done.returncode == 0
    finally:
        os.close(reading)
        os.close(writing)


def test_checkmk_is_asked_to_repeat_what_may_succeed_later(
    user: CommandLine, agent: AgentStandIn
) -> None:
    for status in (429, 503):
        agent.refuse_next(status, "not now")
        assert user(*CHECKMK).code == 1
        agent.refuse_next(status, "not now")
        assert user(*NAGIOS).code == 75
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        assert user("-a", nowhere, *CHECKMK).code == 1
        assert user("-a", nowhere, *NAGIOS).code == 69
    agent.tricks.extend([hang_up] * 3)
    done = user(*CHECKMK)
    assert done.code == 1
    assert "isn't known whether the event is stored; send it again" in done.error
    agent.refuse_next(400, "bad")
    agent.refuse_next(400, "bad")
    assert user(*CHECKMK).code == 2


def spooled(user: CommandLine) -> list[dict[str, Any]]:
    """The events that wait in the spool."""
    files = sorted((user.home / "spool").iterdir())
    contents = [json.loads(file.read_bytes()) for file in files]
    return [json.loads(base64.b64decode(content["body"])) for content in contents]


SYSTEMD = ("systemd", "-k", KEY, "trigger", "backup.service")


@pytest.mark.parametrize("trouble", [429, 503, "broken off"])
def test_what_nobody_repeats_goes_to_the_spool_if_the_agent_does_not_take_it(
    user: CommandLine, agent: AgentStandIn, trouble: int | str
) -> None:
    user.configure(address=agent.address, secret=SECRET, spool=str(user.home / "spool"))
    all_of_them = (NAGIOS, NAGIOS_OLD, ZABBIX, SENSU, CHECKMK, SYSTEMD)
    commands = all_of_them if trouble == 503 else (SENSU, SYSTEMD)
    for number, command in enumerate(commands, 1):
        if isinstance(trouble, int):
            agent.refuse_next(trouble, "not now")
        else:
            agent.tricks.extend([hang_up] * 3)
        done = user(*command, stdin=STDIN)
        assert done.code == 0, done.err
        assert "the event waits in" in done.err
        events = spooled(user)
        assert len(events) == number
        assert KEY in (events[-1].get("service_key"), events[-1].get("routing_key"))
    # The agent may have it: the same Idempotency-Key keeps it from being stored twice.
    file = min((user.home / "spool").iterdir())
    idempotency_key = json.loads(file.read_bytes())["idempotency_key"]
    assert idempotency_key == agent.received[0].headers["idempotency-key"]


def test_a_full_disk_is_named_and_nothing_is_left_on_it(
    user: CommandLine, agent: AgentStandIn
) -> None:
    user.configure(address=agent.address, secret=SECRET, spool=str(user.home / "spool"))
    agent.refuse_next(503, "not now")
    done = subprocess.run(
        user.command(*NAGIOS),
        env={**user.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 69
    assert b"the agent takes nothing for now, and the spool" in done.stderr
    assert b"can't be written (File too large); nothing was stored there" in done.stderr
    assert list((user.home / "spool").iterdir()) == []


NAGIOS_KILLS_AFTER = 30


def test_an_agent_that_hangs_costs_no_page(user: CommandLine, agent: AgentStandIn) -> None:
    user.configure(address=agent.address, secret=SECRET, spool=str(user.home / "spool"))
    agent.tricks.append(stay_silent)
    done = subprocess.run(
        user.command(*NAGIOS),
        env=user.environment(),
        capture_output=True,
        timeout=NAGIOS_KILLS_AFTER,
        check=False,
    )
    assert done.returncode == 0
    assert b"the agent gave no answer: the event waits in" in done.stderr
    assert len(spooled(user)) == 1


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The lines that reach syslog, which test machines don't all have."""
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: lines.append(line))
    return lines


@pytest.mark.parametrize(
    "arguments",
    [
        ("-a", "127.0.0.1:1", *NAGIOS),
        ("nagios", "--no-such-option", KEY),
        NAGIOS_OLD[:-2],
        ("--config", "/no/such.yaml", *ZABBIX),
        ("nagios", "-k", KEY, "-t", "PROBLEM"),
        ("-a", "127.0.0.1:1", *SEND),
        ("-a", "127.0.0.1:1", *ENQUEUE),
        ("change", "--batch", "/no/such.ndjson"),
        ("run", "-k", KEY, "--timeout", "soon", "--", "true"),
    ],
)
def test_a_failure_is_one_line_in_syslog_too(
    capsys: pytest.CaptureFixture[str], logged: list[str], arguments: Sequence[str]
) -> None:
    assert main(arguments) != 0
    [line] = logged
    assert f"{line}\n" == capsys.readouterr().err
    assert line.startswith("error: ")
    assert KEY not in line


def test_syslog_gets_failures_of_commands_that_send_only(
    logged: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    assert main(["-a", "127.0.0.1:1", "status"]) == 69
    assert main(["nagios", "--help"]) == 0
    assert logged == []
