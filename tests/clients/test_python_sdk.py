"""PagerDuty's own Python SDK over the TLS listener of `init --tls`, with only its URL changed."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.clients.documented import KEY, blocks, pointed_at
from tests.clients.tls_agent import TlsAgent
from tests.sandbox_process import SandboxProcess

pagerduty = pytest.importorskip("pagerduty", reason="PagerDuty's Python SDK is not installed")

PAGE = "python-sdk"
PATIENCE = 60.0


@pytest.fixture
def client(tls_agent: TlsAgent) -> Any:
    """The SDK's client as the page has it for programs that trust one more certificate."""
    return client_of(tls_agent)


def client_of(agent: TlsAgent) -> Any:
    context = ssl.create_default_context(cafile=str(agent.certificate))
    found = pagerduty.EventsApiV2Client(KEY, base_url=agent.url, verify=context, trust_env=False)
    found.sleep_timer = 0.2
    return found


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_documented_program_works_with_its_certificate_from_the_environment(
    tls_agent: TlsAgent, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    program = pointed_at(blocks(PAGE, "python")[0], tls_agent.address)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(tls_agent.certificate),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trigger, acknowledge, resolve, change = sandbox.wait_for_events(4)
    assert [trigger["action"], acknowledge["action"], resolve["action"], change["kind"]] == [
        "trigger",
        "acknowledge",
        "resolve",
        "change",
    ]
    assert trigger["body"]["payload"]["custom_details"] == {"free": "0"}
    assert trigger["dedup_key"] == acknowledge["dedup_key"] == resolve["dedup_key"] != ""
    assert change["body"]["payload"]["summary"] == "Deployed 4.2"
    assert "SSL_CERT_FILE=" in blocks(PAGE, "sh")[1]


def test_the_documented_client_with_a_certificate_of_its_own_works(
    tls_agent: TlsAgent, sandbox: SandboxProcess
) -> None:
    program = pointed_at(blocks(PAGE, "python")[1], tls_agent.address)
    assert "/etc/pagerduty-agent.cert.pem" in program
    names: dict[str, Any] = {}
    exec(program.replace("/etc/pagerduty-agent.cert.pem", str(tls_agent.certificate)), names)
    key = names["client"].trigger("Disk full", "db1", dedup_key="db1/disk")
    assert key == "db1/disk"
    [event] = sandbox.wait_for_events(1)
    assert event["dedup_key"] == "db1/disk"


def test_without_the_certificate_the_sdk_trusts_nobody(tls_agent: TlsAgent) -> None:
    before = tls_agent.totals()["accepted"]
    client = pagerduty.EventsApiV2Client(KEY, base_url=tls_agent.url, trust_env=False)
    client.sleep_timer, client.max_network_attempts = 0.01, 1
    with pytest.raises(pagerduty.Error):
        client.trigger("Disk full", "db1")
    assert tls_agent.totals()["accepted"] == before


def test_the_sdk_takes_no_address_without_tls(agent: AgentProcess) -> None:
    with pytest.raises(pagerduty.UrlError):
        pagerduty.EventsApiV2Client(KEY, base_url=agent.url)


def test_what_happens_during_an_outage_arrives_later_in_order_with_its_own_time(
    tls_agent: TlsAgent, sandbox: SandboxProcess, client: Any
) -> None:
    sandbox.behave(down=True)
    began = time.time()
    dedup_key = client.trigger("Disk full", "db1")
    client.resolve(dedup_key)
    client.submit("Disk replaced", source="db1", timestamp="2026-08-01T10:00:00.123456Z")
    ended = time.time()
    assert tls_agent.totals()["waiting"] == 3
    time.sleep(1.0)  # an outage long enough for its own time to differ from the delivery's
    sandbox.behave(down=False)
    trigger, resolve, change = sandbox.wait_for_events(3)
    assert (trigger["action"], resolve["action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == dedup_key
    happened = moment(trigger["body"]["payload"]["timestamp"])
    assert began - 0.01 <= happened <= ended
    assert trigger["at"] - happened >= 1.0
    assert change["body"]["payload"]["timestamp"] == "2026-08-01T10:00:00.123456Z"


def test_a_full_queue_is_waited_out(
    tls_agent: TlsAgent, sandbox: SandboxProcess, client: Any
) -> None:
    sandbox.behave(down=True)
    for number in range(3):
        client.trigger(f"Event {number}", "db1")
    keys: list[str] = []

    def refusals() -> float:
        return sum(
            float(line.rpartition(" ")[2])
            for line in tls_agent.get("/metrics").text.splitlines()
            if line.startswith("pdagent_") and "refused" in line
        )

    before = refusals()
    late = threading.Thread(target=lambda: keys.append(client.trigger("Event 3", "db1")))
    late.start()
    tls_agent.wait_for(lambda: refusals() >= before + 2, "the SDK was refused and has tried again")
    assert keys == []
    sandbox.behave(down=False)
    late.join(PATIENCE)
    assert not late.is_alive()
    events = sandbox.wait_for_events(4)
    summaries = [event["body"]["payload"]["summary"] for event in events]
    assert summaries == ["Event 0", "Event 1", "Event 2", "Event 3"]
    assert keys == [events[-1]["dedup_key"]]


def test_an_invalid_event_is_told_to_the_caller_at_once(tls_agent: TlsAgent, client: Any) -> None:
    before = tls_agent.totals()["accepted"]
    with pytest.raises(pagerduty.HttpError) as refused:
        client.trigger("Disk full", "db1", severity="fatal")
    assert refused.value.response.status_code == 400
    assert "payload.severity" in refused.value.response.json()["errors"][0]
    assert tls_agent.totals()["accepted"] == before
