"""The program as a real process, in a home of its own, and an agent for it to talk to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import CommandLine


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def cli(home: Path) -> CommandLine:
    """The program without any config."""
    return CommandLine(home)


@pytest.fixture
def agent() -> Iterator[AgentStandIn]:
    with AgentStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def user(cli: CommandLine, agent: AgentStandIn) -> CommandLine:
    """The program with a config that leads to `agent`."""
    cli.configure(address=agent.address, secret=SECRET)
    return cli


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for another name than 127.0.0.1, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "agent.example.com")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """As `certificate`, made anew."""
    return make_certificate(tmp_path_factory.mktemp("tls"), "agent.example.com")


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, key = folder / "cert.pem", folder / "key.pem"
    files: Sequence[str] = ["-keyout", str(key), "-out", str(cert)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subject = ["-subj", f"/CN={name}"]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, "-nodes", "-days", "2", *files, *subject],
        check=True,
        capture_output=True,
    )
    return cert, key
