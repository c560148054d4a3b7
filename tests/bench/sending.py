"""What a `send` costs, in times of `python -c pass`, and how long 200 at once take.

    make bench            (or: python tests/bench/sending.py [SENDS])

CPU time of whole processes, in turn with `python -c pass`; then all at once, PagerDuty being down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from accepting import ROOT, agent, free_port

RUNS = 15
MOST_TIMES = 8.0
MOST_SECONDS = 15.0
SEND = ("send", "-t", "trigger", "-d", "Disk full", "-k")


def cpu_seconds(command: list[str], program: Path = ROOT) -> float:
    """What a command of the checkout `program` uses in user and kernel mode."""
    process = subprocess.Popen(command, cwd=program, stdout=subprocess.DEVNULL)
    used = os.wait4(process.pid, 0)[2]
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def main(sends: int) -> int:
    """Measure; 0 if both goals are reached."""
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        place = Path(name) / "agent"
        with agent(place, f"http://127.0.0.1:{free_port()}"):
            config = str(place / "config.yaml")
            program = [sys.executable, "-m", "pdagent", "--config", config]
            nothing = [sys.executable, "-c", "pass"]
            cpu_seconds([*program, *SEND, f"{0:032d}"])
            pairs = [
                (cpu_seconds(nothing), cpu_seconds([*program, *SEND, f"{0:032d}"]))
                for _ in range(RUNS)
            ]
            times = median(cost / base for base, cost in pairs)
            took = median(cost for _, cost in pairs) * 1000
            began = time.perf_counter()
            running = [
                subprocess.Popen(
                    [*program, *SEND, f"{n % 20:032d}"], cwd=ROOT, stdout=subprocess.DEVNULL
                )
                for n in range(sends)
            ]
            stored = sum(process.wait() == 0 for process in running)
            seconds = time.perf_counter() - began
    cheap, quick = times <= MOST_TIMES, stored == sends and seconds <= MOST_SECONDS
    print(
        f"send: {took:.0f} ms of CPU, {times:.1f} times `python -c pass` "
        f"(goal {MOST_TIMES:.0f}: {'ok' if cheap else 'MISSED'})"
    )
    print(
        f"{stored} of {sends} sends at once stored in {seconds:.1f} s "
        f"(goal {MOST_SECONDS:.0f} s: {'ok' if quick else 'MISSED'})"
    )
    return 0 if cheap and quick else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
