"""Whether this checkout is slower than another commit: both measured in turn, in one run.

    make bench BASE=COMMIT            (or: python tests/bench/comparing.py COMMIT [ROUNDS])

Each round measures both programs, in changing order, with the same generators and the same
libraries. The figure of a row is the median over the rounds of this program's speed divided by the
other's. A row below 0.95 is measured again once, since other work on the machine shows in single
rounds.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from accepting import ROOT, agent, answering, certificate, count, free_port, load
from batch import lines, post_batch
from sending import SEND, cpu_seconds

SECONDS = 4.0
LEAST = 0.95
BACKLOG = 4_000
HISTORY = 30_000


class Bench:
    """Measures one row after the other, each for any checkout."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cert, self._key = certificate(directory)
        self._places = 0

    def rows(self) -> dict[str, Callable[[Path], float]]:
        """By name: what gives the figure of a checkout; more is faster."""
        return {
            "accepts/s, PagerDuty down, 64 connections": lambda it: self.accepts(it, 64),
            "accepts/s, PagerDuty down, 1 connection": lambda it: self.accepts(it, 1),
            "accepts/s, delivering, 64 connections": lambda it: self.delivering(it, 64)[0],
            "deliveries/s meanwhile": lambda it: self.delivering(it, 64)[1],
            "accepts/s, delivering, 1 connection": lambda it: self.delivering(it, 1)[0],
            "batch, events/s": self.batch,
            "backlog of 200 keys, deliveries/s": self.backlog,
            "starts/s with 30,000 events waiting": self.start,
            "sends/s of CPU time": self.send,
        }

    def accepts(self, program: Path, connections: int) -> float:
        """Events accepted per second while nothing can be delivered."""
        with agent(self._place(), self._nowhere(), program) as address:
            return load(address, connections, SECONDS)["per_second"]

    def delivering(self, program: Path, connections: int) -> tuple[float, float]:
        """Events accepted, and delivered, per second at the same time."""
        port = free_port()
        with (
            answering(port, self._cert, self._key),
            agent(self._place(), self._url(port), program, **self._trust()) as address,
        ):
            report = load(address, connections, SECONDS)
            return report["per_second"], count(port, self._cert) / SECONDS

    def batch(self, program: Path) -> float:
        """Events per second in one request."""
        with agent(self._place(), self._nowhere(), program) as address:
            return 10_000 / post_batch(address, lines(10_000))[0]

    def backlog(self, program: Path) -> float:
        """Deliveries per second once PagerDuty is there again, without latency."""
        port = free_port()
        with agent(self._place(), self._url(port), program, **self._trust()) as address:
            post_batch(address, lines(BACKLOG))
            with answering(port, self._cert, self._key):
                while (first := count(port, self._cert)) == 0:
                    time.sleep(0.01)
                began = time.perf_counter()
                while (delivered := count(port, self._cert)) < BACKLOG:
                    time.sleep(0.02)
                return (delivered - first) / (time.perf_counter() - began)

    def start(self, program: Path) -> float:
        """One divided by the seconds until `/health` answers."""
        place = self._place()
        with agent(place, self._nowhere(), program) as address:
            post_batch(address, lines(HISTORY))
        began = time.perf_counter()
        with agent(place, self._nowhere(), program):
            return 1 / (time.perf_counter() - began)

    def send(self, program: Path) -> float:
        """One divided by the CPU seconds of a `send`, the median of some."""
        place = self._place()
        with agent(place, self._nowhere(), program):
            command = [sys.executable, "-m", "pdagent", "--config", str(place / "config.yaml")]
            command += [*SEND, f"{0:032d}"]
            return 1 / median(cpu_seconds(command, program) for _ in range(7))

    def _place(self) -> Path:
        self._places += 1
        return self._directory / f"{self._places}"

    def _trust(self) -> dict[str, str]:
        return {"REQUESTS_CA_BUNDLE": str(self._cert)}

    @staticmethod
    def _url(port: int) -> str:
        return f"https://127.0.0.1:{port}"

    def _nowhere(self) -> str:
        return self._url(free_port())


def checked_out(commit: str, directory: Path) -> Path:
    """The files of a commit of this repository."""
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    return directory


def compared(
    measure: Callable[[Path], float], base: Path, rounds: int
) -> tuple[float, float, float]:
    """Medians: this program's figure, the other's, and the ratio of the two."""
    pairs = []
    for number in range(rounds):
        order = (ROOT, base) if number % 2 else (base, ROOT)
        figures = {program: measure(program) for program in order}
        pairs.append((figures[ROOT], figures[base]))
    return (
        median(new for new, _ in pairs),
        median(old for _, old in pairs),
        median(new / old for new, old in pairs),
    )


def main(commit: str, rounds: int) -> int:
    """Compare all rows; 0 if none is slower by more than 5 %."""
    missed = 0
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        directory = Path(name)
        base = checked_out(commit, directory / "base")
        for label, measure in Bench(directory).rows().items():
            new, old, ratio = compared(measure, base, rounds)
            if ratio < LEAST:
                new, old, ratio = compared(measure, base, 2 * rounds)
            missed += ratio < LEAST
            verdict = "ok" if ratio >= LEAST else "SLOWER"
            print(
                f"{label:<44} {new:8.1f}  {commit[:10]} {old:8.1f}  {ratio:5.2f} times  {verdict}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Name the commit to compare with: python tests/bench/comparing.py COMMIT [ROUNDS]")
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5))
