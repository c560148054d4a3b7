"""A real agent as a process of its own, for tests of the whole."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGSTOP, SIGTERM, Signals
from typing import Any

import requests

from pdagent.demo.processes import call_off, dying_with_us
from tests.credentials import Credentials
from tests.free_ports import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 20.0
CALL_SECONDS = 30.0
COMMAND_SECONDS = 60.0


def pause(process: subprocess.Popen[Any]) -> None:
    """SIGSTOP, and wait until no thread of the process runs: on a busy machine some go on."""
    process.send_signal(SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class AgentProcess:
    """Runs `python -m pdagent --config FILE server` in `directory`, which holds all it writes.

    Used as a context manager: answering `/health` once entered, gone at the end in any case, also
    when this process is killed. `settings` are further lines of the config file.

        with AgentProcess(tmp_path, sandbox.url, max_in_flight=4) as agent:
            agent.send_v2(event).raise_for_status()
            agent.kill()
            agent.restart()
    """

    def __init__(self, directory: Path, events_url: str, **settings: object) -> None:
        self.directory = directory
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.secret = secrets.token_urlsafe(16)
        self.config = directory / ".pagerduty-agent.yaml"
        self.pidfile = directory / "pidfile"
        self.journal = directory / "journal"
        self.credentials = Credentials(self.secret)
        self.env: dict[str, str] = {}
        self._log = directory / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._sessions = threading.local()
        lines: dict[str, object] = {
            "address": self.address,
            "secret": self.secret,
            "database": self.journal,
            "pidfile": self.pidfile,
            "events_url": events_url,
            "api_url": events_url,
            "heartbeat": "false",
        }
        self.write_config({**lines, **settings})

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._process is not None:
            self.kill()
        if error is None:
            self.credentials.check_log(self.log(), "the agent's log")

    def write_config(self, settings: Mapping[str, object]) -> None:
        """Write the config file; a value that is a mapping becomes indented lines."""
        lines = []
        for name, value in settings.items():
            if isinstance(value, Mapping):
                lines += [f"{name}:", *(f"  {key}: {entry}" for key, entry in value.items())]
            else:
                lines.append(f"{name}: {value}")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.credentials.note_keys_in(*lines)
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.config.chmod(0o600)

    def start(self) -> None:
        """Start the agent and wait until it is healthy; raises RuntimeError with its log."""
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the agent did not start:\n{self.log()}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start the agent and go on."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command("server"),
                cwd=REPOSITORY,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for the tests, which then end the agent.
                start_new_session=True,
            )
        # Ends the agent when this process ends without having told it that all is in order.
        self._guard = dying_with_us(self._process.pid)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the latest start; RuntimeError before the first one."""
        if self._process is None:
            raise RuntimeError("the agent was not started")
        return self._process

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def is_healthy(self) -> bool:
        """Whether `/health` says OK."""
        try:
            return self.get("/health").status_code == 200
        except requests.RequestException:
            return False

    def command(self, *arguments: str) -> list[str]:
        """The command line of `pagerduty-agent` with this agent's config."""
        return [sys.executable, "-m", "pdagent", "--config", str(self.config), *arguments]

    def environment(self) -> dict[str, str]:
        """A bare environment with a home of its own: no proxies, no settings of the developer.

        `env` is added to it.
        """
        bare = {"HOME": str(self.directory), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return {**bare, **self.env}

    def cli(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of `pagerduty-agent` with this agent's config; output as text."""
        self.credentials.note_keys_in(*arguments)
        done = subprocess.run(
            self.command(*arguments),
            cwd=REPOSITORY,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            **options,
        )
        if "--show-keys" not in arguments:
            self.credentials.check(done.stdout + done.stderr, f"the output of {arguments[:2]}")
        return done

    def session(self) -> requests.Session:
        """This thread's HTTP session: kept-alive connections, no proxies, no secret."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = self._sessions.session = requests.Session()
            session.trust_env = False
        return session

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET with the secret."""
        return self._request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST with the secret; `headers` in `options` go on top, one that is None goes away."""
        return self._request("POST", path, **options)

    def send_v1(
        self, event: object, *, idempotency_key: str | None = None, **headers: str
    ) -> requests.Response:
        """POST an Events API v1 event to `/send`; bytes go as they are."""
        return self._send("v1", event, {"Idempotency-Key": idempotency_key, **headers})

    def send_v2(
        self, event: object, *, idempotency_key: str | None = None, **headers: str
    ) -> requests.Response:
        """POST an Events API v2 event to `/send`; bytes go as they are."""
        return self._send("v2", event, {"Idempotency-Key": idempotency_key, **headers})

    def status(self, **query: str) -> dict[str, Any]:
        """The answer of `GET /status`."""
        response = self.get("/status", params=query)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def totals(self) -> dict[str, int]:
        """`accepted`, `delivered`, `waiting`, `dead_lettered`, `discarded` over all queues."""
        totals: dict[str, int] = self.status()["totals"]
        return totals

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        """Wait until `condition()` is true; AssertionError naming `what` after `timeout` (s)."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {what}; log:\n{self.log()}")
            time.sleep(0.02)

    def wait_until_drained(self, timeout: float = 30.0) -> None:
        """Wait until no event waits for delivery any more."""
        self.wait_for(lambda: self.totals()["waiting"] == 0, "every queue is empty", timeout)

    def wait_until_recorded(self, key: str) -> None:
        """Wait until all that the status shows is on disk: it runs ahead by the commit under way.

        `key` is one of an existing queue that isn't held: its release is answered after a commit.
        """
        self.post("/queue/release", params={"rk": key}).raise_for_status()

    def signal(self, number: Signals) -> None:
        """Send a signal and go on."""
        self.process.send_signal(number)

    def pause(self) -> None:
        """Let it hang until it gets SIGCONT."""
        pause(self.process)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.process.kill()
        self._reap()

    def stop(self, number: Signals = SIGTERM) -> int:
        """SIGTERM, and wait for the end; returns the exit status, see `wait`."""
        self.signal(number)
        return self.wait()

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for the end and return the exit status; AssertionError after `timeout` (s)."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {timeout:g} s; log:\n{self.log()}") from None
        return self._reap()

    def restart(self) -> None:
        """Start again with the same journal, after a clean stop if it still runs."""
        if self.is_running:
            self.stop()
        self.start()

    def log(self) -> str:
        """What all starts of this agent have written to standard output and error."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _reap(self) -> int:
        status = self.process.wait()
        if self._guard is not None:
            call_off(self._guard)
            self._guard = None
        return status

    def _send(
        self, version: str, event: object, headers: Mapping[str, str | None]
    ) -> requests.Response:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.post("/send", data=body, headers={"Pd-Event-Version": version, **headers})

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        self.credentials.note_keys_of(options.get("data"))
        headers = {"Authorization": f"token {self.secret}", **options.pop("headers", {})}
        return self.session().request(
            method, f"{self.url}{path}", headers=headers, timeout=CALL_SECONDS, **options
        )
