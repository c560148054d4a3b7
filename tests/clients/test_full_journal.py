"""A full journal refuses all with 503: clients that try again lose nothing. Both over TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.clients.alertmanager_process import PROGRAM, AlertmanagerProcess
from tests.clients.documented import ADDRESS, KEY, blocks
from tests.clients.tls_agent import TlsAgent
from tests.sandbox_process import SandboxProcess

FILLING_KEYS = [f"v4g5q7yie1qee1yio2uimz8yfbjenvj{number}" for number in range(3)]
CERTIFICATE = "/etc/pagerduty-agent.cert.pem"


@pytest.fixture
def full(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[TlsAgent]:
    """An agent whose journal is full, while PagerDuty is down; room comes with deliveries."""
    sandbox.behave(down=True)
    settings = {"max_journal_mb": 1, "retention": "1s"}
    with TlsAgent(tmp_path / "agent", sandbox.url, **settings) as agent:
        event = {
            "event_action": "trigger",
            "payload": {
                "summary": "Large",
                "source": "db1",
                "severity": "info",
                "custom_details": {"log": "x" * 60_000},
            },
        }
        for number in range(100):
            event["routing_key"] = FILLING_KEYS[number % 3]  # one fills half of it only
            if agent.post("/v2/enqueue", json=event).status_code == 503:
                break
        assert agent.get("/health").status_code == 503
        yield agent


def refused(agent: TlsAgent) -> float:
    lines = agent.get("/metrics").text.splitlines()
    return sum(float(x.rpartition(" ")[2]) for x in lines if "refused" in x and x[0] != "#")


def arrived(sandbox: SandboxProcess) -> list[str]:
    return [event["body"]["payload"]["summary"] for event in sandbox.events(rk=KEY)]


def test_the_python_sdk_waits_it_out(full: TlsAgent, sandbox: SandboxProcess) -> None:
    pagerduty = pytest.importorskip("pagerduty", reason="PagerDuty's SDK is not installed")
    context = ssl.create_default_context(cafile=str(full.certificate))
    client = pagerduty.EventsApiV2Client(KEY, base_url=full.url, verify=context, trust_env=False)
    client.sleep_timer = 0.5
    before = refused(full)
    sender = threading.Thread(target=client.trigger, args=("Disk full", "db1"))
    sender.start()
    full.wait_for(lambda: refused(full) > before, "the SDK is refused")
    sandbox.behave(down=False)
    sandbox.wait_for(lambda: arrived(sandbox) == ["Disk full"], "the event arrives", timeout=60)
    sender.join()


@pytest.mark.skipif(
    PROGRAM is None, reason="Alertmanager is not installed (Debian: prometheus-alertmanager)"
)
def test_alertmanager_waits_it_out(full: TlsAgent, sandbox: SandboxProcess, tmp_path: Path) -> None:
    config = yaml.safe_load(blocks("alertmanager", "yaml")[0])
    trust = yaml.safe_load(blocks("alertmanager", "yaml")[1])
    assert trust == {"http_config": {"tls_config": {"ca_file": CERTIFICATE}}}
    trust["http_config"]["tls_config"]["ca_file"] = str(full.certificate)
    [receiver] = config["receivers"][0]["pagerduty_configs"]
    assert receiver["url"] == f"http://{ADDRESS}/v2/enqueue"
    receiver |= {"url": f"{full.url}/v2/enqueue", **trust}
    config["route"] |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    with AlertmanagerProcess(tmp_path / "alertmanager", config) as alertmanager:
        alertmanager.fire("DiskFull")
        full.wait_for(lambda: "status code 503" in alertmanager.log(), "Alertmanager is refused")
        sandbox.behave(down=False)
        sandbox.wait_for(lambda: len(arrived(sandbox)) == 1, "the alert arrives", timeout=60)
    assert "DiskFull" in arrived(sandbox)[0]
