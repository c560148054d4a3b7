"""One agent at several addresses, with and without TLS, and an address that is PagerDuty's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from pdagent.config.certificates import self_signed
from tests.agent_process import AgentProcess
from tests.free_ports import free_port
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger


class Listening(AgentProcess):
    """Also at `plain` and `tls`, both (host, port)."""

    def __init__(self, directory: Path, events_url: str, tls_host: str = "127.0.0.1") -> None:
        self.plain = f"http://127.0.0.1:{free_port()}"
        self.tls = f"https://127.0.0.1:{free_port()}"
        directory.mkdir(parents=True, exist_ok=True)
        pair = self_signed()
        self.certificate = directory / "a.cert.pem"
        self.certificate.write_bytes(pair.certificate)
        key = directory / "a.key.pem"
        key.write_bytes(pair.key)
        key.chmod(0o600)
        tls = f"{{address: {tls_host}:{self.tls.rpartition(':')[2]}, "
        tls += f"tls_cert: {self.certificate.name}, tls_key: {key.name}}}"
        listen = f"['{self.plain.removeprefix('http://')}', {tls}]"
        super().__init__(directory, events_url, listen=listen)

    def ask(self, url: str, **headers: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.certificate)
            return session.get(f"{url}/health", headers=headers, timeout=20)

    def send(self, url: str, event: Any) -> requests.Response:
        self.credentials.note_keys_in(str(event))
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.certificate)
            return session.post(f"{url}/v2/enqueue", json=event, timeout=20)


def test_events_come_in_at_every_address(sandbox: SandboxProcess, tmp_path: Path) -> None:
    with Listening(tmp_path, sandbox.url) as agent:
        for number, url in enumerate((agent.url, agent.plain, agent.tls)):
            assert agent.send(url, trigger(key_number(1), number)).status_code == 202, url
        sandbox.wait_for_events(3)
        with pytest.raises(requests.RequestException):
            agent.send(agent.tls.replace("https", "http"), trigger(key_number(1), 9))
        with pytest.raises(requests.RequestException):
            agent.send(agent.plain.replace("http", "https"), trigger(key_number(1), 9))
        assert agent.cli("health").returncode == 0
        line = f"listening on {agent.address} and "
        agent.wait_for(lambda: line in agent.log(), "the line in the log")


def test_a_foreign_name_is_refused_where_only_this_host_can_call(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    with Listening(tmp_path, sandbox.url, tls_host="0.0.0.0") as agent:
        assert agent.ask(agent.plain, Host="pager.example").status_code == 403
        assert agent.ask(agent.tls, Host="pager.example").status_code == 200
        assert agent.ask(agent.plain, Host="pager.example").status_code == 403
        (warning,) = agent.status()["agent"]["warnings"]
        assert "other hosts can send events to 0.0.0.0:" in warning


def test_an_address_in_use_stops_the_start_with_a_line(
    sandbox: SandboxProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "first", sandbox.url) as first:
        second = AgentProcess(tmp_path / "second", sandbox.url, listen=f"[{first.address}]")
        refused = second.cli("server")
        assert refused.returncode == 1
        assert f"can't listen on {first.address} (Address already in use)" in refused.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "events.localhost"])
def test_an_events_url_that_is_its_own_address_stops_the_start(tmp_path: Path, host: str) -> None:
    agent = AgentProcess(tmp_path, "")
    lines = agent.config.read_text().replace(
        "events_url: \n", f"events_url: http://{host}:{agent.address.rpartition(':')[2]}\n"
    )
    agent.config.write_text(lines.replace("api_url: \n", ""))
    refused = agent.cli("server")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"is where this agent itself listens ({agent.address})" in refused.stderr
