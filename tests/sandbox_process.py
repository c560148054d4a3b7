"""The sandbox as a real process, for tests that need a PagerDuty."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 20.0
STOP_SECONDS = 10.0
CONTROL_SECONDS = 30.0


class SandboxProcess:
    """Starts `pagerduty-agent sandbox` on free ports and talks to its control API.

    Used as a context manager; `options` are command line options of the sandbox. It is ready once
    entered, and stopped at the end in any case: it also stops by itself if this process dies.
    `port` asks for a certain port, to come back where another sandbox was.

        with SandboxProcess("--latency", "0.2") as sandbox:
            ...  # point events_url and api_url at sandbox.url
            sandbox.behave(fail=503)
            sandbox.wait_for_events(10)
    """

    def __init__(self, *options: str, port: int = 0) -> None:
        self._options = options
        self._requested_port = port
        self._process: subprocess.Popen[str] | None = None
        # Opened for appending: reading moves the position that the sandbox's writing shares.
        self._errors = tempfile.TemporaryFile("a+")  # noqa: SIM115 (closed when the process ends)
        self.url = ""
        self.control_url = ""

    def __enter__(self) -> SandboxProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._errors.close()

    def start(self) -> None:
        """Start the process and wait until it is ready; raises RuntimeError with its errors."""
        ports = ["--port", str(self._requested_port), "--control-port", "0"]
        ending = ["--json", "--quiet", "--stop-on-eof"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pdagent", "sandbox", *ports, *ending, *self._options],
            cwd=REPOSITORY,
            # Held open by this process alone: the sandbox ends with it, even after a SIGKILL.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # Ctrl-C at the terminal is for the tests, which then stop the sandbox in order.
            start_new_session=True,
        )
        line = self._first_line(self._process)
        try:
            ready = json.loads(line)
            self.url, self.control_url = ready["url"], ready["control_url"]
        except (ValueError, KeyError, TypeError):
            self.kill()
            raise RuntimeError(f"the sandbox did not start: {line!r} {self.errors()}") from None

    @property
    def pid(self) -> int:
        """The process id of the sandbox."""
        return self._running().pid

    @property
    def port(self) -> int:
        """The port of `url`."""
        return int(self.url.rsplit(":", 1)[1])

    def events(self, rk: str | None = None, since: int | None = None) -> list[dict[str, Any]]:
        """Events received, in order of arrival: of one routing key, numbered above `since`."""
        events: list[dict[str, Any]] = self._call("GET", "events", {"rk": rk, "since": since})
        return events

    def alerts(self, rk: str | None = None, status: str | None = None) -> list[dict[str, Any]]:
        """Alerts in the order in which they were opened: of one routing key, with one status."""
        alerts: list[dict[str, Any]] = self._call("GET", "alerts", {"rk": rk, "status": status})
        return alerts

    def heartbeats(self) -> list[dict[str, Any]]:
        """Agent heartbeats received, in order of arrival."""
        heartbeats: list[dict[str, Any]] = self._call("GET", "heartbeats")
        return heartbeats

    def stats(self) -> dict[str, Any]:
        """Counts, connections and requests at once; see the control API."""
        stats: dict[str, Any] = self._call("GET", "stats")
        return stats

    def behave(self, **settings: Any) -> dict[str, Any]:
        """Change the behaviour, e.g. `fail=503`, `hang_key=KEY, hang=30`, `down=True`.

        Returns all settings. In effect when it returns: with `down`, the port refuses connections.
        """
        behaviour: dict[str, Any] = self._call("POST", "behaviour", body=settings)
        return behaviour

    def reset(self) -> None:
        """Forget what was received, behave as at the start, and be up."""
        self._call("POST", "reset", body={})

    def wait_for(self, condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        """Wait until `condition()` is true; raises AssertionError naming `what` after `timeout`."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {what}; {self.stats()}")
            time.sleep(0.02)

    def wait_for_events(
        self, count: int, rk: str | None = None, timeout: float = 20.0
    ) -> list[dict[str, Any]]:
        """Wait for `count` effective events (of one key), then return all effective ones."""

        def enough() -> bool:
            # All events are fetched only where the cheap count can't tell.
            if rk is None:
                return bool(self.stats()["effective"] >= count)
            return len([event for event in self.events(rk) if event["effective"]]) >= count

        self.wait_for(enough, f"{count} effective events", timeout)
        return [event for event in self.events(rk) if event["effective"]]

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that doesn't do; returns the exit code. May be repeated."""
        process = self._running()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._close_pipes(process)

    def kill(self) -> int:
        """SIGKILL; returns the exit code (-9)."""
        process = self._running()
        process.kill()
        code = process.wait()
        self._close_pipes(process)
        return code

    def errors(self) -> str:
        """What the sandbox has written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def _call(
        self,
        method: str,
        name: str,
        query: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        # A session of its own for each call: tests call from many threads. Proxy settings of the
        # environment are not for loopback.
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(
                method,
                f"{self.control_url}/sandbox/{name}",
                params=query,
                json=body,
                timeout=CONTROL_SECONDS,
            )
        if response.status_code >= 400:
            raise AssertionError(f"sandbox {name}: {response.status_code} {response.text}")
        return response.json()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the sandbox was not started")
        return self._process

    @staticmethod
    def _first_line(process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        stdout = process.stdout
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            return lines.get(timeout=START_SECONDS)
        except queue.Empty:
            return ""

    @staticmethod
    def _close_pipes(process: subprocess.Popen[str]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
