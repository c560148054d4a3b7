"""Prometheus Alertmanager as a process, alone and on a port of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from pdagent.demo.processes import call_off, dying_with_us
from tests.free_ports import free_port

# Debian's name, and the project's own.
PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class AlertmanagerProcess:
    """Runs Alertmanager with a config; used as a context manager, ready once entered."""

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        assert PROGRAM is not None
        directory.mkdir(parents=True, exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = directory / "alertmanager.log"
        file = directory / "alertmanager.yml"
        file.write_text(yaml.safe_dump(dict(config)))
        self._command = [
            PROGRAM,
            f"--config.file={file}",
            f"--storage.path={directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--cluster.listen-address=",
            "--log.level=debug",
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )
        self._guard = dying_with_us(self._process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(f"Alertmanager did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._session.close()

    def fire(self, name: str, **annotations: str) -> None:
        """Report an alert as Prometheus does while it fires."""
        now = datetime.now(UTC)
        self._post(name, annotations, starts=now, ends=now + timedelta(hours=1))

    def resolve(self, name: str) -> None:
        """Report that the alert has ended."""
        now = datetime.now(UTC)
        self._post(name, {}, starts=now - timedelta(minutes=1), ends=now)

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def _post(
        self, name: str, annotations: Mapping[str, str], starts: datetime, ends: datetime
    ) -> None:
        alert = {
            "labels": {"alertname": name, "instance": "db1", "severity": "critical"},
            "annotations": dict(annotations),
            "startsAt": starts.isoformat(),
            "endsAt": ends.isoformat(),
            "generatorURL": "http://prometheus.example.com/graph",
        }
        self._session.post(f"{self.url}/api/v2/alerts", json=[alert], timeout=30).raise_for_status()

    def _is_ready(self) -> bool:
        try:
            return self._session.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _end(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._guard is not None:
            call_off(self._guard)
            self._guard = None
