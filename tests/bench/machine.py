"""The machine: what it is, what it does without the agent, and whether others keep it busy."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import lmdb

from bench.agent import ROOT

_VARIES = 1.2
_USED = 0.2
NOTHING = (sys.executable, "-c", "pass")


class Calibration(NamedTuple):
    """What the machine does alone: `python -c pass` (ms), LMDB with one commit per event (1/s).

    `used` is the share of its CPUs that others used when nothing of the bench ran.
    """

    python_ms: float
    commits: float
    used: float


def calibrate(place: Path) -> Calibration:
    """Measure all of it, in about 2.5 s."""
    before = _cpu_times()
    time.sleep(1.0)
    idle, total = (now - then for now, then in zip(_cpu_times(), before, strict=True))
    took = []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run(NOTHING, check=True)
        took.append(1000 * (time.perf_counter() - began))
    return Calibration(median(took), lmdb_alone(place, 1.0), 1 - idle / total)


def _cpu_times() -> tuple[int, int]:
    """Of all CPUs since the machine started, in ticks: idle, and all."""
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    ticks = [int(word) for word in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def lmdb_alone(place: Path, seconds: float) -> float:
    """Events per second that one thread stores, with one synced commit each."""
    place.mkdir(exist_ok=True)
    env = lmdb.open(str(place), map_size=1 << 30, max_dbs=1)
    journal = env.open_db(b"journal")
    with env.begin(write=True) as txn:
        txn.drop(journal, delete=False)
    event, count, began = b"x" * 400, 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        with env.begin(write=True) as txn:
            txn.put(count.to_bytes(8, "big"), event, db=journal, append=True)
        count += 1
    env.close()
    return count / took


def cpu_of(command: tuple[str, ...] | list[str], program: Path = ROOT) -> tuple[float, int]:
    """CPU seconds of a command and its children, and its exit status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=program, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, done.returncode


def description() -> dict[str, object]:
    """What a reader of the figures wants to know about the machine."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith(("model name", "Model"))
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit_of(revision: str = "HEAD") -> str:
    """The full name of a commit of this repository, with `+` if files have changed since HEAD."""
    found = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    changed = revision == "HEAD" and _git("status", "--porcelain", "--untracked-files=no")
    return found + ("+" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip() or f"git {words[0]} failed")
    return done.stdout.strip()


def busy(before: Calibration, after: Calibration) -> list[str]:
    """Why the figures are not to be trusted."""
    reasons = [
        f"others used {one.used:.0%} of the CPUs {when}"
        for when, one in (("before", before), ("afterwards", after))
        if one.used > _USED
    ]
    for what, one, other in (
        ("`python -c pass`", before.python_ms, after.python_ms),
        ("LMDB alone", before.commits, after.commits),
    ):
        if max(one, other) > _VARIES * min(one, other):
            reasons.append(f"{what} varied by {max(one, other) / min(one, other) - 1:.0%}")
    return reasons
