"""Names under which the agent is called, the secret on PagerDuty's paths, and start warnings."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pdagent.config import Config, StartRefused
from pdagent.httpapi.guard import names_of_this_host
from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.pdagent.httpapi.raw_http import RawConnection, head
from tests.pdagent.httpapi.sample_events import trigger
from tests.pdagent.httpapi.test_methods_and_types import PAGERDUTY_PATHS

REFUSED = "a request was refused: "
OPEN_TO_ALL = "other hosts can send events"


class PublicAgent(AgentProcess):
    """Listens on all addresses."""

    def write_config(self, settings: Mapping[str, object]) -> None:
        """As the agent's, with another address."""
        address = f"0.0.0.0:{self.address.rpartition(':')[2]}"
        super().write_config({**settings, "address": address})


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory, nowhere: str) -> Iterator[AgentProcess]:
    with PublicAgent(tmp_path_factory.mktemp("public") / "agent", nowhere) as process:
        yield process


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, nowhere: str) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("strict") / "agent"
    more = {"require_secret": "true", "allowed_hosts": "[Pager.example, alerts]"}
    with PublicAgent(directory, nowhere, **more) as process:
        yield process


def ask(agent: AgentProcess, host: str, **headers: str) -> int:
    event = json.dumps(trigger()).encode()
    with RawConnection(agent) as connection:
        request = head(agent, Host=host, Content_Length=len(event), **headers)
        return connection.send(request, event).answer().status


@pytest.mark.parametrize(
    "host",
    [
        "pagerduty-agent:49463",
        "pagerduty_agent",
        "host.docker.internal:49463",
        "web-17.example.com.",
        "10.0.0.7",
        "[fe80::7]:49463",
    ],
)
def test_other_hosts_call_an_agent_by_any_name(public: AgentProcess, host: str) -> None:
    assert ask(public, host) == 202
    assert public.get("/health", headers={"Host": host}).status_code == 200


def test_web_pages_are_refused_on_any_address(public: AgentProcess) -> None:
    assert ask(public, "pagerduty-agent", Origin="https://evil.example") == 403


MALFORMED = ["localhost:80@evil.com", "user@localhost", "localhost/x", "a b", "[::1", "x:port", "*"]


@pytest.mark.parametrize("host", MALFORMED)
def test_a_malformed_host_is_refused_everywhere(
    agent: AgentProcess, public: AgentProcess, host: str
) -> None:
    assert [ask(agent, host), ask(public, host)] == [403, 403]


def aliases() -> set[str]:
    """What the hosts file of this machine calls 127.0.0.1."""
    lines = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    return {name for line in lines if line[:1] == ["127.0.0.1"] for name in line[1:]}


def test_names_of_this_host_reach_an_agent_on_loopback(agent: AgentProcess) -> None:
    names = {socket.gethostname(), socket.gethostname().upper(), "agent.localhost", *aliases()}
    assert {name: ask(agent, f"{name}:49463") for name in names} == dict.fromkeys(names, 202)
    assert ask(agent, "") == 202


def test_the_hosts_file_names_this_host_only_beside_its_own_addresses(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "# comment\n127.0.0.1 localhost Pager.Example. # db\n127.0.1.1\tweb-17.example web-17\n"
        "192.0.2.7 other\n0.0.0.0 blocked\n:: blocked\nnonsense nonsense\n\n"
    )
    names = names_of_this_host(hosts)
    assert {"localhost", "pager.example", "web-17.example", "web-17"} <= names
    assert not {"other", "blocked", "nonsense", "db", ""} & names
    assert socket.gethostname().lower() in names_of_this_host(tmp_path / "none")


def test_allowed_hosts_reach_an_agent_on_loopback(tmp_path: Path, nowhere: str) -> None:
    with AgentProcess(tmp_path, nowhere, allowed_hosts="[Pager.example, alerts]") as agent:
        statuses = [ask(agent, host) for host in ("pager.example:80", "ALERTS", "evil.example")]
        assert statuses == [202, 202, 403]
        assert ask(agent, "127.0.0.1", Origin="https://evil.example") == 403
        assert ask(agent, "evil.example") == 403
        agent.wait_for(lambda: REFUSED in agent.log(), "the refusal is logged")
        [line] = [line for line in agent.log().splitlines() if REFUSED in line]
        assert "evil.example" in line
        assert "allowed_hosts" in line


@pytest.mark.parametrize("path", PAGERDUTY_PATHS)
def test_require_secret_protects_the_paths_of_pagerduty(strict: AgentProcess, path: str) -> None:
    event, accepted = PAGERDUTY_PATHS[path]
    before = strict.totals()["accepted"]
    url = f"{strict.url}{path}"
    with_password = url.replace("://", f"://agent:{strict.secret}@")
    wrong = url.replace("://", f"://{strict.secret}:no@")

    def post(url: str, **headers: str) -> int:
        answer = strict.session().post(url, json=event, headers=headers, timeout=20)
        if answer.status_code == 401:
            assert "secret" in answer.json()["errors"][0]
            assert "Basic" in answer.headers["WWW-Authenticate"]
            assert answer.json()["status"] == "service unavailable"  # the event is not at fault
            assert "retry later" in answer.text
        return answer.status_code

    assert [post(url), post(wrong), post(url, Authorization="Basic ü")] == [401, 401, 401]
    assert strict.totals()["accepted"] == before
    assert post(with_password) == accepted
    assert post(url, Authorization=f"token {strict.secret}") == accepted
    assert post(url, Authorization=f"Bearer {strict.secret}") == accepted
    assert strict.is_healthy()


def test_require_secret_needs_a_secret() -> None:
    with pytest.raises(StartRefused, match="require_secret"):
        Config(require_secret=True).check()


def warnings_of(agent: AgentProcess) -> list[str]:
    """Those that `status` shows; the start has logged the same."""
    warnings: list[str] = agent.status()["agent"]["warnings"]
    shown = agent.cli("status").stdout
    for warning in warnings:
        agent.wait_for(lambda text=warning: text in agent.log(), "the line in the log")
        assert warning[:30] in re.sub(r"\s+", " ", shown)
    return warnings


def test_an_agent_that_anybody_can_send_to_warns(
    agent: AgentProcess, public: AgentProcess, strict: AgentProcess
) -> None:
    [warning] = warnings_of(public)
    assert OPEN_TO_ALL in warning
    assert "require_secret" in warning
    assert warnings_of(strict) == warnings_of(agent) == []


class WithFewFiles(AgentProcess):
    """May have 300 files open."""

    def command(self, *arguments: str) -> list[str]:
        """As the agent's, behind a shell that sets the limit."""
        return ["/bin/sh", "-c", 'ulimit -n 300; exec "$@"', "sh", *super().command(*arguments)]


def test_too_few_open_files_are_warned_about(tmp_path: Path, nowhere: str) -> None:
    with WithFewFiles(tmp_path, nowhere, max_in_flight=50) as agent:
        [warning] = warnings_of(agent)
        assert "may open 300 files and needs 1250: it accepts 50 connections" in warning


def test_a_private_key_that_every_user_can_read_is_warned_about(
    tmp_path: Path, nowhere: str
) -> None:
    with TlsAgent(tmp_path, nowhere) as agent:
        assert warnings_of(agent) == []
        agent.stop()
        key = next(tmp_path.glob(".pagerduty-agent.key.pem"))
        key.chmod(0o644)
        agent.start()
        [warning] = warnings_of(agent)
        assert f"chmod 600 {key}" in warning
