"""How fast the agent accepts, as a ratio to what LMDB does alone on the same disk in the same run.

    make bench            (or: python tests/bench/accepting.py [SECONDS])

The yardstick: one thread, one event a commit, each commit synced. Then the agent, as a process of
its own, takes events by `POST /send` over 200 keys: with PagerDuty down and 64 connections, then
with deliveries running over TLS keep-alive, with 64 connections and with one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import lmdb

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SECRET = "bench-secret"
KEYS = 200
GOALS = {"down, 64 connections": 1.3, "delivering, 64 connections": 0.25, "delivering, 1": 0.15}


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def lmdb_alone(directory: Path, seconds: float) -> float:
    """Events per second with one synced commit an event."""
    env = lmdb.open(str(directory), map_size=1 << 30, max_dbs=1)
    journal = env.open_db(b"journal")
    event, count, started = b"x" * 400, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        with env.begin(write=True) as txn:
            txn.put(count.to_bytes(8, "big"), event, db=journal, append=True)
        count += 1
    env.close()
    return count / seconds


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextlib.contextmanager
def agent(
    directory: Path, events_url: str, program: Path = ROOT, **environment: str
) -> Iterator[str]:
    """A running agent of the checkout `program`, its journal in `directory`; yields its address."""
    address = f"127.0.0.1:{free_port()}"
    directory.mkdir(exist_ok=True)
    config = directory / "config.yaml"
    config.write_text(
        f"address: {address}\nsecret: {SECRET}\ndatabase: {directory / 'journal'}\n"
        f"pidfile: {directory / 'pidfile'}\nevents_url: {events_url}\nheartbeat: false\n"
    )
    config.chmod(0o600)
    process = subprocess.Popen(
        [sys.executable, "-m", "pdagent", "--config", str(config), "server"],
        cwd=program,
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_healthy(address)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_healthy(address: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/health", timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def answering(port: int, cert: Path, key: Path) -> Iterator[None]:
    """A PagerDuty that answers at once."""
    command = [sys.executable, str(HERE / "answering.py"), str(port), str(cert), str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.terminate()


def count(port: int, cert: Path) -> int:
    """How many events the answering process got."""
    context = ssl.create_default_context(cafile=str(cert))
    url = f"https://127.0.0.1:{port}/count"
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return int(answer.read())


def load(address: str, connections: int, seconds: float) -> dict[str, float]:
    """Run the load generator; what it reports."""
    command = [sys.executable, str(HERE / "load.py"), address, SECRET]
    command += [str(connections), str(KEYS), str(seconds)]
    report: dict[str, float] = json.loads(
        subprocess.run(command, check=True, capture_output=True).stdout
    )
    return report


def main(seconds: float) -> int:
    """Measure everything; 0 if every goal is reached."""
    missed = 0
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        directory = Path(name)
        cert, key = certificate(directory)
        alone = lmdb_alone(directory / "alone", seconds)
        print(f"LMDB alone, one commit an event: {alone:.0f}/s")
        runs = [("down, 64 connections", 64), ("delivering, 64 connections", 64)]
        for label, connections in [*runs, ("delivering, 1", 1)]:
            port = free_port()
            url = f"https://127.0.0.1:{port}"
            with contextlib.ExitStack() as stack:
                if label.startswith("delivering"):
                    stack.enter_context(answering(port, cert, key))
                place = directory / label.replace(", ", "-").replace(" ", "-")
                address = stack.enter_context(agent(place, url, REQUESTS_CA_BUNDLE=str(cert)))
                report = load(address, connections, seconds)
                delivered = count(port, cert) if label.startswith("delivering") else 0
            ratio = report["per_second"] / alone
            verdict = "ok" if ratio >= GOALS[label] else "MISSED"
            missed += ratio < GOALS[label]
            print(
                f"{label}: accepted {report['per_second']:.0f}/s, {ratio:.2f} times (goal "
                f"{GOALS[label]}: {verdict}), median {report['median_ms']} ms, "
                f"p99 {report['p99_ms']} ms, failures {report['failures']}"
                + (f", delivered {delivered / seconds:.0f}/s" if delivered else "")
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))
