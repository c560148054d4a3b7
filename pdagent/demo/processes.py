"""The demo's two processes: the sandbox in PagerDuty's place, and the agent, which gets killed.

The tests share what keeps such processes from outliving their parent.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import string
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import requests

_KEY_LETTERS = string.ascii_lowercase + string.digits
_START_SECONDS = 20.0
_STOP_SECONDS = 15.0
_ANSWER_SECONDS = 5.0

# Below the ports that systems give to outgoing connections, one of which could take the agent's
# port while it is down.
_PORTS = range(20_000, 32_000)

# Kills the process if its parent dies without having ended it: then the pipe closes unwritten.
_GUARD = 'read -r line || kill -9 "$0"'


class DemoFailed(Exception):
    """The demo can't go on; the text is one line that says why."""


def free_port() -> int:
    """A TCP port on loopback that is free now, and that no client gets by chance."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def dying_with_us(pid: int) -> subprocess.Popen[bytes]:
    """Have a process killed should this one die without ending it; `call_off` when it has ended."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, str(pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def call_off(guard: subprocess.Popen[bytes]) -> None:
    """The process that `dying_with_us` was given has ended, and its number may be another's."""
    guard.communicate(b"all is in order\n")


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pdagent", *arguments]


def _environment() -> dict[str, str]:
    """This process's, without what would lead the demo elsewhere: its settings, its proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PAGERDUTY_AGENT_") and not name.lower().endswith("_proxy")
    }


def direct_session() -> requests.Session:
    """An HTTP session that uses no proxy."""
    session = requests.Session()
    session.trust_env = False
    return session


class DemoSandbox:
    """A PagerDuty stand-in for the length of a `with` block."""

    def __init__(self, latency: str) -> None:
        """`latency`: how long PagerDuty takes for an answer, `MIN..MAX` in seconds."""
        self._latency = latency
        self._session = direct_session()

    def __enter__(self) -> DemoSandbox:
        self._process = subprocess.Popen(
            _program(
                *("sandbox", "--port", "0", "--control-port", "0", "--latency", self._latency),
                *("--json", "--quiet", "--stop-on-eof"),
            ),
            # The sandbox ends with us, however we end: then its standard input does.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        try:
            ready = msgspec.json.decode(self._process.stdout.readline(), type=dict[str, Any])
        except msgspec.DecodeError:
            _, errors = self._process.communicate()
            raise DemoFailed(f"the sandbox did not start: {_last_line(errors)}") from None
        self.url: str = ready["url"]
        self._control: str = ready["control_url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
        self._session.close()

    def go_down(self) -> None:
        """Refuse connections from now on."""
        self._call("POST", "behaviour", {"down": True})

    def come_back(self) -> None:
        """Take connections again."""
        self._call("POST", "behaviour", {"down": False})

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """The events that took effect, in order of arrival, as `/sandbox/events` shows them.

        Only those numbered (`n`) above `since`.
        """
        events: list[dict[str, Any]] = self._call("GET", f"events?since={since}")
        return [event for event in events if event["effective"]]

    def _call(self, method: str, name: str, body: object = None) -> Any:
        try:
            answer = self._session.request(
                method, f"{self._control}/sandbox/{name}", json=body, timeout=_ANSWER_SECONDS
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            raise DemoFailed(f"the sandbox does not answer ({type(error).__name__})") from None
        return answer.json()


class DemoAgent:
    """An agent in a directory of its own: to be launched, killed and launched again.

    `keys` holds a made-up routing key for each of the names in `queues`.
    """

    def __init__(self, directory: Path, events_url: str, queues: Sequence[str]) -> None:
        self.keys = {
            name: "".join(secrets.choice(_KEY_LETTERS) for _ in range(32)) for name in queues
        }
        self._address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self._address}"
        self._secret = secrets.token_urlsafe(16)
        self._config = directory / "pagerduty-agent.yaml"
        self._log = directory / "agent.log"
        self._session = direct_session()
        self._session.headers["Authorization"] = f"token {self._secret}"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        names = "".join(f"  {name}: {key}\n" for name, key in self.keys.items())
        self._config.write_text(
            f"address: {self._address}\nsecret: {self._secret}\n"
            f"database: {directory / 'journal'}\npidfile: {directory / 'pidfile'}\n"
            f"events_url: {events_url}\napi_url: {events_url}\nheartbeat: false\n"
            f"routing_keys:\n{names}",
            encoding="utf-8",
        )
        self._config.chmod(0o600)

    def __enter__(self) -> DemoAgent:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        self._session.close()

    @property
    def pid(self) -> int | None:
        """The process id of the latest launch, None before the first one."""
        return None if self._process is None else self._process.pid

    def launch(self) -> None:
        """Start the process and go on, see `is_answering`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _program("--config", str(self._config), "server"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                # Ctrl-C is for the demo alone, which then ends the agent.
                start_new_session=True,
            )
        self._guard = dying_with_us(self._process.pid)

    def is_answering(self) -> bool:
        """Whether the agent takes events; raises DemoFailed if it has ended instead."""
        if self._launched().poll() is not None:
            log = self._log.read_bytes()
            raise DemoFailed(f"the agent did not start: {_last_line(log)}")
        return self.status() is not None

    def status(self) -> dict[str, Any] | None:
        """The answer of `GET /status`, or None without an answer."""
        try:
            answer = self._session.get(f"{self.url}/status", timeout=_ANSWER_SECONDS)
            answer.raise_for_status()
        except requests.RequestException:
            return None
        status: dict[str, Any] = answer.json()
        return status

    def kill(self) -> None:
        """SIGKILL: the process has no chance to save anything."""
        self._launched().kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM, as a service manager does; returns the exit status."""
        process = self._launched()
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        if process.poll() is None:
            process.kill()
        return self._reap()

    def _launched(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the agent was not launched")
        return self._process

    def _reap(self) -> int:
        status = self._launched().wait()
        if self._guard is not None:
            call_off(self._guard)
            self._guard = None
        return status


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"
