"""What a command costs that a monitoring tool starts once per notification."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import CommandLine
from tests.pdagent.cli.integrations.old_program import command_of

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
SEND = ("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")
ENQUEUE = ("enqueue", "-k", KEY, "-t", "trigger", "-d", "Disk full", "-u", "db1", "-e", "error")
CHANGE = ("change", "-k", KEY, "-d", "Deployed")

NAGIOS = ("nagios", "-k", KEY, "-t", "PROBLEM", "--host", "web1", "--state", "DOWN")
NAGIOS_OLD = ("nagios", "enqueue", "-k", KEY, "-t", "PROBLEM", "-n", "host")
NAGIOS_OLD += ("-f", "HOSTNAME=web1", "-f", "HOSTSTATE=DOWN")
ZABBIX = ("zabbix", "-k", KEY, "-t", "trigger", "--id", "1", "--host", "web1", "--severity", "4")
RUN = ("run", "-k", KEY, "--timeout", "60", "--expect-every", "1h", "--", "true")
OF_TOOLS = [NAGIOS, NAGIOS_OLD, ZABBIX]

# Each of these takes longer to load than what a single event needs of it is worth.
UNWANTED = {
    *("asyncio", "difflib", "email", "falcon", "hashlib", "http.client", "importlib.metadata"),
    *("inspect", "lmdb", "logging", "msgspec", "platform", "pykka", "requests", "rich", "ssl"),
    *("subprocess", "tempfile", "typing_extensions", "urllib.request", "urllib3", "uvicorn"),
    *("uvloop", "yaml"),
}
# Loading is what the time goes into, so whatever is new here has to be worth it.
OF_OTHERS = {"click", "httptools"}
JSON = {"msgspec", "typing_extensions"}  # where the latter is installed, the former loads it


@pytest.mark.parametrize(
    "command", [SEND, ENQUEUE, CHANGE, (*SEND, "--json"), (*SEND, "-q"), *OF_TOOLS, RUN]
)
def test_sending_loads_only_what_it_needs(user: CommandLine, command: Sequence[str]) -> None:
    _loads_only_what_it_needs(user, command)


def test_the_old_programs_load_only_what_they_need(user: CommandLine) -> None:
    user.program = [str(word) for word in command_of("send")[1:]]
    _loads_only_what_it_needs(user, SEND[1:])
    user.program = [str(word) for word in command_of("nagios")[1:]]
    _loads_only_what_it_needs(user, NAGIOS_OLD[2:])


def test_sending_by_the_socket_with_credentials_in_files_loads_no_more(user: CommandLine) -> None:
    with tempfile.TemporaryDirectory(prefix="pdagent") as folder:
        path, secret, keys = (Path(folder) / name for name in ("sock", "secret", "keys"))
        secret.write_text(SECRET)
        keys.write_text(f"db: {KEY}\n")
        user.configure(socket=str(path), secret_file=str(secret), routing_keys_file=str(keys))
        for file in (secret, keys):
            file.chmod(0o600)
        with AgentStandIn(path=path) as agent:
            _loads_only_what_it_needs(user, ("send", "-k", "@db", *SEND[3:]))
            assert agent.received[0].body["service_key"] == KEY


@pytest.mark.parametrize(
    ("command", "drawing"),
    [
        (("health",), set()),
        (("health", "--json"), set()),
        (("config", "check"), set()),
        (("status", "--json"), JSON),
        (("status",), {*JSON, "rich"}),
        (("queue", "status"), {*JSON, "rich", "tempfile"}),
    ],
)
def test_looking_loads_little_besides_what_draws(
    user: CommandLine, command: Sequence[str], drawing: set[str]
) -> None:
    loaded = _loaded(user, command)
    assert loaded & UNWANTED <= drawing
    assert {name.partition(".")[0] for name in loaded} & _installed() <= OF_OTHERS | drawing


def _loads_only_what_it_needs(user: CommandLine, command: Sequence[str]) -> None:
    loaded = _loaded(user, command)
    assert {"pdagent.cli.submission", "pdagent.localclient"} <= loaded
    assert loaded & UNWANTED == set()
    assert {name.partition(".")[0] for name in loaded} & _installed() <= OF_OTHERS


def _loaded(user: CommandLine, command: Sequence[str]) -> set[str]:
    """The modules that a command loads."""
    user.env["PYTHONPROFILEIMPORTTIME"] = "1"
    done = user(*command)
    assert done.code == 0
    return {
        line.rpartition("|")[2].strip()
        for line in done.err.splitlines()
        if line.startswith("import time:")
    }


def _installed() -> set[str]:
    """The packages of other people that the program, its tests and its tools use."""
    own = {"pdagent", "actors", "store", "_distutils_hack"}
    return {name for name in packages_distributions() if name not in own}


@pytest.mark.parametrize("command", [SEND, ENQUEUE, CHANGE])
@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_quiet_prints_no_receipt(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str], quiet: str
) -> None:
    done = user(*command, quiet)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len(agent.received) == 1
