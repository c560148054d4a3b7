"""What the reports of its hosts cost a relay."""

from __future__ import annotations

import time
from pathlib import Path

from bench.context import Bench
from bench.reporting import RELAY_SECRET, reporting

HOSTS = 10_000
_SECONDS = 30.0


def reports(bench: Bench, program: Path) -> list[float]:
    """CPU in percent of a core while all hosts report every 30 seconds over kept connections."""
    seconds = bench.seconds(_SECONDS)
    with (
        bench.down(program, settings={"accept_secrets": f"[{RELAY_SECRET}]"}) as agent,
        reporting(agent, HOSTS, seconds) as load,
    ):
        began, before = time.monotonic(), agent.cpu_seconds()
        load.reports()
        return [100 * (agent.cpu_seconds() - before) / (time.monotonic() - began)]
