"""`server --sandbox`: agent and stand-in together, apart from whatever runs in production."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL

import pytest

from pdagent.demo.processes import call_off, dying_with_us
from tests.free_ports import free_port
from tests.python_agent_queue import PythonAgentQueue, event
from tests.system.numbered_events import KEY

SECONDS = 30.0


class Trial:
    """`server --sandbox` in a home directory of its own, on free ports."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.directory = home / ".pagerduty-agent" / "sandbox"
        self.config = self.directory / "config.yaml"
        self.out = home / "out"
        self.port, self.stand_in = free_port(), free_port()
        # A proxy that is not there: nothing of a trial may ask it.
        proxy = {"http_proxy": f"http://127.0.0.1:{free_port()}", "NO_PROXY": "example.com"}
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], **proxy}
        self("server", "--sandbox", "stop")  # nothing runs yet, but this writes the config
        text = self.config.read_text()
        for usual, free in ((49464, self.port), (49465, self.stand_in)):
            text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{free}")
        self.config.write_text(text)

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pdagent", *arguments],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as the introduction has it typed."""
        found = re.search(r"export PAGERDUTY_AGENT_CONFIG=(\S+)", self.out.read_text())
        assert found is not None
        return self(*arguments, PAGERDUTY_AGENT_CONFIG=found[1])

    def start(self) -> subprocess.Popen[bytes]:
        """Start both and wait until an event can be sent."""
        with self.out.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "pdagent", "server", "--sandbox"],
                env=self.env,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.guard = dying_with_us(process.pid)
        self.wait_for(lambda: "listening on" in self.out.read_text())
        self.wait_for(lambda: listens(self.stand_in))
        return process

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


@pytest.fixture
def running(trial: Trial) -> Iterator[subprocess.Popen[bytes]]:
    process = trial.start()
    yield process
    process.kill()
    process.wait()
    call_off(trial.guard)


def test_a_trial_delivers_to_the_stand_in_and_ctrl_c_ends_both(
    trial: Trial, running: subprocess.Popen[bytes]
) -> None:
    assert not (trial.home / ".pagerduty-agent.yaml").exists()
    assert trial.config.stat().st_mode & 0o777 == 0o600
    sent = trial.command("send", "-k", KEY, "-t", "trigger", "-d", "Disk full")
    assert (sent.returncode, sent.stderr) == (0, "")
    trial.wait_for(lambda: re.search(r"  200  v1 .*Disk full", trial.out.read_text()))

    again = trial("server", "--sandbox")
    assert again.returncode == 1
    assert f"error: the sandbox is running already (pid {running.pid})" in again.stderr
    assert again.stderr.count("\n") == 1
    running.send_signal(SIGINT)
    assert running.wait(SECONDS) == 0
    trial.wait_for(lambda: not listens(trial.stand_in))


def test_an_import_into_a_trial_takes_nothing_away(
    trial: Trial, running: subprocess.Popen[bytes]
) -> None:
    queue = PythonAgentQueue(trial.home / "outqueue")
    queue.put("pdq", 1, event(KEY))
    queue.put("err", 2, event(KEY))
    for _ in range(2):
        done = trial.command("import", str(queue.directory))
        assert done.returncode == 0
        assert "this is a trial" in done.stderr
    assert len(queue.names("pdq")) == len(queue.names("err")) == 1
    status = json.loads(trial.command("status", "--json").stdout)
    assert status["totals"]["accepted"] == 2


def test_the_end_of_the_agent_ends_the_stand_in(
    trial: Trial, running: subprocess.Popen[bytes]
) -> None:
    running.kill()
    running.wait()
    trial.wait_for(lambda: not listens(trial.stand_in))
    call_off(trial.guard)
    after = trial.start()
    assert trial("server", "--sandbox", "stop").returncode == 0
    assert after.wait(SECONDS) == 0


def test_the_end_of_the_stand_in_ends_the_agent_which_says_so(
    trial: Trial, running: subprocess.Popen[bytes]
) -> None:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    [stand_in] = [
        pid for pid in children if b"sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(int(stand_in), SIGKILL)
    assert running.wait(SECONDS) == 1
    assert "error: the sandbox ended (status -9)" in trial.out.read_text()
    assert not listens(trial.port)


def test_a_port_in_use_is_named(trial: Trial) -> None:
    with socket.create_server(("127.0.0.1", trial.stand_in)):
        done = trial("server", "--sandbox")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: can't use port {trial.stand_in} of 127.0.0.1")
    with socket.create_server(("127.0.0.1", trial.port)):
        done = trial("server", "--sandbox")
    assert done.returncode == 1
    assert f"127.0.0.1:{trial.port}" in done.stderr.splitlines()[-1]
    trial.wait_for(lambda: not listens(trial.stand_in))


def test_journals_of_trials_and_of_production_are_never_confused(
    trial: Trial, running: subprocess.Popen[bytes]
) -> None:
    assert trial.command("server", "stop").returncode == 0
    running.wait()
    journal = trial.directory / "journal"
    salvaged = trial.home / "salvaged"
    assert trial("journal", "salvage", "--from", str(journal), str(salvaged)).returncode == 0
    for directory in (journal, salvaged):
        refused = trial.command("server", "--database", str(directory))
        assert refused.returncode == 1
        assert f"the journal {directory} holds trials" in refused.stderr

    production = trial.home / "production"
    text = trial.config.read_text()
    trial.config.write_text(re.sub("(?m)^database: .*", f"database: {production}", text))
    own = trial.home / "own.yaml"
    own.write_text(re.sub(r"(?m)^address: .*", f"address: 127.0.0.1:{free_port()}", text))
    agent = subprocess.Popen(
        [sys.executable, "-m", "pdagent", "--config", own, "server", "--database", production],
        env=trial.env,
        stderr=subprocess.DEVNULL,
    )
    try:
        trial.wait_for(lambda: trial("--config", str(own), "health").returncode == 0)
    finally:
        agent.terminate()
        assert agent.wait(SECONDS) == 0
    refused = trial("server", "--sandbox")
    assert refused.returncode == 1
    assert f"the journal {production} is not the sandbox's" in refused.stderr


def test_a_trial_never_starts_an_agent_against_pagerduty(trial: Trial) -> None:
    text = trial.config.read_text()

    def refused(config: str, **env: str) -> str:
        trial.config.write_text(config)
        done = trial("server", "--sandbox", **env)
        assert done.returncode == 1
        return done.stderr

    for name in ("events_url", "api_url"):
        for wrong in (f"{name}: https://events.pagerduty.com", f"# {name}:"):
            said = refused(re.sub(f"(?m)^{name}: .*", wrong, text))
            assert f"with --sandbox, {name} must be http://127.0.0.1:PORT" in said
        variable = f"PAGERDUTY_AGENT_{name.upper()}"
        assert f"unset {variable}" in refused(text, **{variable: "http://127.0.0.1:9"})
    assert "deliver_via must not be set" in refused(f"{text}deliver_via: 192.0.2.1\n")
    assert trial("server", "--sandbox", "--database", "elsewhere").returncode == 2
