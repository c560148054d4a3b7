"""Whatever stands in an option, an argument or a variable: the page goes out, no traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.cli import main
from pdagent.cli.integrations import old_names
from pdagent.events import KINDS, parse
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
# As the system hands them over: no NUL, and what isn't UTF-8 as a surrogate.
VALUES = st.binary(max_size=30).map(lambda b: os.fsdecode(b.replace(b"\0", b""))) | st.sampled_from(
    ["", "-", "--", "-x", "--help", "=", "$X$", "\u202e", "x" * 2000, "1e999", "nan", "[", "{}"]
)
PLAIN = st.sampled_from(["web1", "Größe", "-", "--", "a:b", "x" * 300])
OPTIONS = ("state", "output", "long-output", "notes-url", "attempt", "comment", "at", "link")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[AgentStandIn]:
    with AgentStandIn() as stand_in:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PAGERDUTY_AGENT_ADDRESS", stand_in.address)
        monkeypatch.setenv("PAGERDUTY_AGENT_SECRET", SECRET)
        yield stand_in


def arrived(agent: AgentStandIn) -> None:
    """One event has arrived, and it is valid."""
    request = agent.received.pop()
    [kind] = [kind for kind in KINDS if kind == request.headers["pd-event-version"]]
    parse(kind, request.raw)
    assert not agent.received


def test_nagios(agent: AgentStandIn, capfd: pytest.CaptureFixture[str]) -> None:
    @given(PLAIN, VALUES, st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES)), st.lists(VALUES))
    def sends(host: str, service: str, options: list[tuple[str, str]], more: Sequence[str]) -> None:
        words = [f"--{name}={value}" for name, value in options]
        words += [f"--field={value}" for value in more] + [f"--service={service}"]
        assert main(["nagios", "-k", KEY, "-t", "PROBLEM", f"--host={host}", *words]) == 0
        arrived(agent)

    sends()
    assert "Traceback" not in capfd.readouterr().err


def test_pd_send(
    agent: AgentStandIn, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @given(PLAIN, VALUES, st.lists(VALUES))
    def sends(description: str, client: str, fields: Sequence[str]) -> None:
        words = [f"--description={description}", f"--client={client}"]
        words += [f"--field={value}" for value in fields]
        monkeypatch.setattr("sys.argv", ["pd-send", "-k", KEY, "-t", "trigger", *words])
        assert old_names.send() == 0
        arrived(agent)

    sends()
    assert "Traceback" not in capfd.readouterr().err


def test_zabbix(agent: AgentStandIn, capfd: pytest.CaptureFixture[str]) -> None:
    @given(VALUES, VALUES)
    def sends(action: str, rest: str) -> None:
        body = f"id:1\nhostname:web1\n{rest}"
        assert main(["zabbix", "--", KEY, action, body]) == 0
        arrived(agent)

    sends()
    assert "Traceback" not in capfd.readouterr().err


def test_checkmk(
    agent: AgentStandIn, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("SERVICEDESC", "SERVICESTATE", "HOSTADDRESS", "MICROTIME", "SERVICEURL", "PARAMETER_1")

    @given(PLAIN, st.dictionaries(st.sampled_from(names), VALUES))
    def sends(host: str, variables: dict[str, str]) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("NOTIFY_HOSTNAME", host)
            patch.setenv("NOTIFY_NOTIFICATIONTYPE", "PROBLEM")
            for name, value in variables.items():
                patch.setenv(f"NOTIFY_{name}", value)
            assert main(["checkmk", "-k", KEY, "--url-prefix", "https://mon.example.com"]) == 0
        arrived(agent)

    sends()
    assert "Traceback" not in capfd.readouterr().err
