"""What the commands cost that scripts and people start."""

from __future__ import annotations

from math import nan
from pathlib import Path
from statistics import median

from bench.context import Bench
from bench.machine import NOTHING, cpu_of

_ROUNDS = 9
_KEY = f"{0:032d}"
_COMMANDS = {
    "send": ("-k", _KEY, "-t", "trigger", "-d", "Disk full"),
    "enqueue": ("-k", _KEY, "-t", "trigger", "-d", "Disk full", "-u", "db1"),
    "change": ("-k", _KEY, "-d", "Deployed"),
    "run": ("-k", _KEY, "--", "true"),
    "status": (),
}


def cost(bench: Bench, program: Path, *, of: str) -> list[float]:
    """CPU time of a command in times of `python -c pass`; NaN if the checkout has no such one."""
    with bench.down(program) as agent:
        command = agent.command(of, *_COMMANDS[of])
        if cpu_of(command, program)[1] != 0:
            return [nan]
        pairs = [(cpu_of(NOTHING)[0], cpu_of(command, program)[0]) for _ in range(_ROUNDS)]
    return [median(used for _, used in pairs) / median(nothing for nothing, _ in pairs)]
