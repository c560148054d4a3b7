"""Hosts that deliver to relays: real agents, of which some are the relays of others.

A relay without an engine is an ordinary agent with `accept_secrets`.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from signal import SIGCONT

import pytest
import requests

from tests.agent_process import AgentProcess
from tests.clients.tls_agent import TlsAgent
from tests.pdagent.eventsapi.peers import Link, Peer
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import KEY, key_number, number_of, numbers_by_key, trigger

OLD, NEW = "secret-of-last-year", "secret-of-this-year"
V1 = {"service_key": key_number(3), "event_type": "trigger", "description": "disk full"}

Start = Callable[..., AgentProcess]


@pytest.fixture
def start(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Start]:
    """Starts a `name`d agent: a relay, or a host if it has `relays`."""
    with ExitStack() as opened:

        def start(name: str, *relays: str, **settings: object) -> AgentProcess:
            if relays:
                settings = {"relay_secret": NEW, **settings, "relays": f"[{', '.join(relays)}]"}
            else:
                settings = {"accept_secrets": f"[{NEW}, {OLD}]", **settings}
            url = str(settings.pop("events_url", "http://127.0.0.1:9" if relays else sandbox.url))
            return opened.enter_context(AgentProcess(tmp_path / name, url, **settings))

        yield start


def link_error(host: AgentProcess) -> str:
    host.wait_for(lambda: host.status()["pagerduty"]["state"] == "unreachable", "no relay")
    return str(host.status()["pagerduty"]["last_error"])


def summaries(agent: AgentProcess) -> list[int]:
    """The numbers of all events that an agent has accepted, in their order."""
    agent.wait_until_drained()  # an event would be in neither of two lists if it moves meanwhile
    agent.wait_until_recorded(KEY)
    rows = agent.get("/queue/events", params={"state": "delivered", "limit": 1000}).json()["events"]
    numbers = []
    for row in rows:
        whole = agent.get(f"/queue/events/{row['id']}").json()
        numbers.append((whole["accepted_at"], number_of({"body": whole["event"]})))
    return [number for _, number in sorted(numbers)]


def test_events_of_all_kinds_reach_pagerduty_through_a_relay_with_tls(
    start: Start, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    relay = TlsAgent(tmp_path / "relay", sandbox.url, accept_secrets=f"[{NEW}]")
    with relay:
        host = start("host", relay.url, relay_ca=relay.certificate)
        host.send_v2(trigger()).raise_for_status()
        host.send_v1(V1).raise_for_status()
        change = {"routing_key": KEY, "payload": {"summary": "deployed"}}
        host.post("/v2/change/enqueue", json=change).raise_for_status()
        host.wait_until_drained()
        relay.wait_until_drained()
        assert len(sandbox.events()) == 3
        said = f"delivering to relay {relay.url}"
        host.wait_for(lambda: said in host.log(), "the log says it")
        status = host.status()["pagerduty"]
        assert (status["relay"], status["state"]) == (relay.url, "reachable")
        assert f'pdagent_relay_info{{url="{relay.url}"}} 1.0' in host.get("/metrics").text
        shown = host.cli("status").stdout
        assert said in shown and "PagerDuty" not in shown


def test_a_relay_takes_nothing_without_one_of_its_secrets(start: Start, tmp_path: Path) -> None:
    relay = start("relay", socket=tmp_path / "socket", events_url="http://127.0.0.1:9")
    paths: dict[str, dict[str, object]] = {
        "/send": {"json": trigger(), "headers": {"Pd-Event-Version": "v2"}},
        "/send/batch": {"data": b"{}\n", "headers": {"Content-Type": "application/x-ndjson"}},
        "/v2/enqueue": {"json": trigger()},
        "/v2/change/enqueue": {"json": {"routing_key": KEY, "payload": {"summary": "x"}}},
        "/generic/2010-04-15/create_event.json": {"json": V1},
        f"/integration/{KEY}/enqueue": {"json": trigger()},
        "/nagios/2010-04-15/create_event": {"data": {"pd_nagios_object": "host"}},
        "/v2/enqueue?x=1": {"json": trigger()},  # past the direct way
    }
    for path, request in paths.items():
        for given in (None, f"token {relay.secret}", "token ", "token wrong"):
            headers = {**request.get("headers", {}), "Authorization": given}  # type: ignore[dict-item]
            answer = relay.post(path, **{**request, "headers": headers})
            assert (path, answer.status_code) == (path, 401)
            assert "one of the accept_secrets" in answer.text
    over_socket = relay.cli("enqueue", "-k", KEY, "-t", "trigger", "-d", "x", "-u", "y")
    assert over_socket.returncode == 1 and "is a relay" in over_socket.stderr
    assert relay.totals()["accepted"] == 0
    for secret in (OLD, NEW):
        for path in ("/v2/enqueue", "/v2/enqueue?x=1"):
            headers = {"Authorization": f"token {secret}"}
            assert relay.post(path, json=trigger(), headers=headers).status_code == 202
    assert relay.get("/status", headers={"Authorization": f"token {NEW}"}).status_code == 401


def test_a_wrong_secret_keeps_the_events_until_it_is_right(start: Start) -> None:
    relay = start("relay")
    host = start("host", relay.url, relay_secret=OLD)
    host.send_v2(trigger()).raise_for_status()
    host.wait_until_drained()
    relay.stop()
    config = relay.config.read_text()
    relay.config.write_text(config.replace(f"[{NEW}, {OLD}]", f"[{NEW}]"))
    relay.start()
    host.send_v2(trigger(number=1)).raise_for_status()
    assert "the secret is missing or wrong" in link_error(host)
    assert (host.totals()["waiting"], host.totals()["dead_lettered"]) == (1, 0)
    host.stop()
    host.config.write_text(host.config.read_text().replace(OLD, NEW))
    host.start()
    host.wait_until_drained()
    assert (relay.totals()["accepted"], host.totals()["dead_lettered"]) == (2, 0)


def test_order_and_number_of_a_keys_events_over_a_failover(start: Start) -> None:
    first, second = start("first"), start("second")
    host = start("host", first.url, second.url)
    killed = threading.Event()

    def kill_first() -> None:
        host.wait_for(lambda: first.totals()["accepted"] > 40, "the first has some")
        first.kill()
        killed.set()

    killer = threading.Thread(target=kill_first)
    killer.start()
    for number in range(150):
        host.send_v2(trigger(number=number)).raise_for_status()
    killer.join()
    assert killed.is_set()
    host.wait_until_drained()
    assert host.status()["pagerduty"]["relay"] == second.url
    assert "pdagent_relay_switches_total 1.0" in host.get("/metrics").text
    first.start()
    at_first, at_second = summaries(first), summaries(second)
    # The one in flight at the kill may be at both.
    both = len(set(at_first) & set(at_second))
    assert both <= 1
    assert at_first[: len(at_first) - both] + at_second == list(range(150))
    assert host.totals()["delivered"] == 150


def test_a_relay_that_hangs_silences_a_key_for_seconds_only(start: Start) -> None:
    first, second = start("first"), start("second")
    host = start("host", first.url, second.url)
    host.send_v2(trigger()).raise_for_status()
    host.wait_until_drained()
    first.pause()
    try:
        for number in (1, 2, 3):
            host.send_v2(trigger(key_number(number), number)).raise_for_status()
        host.wait_until_drained(10.0)
        assert second.totals()["accepted"] == 3
    finally:
        first.signal(SIGCONT)


def test_while_no_relay_is_there_events_wait_and_go_on_at_once(start: Start) -> None:
    relay = start("relay")
    host = start("host", relay.url, give_up_after="1s", max_attempts=1)
    relay.kill()
    for number in (1, 2):
        host.send_v2(trigger(key_number(number), number)).raise_for_status()
    assert "Connection refused" in link_error(host)
    health = host.get("/health")
    assert health.status_code == 200 and "\nthe relay is unreachable since" in health.text
    status = host.cli("status").stdout
    assert "delivery resumes when the relay is back" in status
    host.wait_for(lambda: "the relay can't be reached (relay " in host.log(), "the log says it")
    relay.start()
    host.wait_until_drained(4.0)
    host.send_v2(trigger(key_number(1), 3)).raise_for_status()
    host.wait_until_drained(4.0)
    assert (host.totals()["delivered"], host.totals()["dead_lettered"]) == (3, 0)


def test_a_full_queue_at_the_relay_delays_its_key_alone_and_paces_nothing(start: Start) -> None:
    relay = start("relay", max_queue_length=1)
    relay.post("/v2/enqueue", json=trigger(), headers={"Authorization": f"token {NEW}"})
    relay.post("/queue/hold", params={"rk": KEY}, json={}).raise_for_status()
    host = start("host", relay.url)
    host.send_v2(trigger(number=1)).raise_for_status()
    host.send_v2(trigger(number=2)).raise_for_status()
    host.send_v2(trigger(key_number(1), 3)).raise_for_status()
    full = 'pdagent_deferred_total{reason="refused_for_now"} '
    host.wait_for(
        lambda: float(host.get("/metrics").text.partition(full)[2].split()[0]) >= 1, "it is full"
    )
    host.wait_for(lambda: host.totals()["delivered"] >= 1, "the other key goes on")
    relay.post("/queue/release", params={"rk": KEY}, json={}).raise_for_status()
    host.wait_until_drained()
    rows = {row["paced"] for row in host.status()["queues"]}
    assert rows == {False} and host.totals()["dead_lettered"] == 0


def send(host: AgentProcess, key: str = "k1", number: int = 0) -> requests.Response:
    return host.send_v2(trigger(number=number), idempotency_key=key)


def test_with_acknowledge_relay_the_answer_waits_until_a_relay_has_the_event(start: Start) -> None:
    relay = start("relay")
    host = start("host", relay.url, acknowledge="relay")
    assert send(host).status_code == 200
    assert relay.totals()["accepted"] == 1
    assert send(host).status_code == 200, "repeated: the relay has had it"
    lines = b"".join(
        b'{"routing_key":"%032d","event_action":"resolve","dedup_key":"d"}\n' % n for n in range(20)
    )
    results = host.post("/send/batch", data=lines).text.splitlines()
    assert len(results) == 20 and not any("status" in line for line in results)
    assert relay.totals()["accepted"] == 21
    relay.kill()
    with ThreadPoolExecutor() as pool:
        refused_line = pool.submit(host.post, "/send/batch", data=lines[: lines.index(b"\n") + 1])
        refused = send(host, "k2")
    assert refused.status_code == 503 and "Retry-After" in refused.headers
    assert "this host has stored it, and sends it until one has" in refused.json()["errors"][0]
    assert refused.json()["may_have_been_stored"] is True
    batch = refused_line.result().json()
    assert batch["status"] == 503 and "no relay has the event yet" in batch["errors"][0]
    assert 'pdagent_refused_total{reason="unacknowledged"} 2.0' in host.get("/metrics").text
    relay.start()
    assert send(host, "k2").status_code == 200
    host.wait_until_drained()
    assert relay.totals()["accepted"] == 23 == host.totals()["accepted"]


def test_with_acknowledge_relay_its_refusal_is_the_answer(start: Start) -> None:
    words = '{"status":"invalid event","message":"Event object is invalid","errors":["too odd"]}'

    def refuse(link: Link) -> None:
        while link.request() is not None:
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(words)}\r\n\r\n"
            link.send(f"{head}{words}".encode())

    with Peer(refuse) as relay:
        host = start("host", relay.url, acknowledge="relay")
        for _ in range(2):
            answer = send(host)
            assert answer.status_code == 400
            assert "too odd" in answer.json()["errors"][0]
        assert host.totals()["dead_lettered"] == 1


def test_what_a_relay_has_lost_is_sent_again_in_order(
    start: Start, sandbox: SandboxProcess
) -> None:
    relay = start("relay")
    host = start("host", relay.url)
    for number in range(5):
        host.send_v2(trigger(number=number)).raise_for_status()
    host.send_v1(V1).raise_for_status()
    host.wait_until_drained()
    done = host.cli("relay", "resend", "--since", "1h")
    assert done.stdout == "0 events sent, 6 already there, 0 refused\n"
    relay.kill()
    shutil.rmtree(relay.journal)
    sandbox.reset()
    with ThreadPoolExecutor() as pool:  # it lasts until a relay is there
        running = pool.submit(host.cli, "relay", "resend", "--since", "1h", "--json")
        relay.start()
        assert json.loads(running.result().stdout) == {
            "sent": 6,
            "already_there": 0,
            "refused": 0,
        }
    relay.wait_until_drained()
    v2 = [event for event in sandbox.events() if event["kind"] == "v2"]
    assert numbers_by_key(v2) == {KEY: list(range(5))}
    assert len(sandbox.events()) == 6
    now = host.cli("relay", "resend", "--since", f"{time.time() + 60:.0f}")
    assert now.stdout == "0 events sent, 0 already there, 0 refused\n"
    assert host.cli("relay", "resend", "--since", "soon").returncode == 2
    assert "no relays" in relay.cli("relay", "resend", "--since", "1h").stderr


def test_an_agent_without_relays_loads_nothing_of_them(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    agent = AgentProcess(tmp_path / "agent", sandbox.url)
    agent.env["PYTHONPROFILEIMPORTTIME"] = "1"
    with agent:
        agent.send_v2(trigger()).raise_for_status()
        agent.wait_until_drained()
        agent.get("/metrics").raise_for_status()
        agent.status()
        agent.stop()
        loaded = agent.log()
    assert "pdagent.eventsapi.client" in loaded
    for module in ("pdagent.forwarding", "pdagent.relay", "nats", "store.nats_log"):
        assert f" {module}\n" not in loaded and f" {module}." not in loaded
    assert numbers_by_key(sandbox.events()) == {KEY: [number_of(sandbox.events()[0])]}
