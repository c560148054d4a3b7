"""An agent over TLS, as `pagerduty-agent init --tls` sets it up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import requests

from pdagent.config.loading import load
from tests.agent_process import AgentProcess


class TlsAgent(AgentProcess):
    """`certificate` is what clients have to trust."""

    def __init__(self, directory: Path, events_url: str, **settings: object) -> None:
        super().__init__(directory, events_url, **settings)
        self.url = f"https://{self.address}"

    def write_config(self, settings: Mapping[str, object]) -> None:
        """Have `init --tls` write the config and the pair, then add `settings`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        done = self.cli("init", "--tls")
        assert done.returncode == 0, done.stderr
        lines = [f"{name}: {value}\n" for name, value in settings.items() if name != "secret"]
        with self.config.open("a", encoding="utf-8") as file:
            file.writelines(lines)
        config = load({}, {}, config_file=str(self.config)).config
        assert config.tls_cert is not None
        self.secret, self.certificate = config.secret, config.tls_cert
        self.credentials.note(self.secret)

    def session(self) -> requests.Session:
        """As the agent's, trusting its certificate and no other."""
        session = super().session()
        session.verify = str(self.certificate)
        return session
