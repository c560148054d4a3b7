"""A config: defaults that depend on each other, and what it never shows."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.pretty import Pretty

from pdagent.config import Config, StartRefused
from pdagent.config.listener import Listener
from pdagent.operating.names import QueueNames
from store.records import RoutingKey

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


def test_the_region_decides_pagerdutys_addresses() -> None:
    assert Config().events_url == "https://events.pagerduty.com"
    assert Config().api_url == "https://api.pagerduty.com"
    assert Config(region="eu").events_url == "https://events.eu.pagerduty.com"
    assert Config(region="eu").api_url == "https://api.eu.pagerduty.com"
    assert Config(region="eu", events_url="http://127.0.0.1:1").events_url == "http://127.0.0.1:1"


def test_the_address_comes_apart_into_host_and_port() -> None:
    assert (Config().host, Config().port) == ("127.0.0.1", 49463)
    ipv6 = Config(address="[::1]:8080")
    assert (ipv6.host, ipv6.port) == ("::1", 8080)


def test_no_way_of_printing_a_config_shows_credentials() -> None:
    config = Config(secret="hush-hush", routing_keys={"database": KEY})
    buffer = io.StringIO()
    Console(file=buffer, width=400).print(config, Pretty(config))
    for text in (repr(config), str(config), f"{config}", buffer.getvalue()):
        assert "hush" not in text
        assert KEY not in text


def test_a_routing_key_shows_as_its_name_or_masked() -> None:
    names = QueueNames({"database": KEY})
    assert names.of(RoutingKey(KEY)) == "database"
    assert names.of(RoutingKey(KEY.upper())) == "V4G5…NVJ9"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_needs_no_secret(address: str) -> None:
    Config(address=address).check()


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.com:1", "localhost.example.com:1"]
)
def test_any_other_address_needs_a_secret(address: str) -> None:
    with pytest.raises(StartRefused, match="no secret is set"):
        Config(address=address).check()
    Config(address=address, secret="x").check()


@pytest.mark.parametrize("address", ["0.0.0.0:1", "192.0.2.1:1"])
def test_the_same_holds_for_each_further_address(address: str) -> None:
    listen = (Listener("127.0.0.1:2"), Listener(address))
    with pytest.raises(StartRefused, match=f"{address} can be reached by other hosts"):
        Config(listen=listen).check()
    config = Config(listen=listen, secret="x")
    config.check()
    assert [address in warning for warning in config.listener_warnings()] == [True]
    with pytest.raises(StartRefused, match="tls_cert is set without tls_key"):
        Config(listen=(Listener("127.0.0.1:2", tls_cert=Path("c.pem")),)).check()


@pytest.mark.parametrize(
    ("address", "events_url"),
    [
        ("127.0.0.1:49463", "http://127.0.0.1:49463"),
        ("127.0.0.1:49463", "https://LocalHost:49463/path"),
        ("localhost:49463", "http://[::1]:49463"),
        ("[::1]:80", "http://a.localhost"),
        ("127.0.0.1:443", "https://127.0.0.1"),
        ("0.0.0.0:49463", "http://127.0.0.1:49463"),
        ("0.0.0.0:49463", f"http://{socket.gethostname()}:49463"),
        ("Agent.Example.com:49463", "http://agent.example.com:49463"),
    ],
)
def test_an_events_url_that_is_the_agents_own_address_is_refused(
    address: str, events_url: str
) -> None:
    for config in (
        Config(address=address, events_url=events_url, secret="x"),
        Config(listen=(Listener(address),), events_url=events_url, secret="x"),
    ):
        with pytest.raises(StartRefused, match="is where this agent itself listens"):
            config.check()


@pytest.mark.parametrize(
    ("address", "events_url"),
    [
        ("127.0.0.1:49463", "http://127.0.0.1:49464"),
        ("127.0.0.1:443", "http://127.0.0.1"),
        ("127.0.0.1:49463", "http://127.0.0.2:49463"),
        ("0.0.0.0:443", "https://events.pagerduty.com"),
        ("0.0.0.0:49463", "http://192.0.2.1:49463"),
    ],
)
def test_another_address_is_no_loop(address: str, events_url: str) -> None:
    Config(address=address, events_url=events_url, secret="x").check()


def test_tls_needs_a_certificate_and_its_key(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    with pytest.raises(StartRefused, match="tls_cert is set without tls_key"):
        Config(tls_cert=cert).check()
    with pytest.raises(StartRefused, match="tls_key is set without tls_cert"):
        Config(tls_key=key).check()
    with pytest.raises(StartRefused, match=r"tls_key: there is no file .*key\.pem"):
        Config(tls_cert=cert, tls_key=key).check()
    key.touch()
    Config(tls_cert=cert, tls_key=key).check()


HOST = {"relays": ("https://relay1:1", "https://relay2:1"), "relay_secret": "hush"}
RELAY = {"engine_urls": ("nats://n1:4222",), "accept_secrets": ("hush",)}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (HOST | RELAY, "relays and engine are both set"),
        (HOST | {"relay_secret": ""}, "relays are set and no relay_secret"),
        (HOST | {"relays": ("http://relay1:1",)}, "http://relay1:1 would get the relay_secret"),
        (
            HOST | {"relays": ("https://127.0.0.1:49463",)},
            "127.0.0.1:49463 is where this agent",
        ),
        (HOST | {"relay_ca": Path("/nowhere")}, "relay_ca: /nowhere: No such file"),
        (HOST | {"relay_ca": Path(__file__)}, "no certificates in PEM format"),
        ({"acknowledge": "relay"}, "acknowledge is 'relay' and no relay is set"),
        (RELAY | {"engine_ca": Path("/nowhere")}, "engine.ca: /nowhere: No such file"),
        (RELAY | {"accept_secrets": ()}, "engine is set and no accept_secrets"),
        (RELAY | {"spool": Path("/s")}, "accept_secrets and spool are both set"),
    ],
)
def test_settings_of_relays_that_do_not_fit_are_refused(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(StartRefused, match=problem) as refused:
        Config(**settings).check()
    assert "\n" not in str(refused.value) and "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        HOST,
        HOST | {"relays": ("http://127.0.0.1:1", "http://localhost:2"), "acknowledge": "relay"},
        RELAY,
        {"accept_secrets": ("a", "b")},
    ],
)
def test_settings_of_relays_that_fit(settings: dict[str, Any]) -> None:
    config = Config(**settings)
    config.check()
    assert config.sends_heartbeat == ("relays" not in settings)


def test_a_relay_without_its_engine_module_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(StartRefused, match=r"pip install 'pdagent\[relay\]'"):
        Config(**RELAY).check()  # type: ignore[arg-type]
