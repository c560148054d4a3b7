"""`python -m tests.chaos`: see the package."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.chaos import faults, power
from tests.chaos.campaign import Campaign
from tests.chaos.pacing import PacingRun


def main() -> int:
    """0 if all promises were kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults under load")
    parser.add_argument("--faults", type=int, default=200, help="of all kinds but power cuts")
    parser.add_argument("--power-cuts", action="store_true", help="those instead, half each kind")
    parser.add_argument("--pacing", action="store_true", help="a rate limit instead, 5 minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hosts", type=int, default=24)
    parser.add_argument("--keys", type=int, default=12)
    parser.add_argument("--rate", type=float, default=1.0, help="events per second of each host")
    parser.add_argument("--keep", type=Path, help="leave all files and logs in this directory")
    options = parser.parse_args()
    if options.power_cuts and (reason := power.why_not()) is not None:
        print(f"skipped: {reason}")
        return 0
    kinds = faults.POWER_CUTS if options.power_cuts else faults.KINDS
    campaign: Campaign | PacingRun = Campaign(
        faults=faults.chosen(random.Random(options.seed), kinds, options.faults),
        hosts=options.hosts,
        keys=options.keys,
        rate=options.rate,
        seed=options.seed,
        power_cuts=options.power_cuts,
        say=partial(print, flush=True),
    )
    if options.pacing:
        campaign = PacingRun(hosts=options.hosts, say=partial(print, flush=True))
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        broken = campaign.run(options.keep or Path(name))
    for promise in broken:
        print(f"BROKEN: {promise}")
    print("ok" if not broken else f"{len(broken)} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
