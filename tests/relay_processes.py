"""Real relays on a real engine, for tests of takeovers."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import requests

from tests.agent_process import AgentProcess
from tests.engine import Engine

TELLING = """
    no_auth_user: relay
    system_account: SYS
    accounts {
      SYS { exports: [{service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream}] }
      RELAY {
        jetstream: enabled
        users: [{user: relay, password: relay}]
        imports: [{service: {account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ"}}]
      }
    }
"""
"""Settings of an `Engine` whose nodes tell relays how they store."""


class RelayProcess(AgentProcess):
    """One relay: an `AgentProcess` that starts as a standby."""

    def __init__(
        self,
        directory: Path,
        events_url: str,
        engine: Engine,
        name: str,
        host_secret: str,
        **settings: object,
    ) -> None:
        self.host_secret = host_secret
        urls = "[" + ", ".join(engine.urls) + "]"
        super().__init__(
            directory,
            events_url,
            engine={"urls": urls, "name": name},
            accept_secrets=f"[{host_secret}]",
            **settings,
        )

    def start(self) -> None:
        """Start it and wait until it answers, as a standby or owner."""
        self.launch()
        self.wait_for(lambda: self.role() is not None, "it answers")

    def role(self) -> str | None:
        """`owner`, `standby` or another; None without an answer."""
        try:
            return str(self.relay_status()["relay"]["role"])
        except (requests.RequestException, KeyError):
            return None

    def owns(self) -> bool:
        """Whether it is the owner and answers as such."""
        return self.role() == "owner" and self.is_healthy()

    def relay_status(self) -> dict[str, Any]:
        """The answer of `GET /relay/status`."""
        answer = self.get("/relay/status")
        found: dict[str, Any] = answer.json()
        return found

    def enqueue(self, event: object, **headers: str) -> requests.Response:
        """POST an event by PagerDuty's path, with the secret of a host."""
        headers = {"Authorization": f"token {self.host_secret}", **headers}
        return self.post("/v2/enqueue", json=event, headers=headers)

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        text = self.get("/metrics", headers={"Authorization": None}).text
        (line,) = (line for line in text.splitlines() if line.startswith(f"pdagent_{name} "))
        return float(line.split()[1])


class Relays:
    """Several relays on one engine, as a context manager: one of them owns the log once entered."""

    def __init__(
        self,
        directory: Path,
        engine: Engine,
        events_url: str,
        *,
        count: int = 2,
        name: str = "",
        **settings: object,
    ) -> None:
        self.name = name or f"t{secrets.token_hex(4)}"
        self.engine = engine
        host_secret = secrets.token_urlsafe(16)
        self.all = [
            RelayProcess(
                directory / f"relay{n}", events_url, engine, self.name, host_secret, **settings
            )
            for n in range(count)
        ]

    def __enter__(self) -> Relays:
        try:
            for relay in self.all:
                relay.launch()
            self.owner()
            for relay in self.all:
                relay.wait_for(lambda relay=relay: relay.role() in ("owner", "standby"), "a role")
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for relay in self.all:
            relay.__exit__(kind, error, traceback)

    def owner(self, *, timeout: float = 30.0, but: RelayProcess | None = None) -> RelayProcess:
        """The one relay that owns the log, once there is one; `but` is not asked."""
        asked = [relay for relay in self.all if relay is not but and relay.is_running]
        found: list[RelayProcess] = []

        def known() -> bool:
            found[:] = [relay for relay in asked if relay.owns()]
            return len(found) == 1

        asked[0].wait_for(known, "a relay owns the log", timeout)
        return found[0]

    def others(self, relay: RelayProcess) -> list[RelayProcess]:
        """All but this one."""
        return [other for other in self.all if other is not relay]
