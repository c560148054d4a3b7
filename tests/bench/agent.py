"""An agent of any checkout as a process of its own, and what the kernel says about it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SECRET = "bench-secret"
CERTIFICATE, KEY = "cert.pem", "key.pem"
_CONSOLE_SCRIPT = "import sys; from pdagent.cli import main; sys.exit(main())"
_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0

INSIDE = Path(__file__).parent / "inside"
_RUN = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


class BenchError(Exception):
    """A row can't be measured; the text says why."""


class Memory(NamedTuple):
    """Resident memory in bytes: all, and without pages of files such as the journal."""

    resident: int
    anonymous: int


class Agent(NamedTuple):
    """A running agent. It answered `/health` after `start_seconds`."""

    address: str
    pid: int
    config: Path
    program: Path
    start_seconds: float

    def command(self, *words: str) -> list[str]:
        """The command line of a command that talks to this agent, to be run in `program`."""
        return [sys.executable, "-c", _CONSOLE_SCRIPT, "--config", str(self.config), *words]

    def cpu_seconds(self) -> float:
        """What it has used so far, in user and kernel mode."""
        return cpu_seconds(self.pid)

    def switches(self) -> int:
        """How often its threads have given up the CPU, so far; without those that have ended."""
        return sum(
            int(_fields(status)["voluntary_ctxt_switches"])
            for status in Path(f"/proc/{self.pid}/task").glob("*/status")
        )

    def memory(self) -> Memory:
        """What it takes now."""
        fields = _fields(Path(f"/proc/{self.pid}/status"))
        return Memory(*(int(fields[name].split()[0]) << 10 for name in ("VmRSS", "RssAnon")))

    def get(self, path: str) -> bytes:
        """The answer to a GET with the secret."""
        request = urllib.request.Request(f"http://{self.address}{path}")
        request.add_header("Authorization", f"token {SECRET}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and kernel mode."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def _fields(status: Path) -> dict[str, str]:
    try:
        lines = status.read_text(encoding="ascii").splitlines()
    except OSError:
        return {"voluntary_ctxt_switches": "0"}  # the thread has ended
    return dict(line.split(":", 1) for line in lines)


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def make_certificate(place: Path) -> None:
    """Put a self-signed certificate for 127.0.0.1 and its key into `place`."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(place / KEY), "-out", str(place / CERTIFICATE)),
        ],
        check=True,
        capture_output=True,
    )


@contextlib.contextmanager
def running(
    directory: Path,
    events_url: str,
    program: Path = ROOT,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Agent]:
    """An agent of the checkout `program`, with its journal in `directory` and further `settings`.

    It trusts the certificate beside `directory`.
    """
    address = f"127.0.0.1:{free_port()}"
    directory.mkdir(exist_ok=True)
    config = directory / "config.yaml"
    lines: dict[str, object] = {
        "address": address,
        "secret": SECRET,
        "database": directory / "journal",
        "pidfile": directory / "pidfile",
        "events_url": events_url,
        "heartbeat": "false",
        **(settings or {}),
    }
    config.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
    config.chmod(0o600)
    trust = {"REQUESTS_CA_BUNDLE": str(directory.parent / CERTIFICATE)}
    began = time.perf_counter()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pdagent", "--config", str(config), "server"],
            cwd=program,
            env=os.environ | trust,
            stderr=log,
        )
    try:
        _wait_until_healthy(process, address, directory / "log")
        yield Agent(address, process.pid, config, program, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/health", timeout=20).close()
        except urllib.error.HTTPError:
            return  # it has started, and finds something amiss
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace")[-500:]
                raise BenchError(f"the agent does not start: {text}") from None
            time.sleep(0.005)
        else:
            return


def run_inside(program: Path, script: str, *arguments: object) -> str:
    """Run a script of `inside/` with the modules of the checkout `program`; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(INSIDE / script), *map(str, arguments)],
        cwd=program,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BenchError(f"{script} failed: {done.stderr[-500:]}")
    return done.stdout
