"""Measures all rows: `make bench`, or with another commit in turn, `make bench BASE=COMMIT`.

cd tests; python -m bench [--only TEXT] [--quick] [--json FILE] [--markdown] [BASE [--rounds N]]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench import machine
from bench.agent import ROOT
from bench.comparing import checked_out, compare
from bench.context import Bench
from bench.measuring import measure
from bench.results import Result, markdown
from bench.rows import REFERENCE, chosen

_QUICK, _COMPARED, _FULL = (0.1, 0.5), (0.2, 0.4), (1.0, 1.0)
"""Scale of journals, and pace; a comparison measures both checkouts in some rounds."""


def main() -> int:
    """1 if a goal is missed or the checkout is slower than its base, unless others were busy."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the agents, removes the files
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    groups = chosen(options.only)
    if not groups:
        print(f"no row has a name with {options.only!r}", file=sys.stderr)
        return 2
    base = machine.commit_of(options.base) if options.base else None
    facts = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": machine.commit_of(),
        "base": base,
        "machine": machine.description(),
        "quick": options.quick,
    }
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        scale, pace = _QUICK if options.quick else _COMPARED if base else _FULL
        bench = Bench(Path(name), scale=scale, pace=pace)
        before = machine.calibrate(bench.directory / "lmdb")
        print(_told(before))
        if scale < 1:
            print(f"Journals have {scale:.0%} of the number of records that names of rows say.")
        if base is None:
            results = measure(bench, groups)
        else:
            other = checked_out(base, bench.directory / "base")
            is_reference = base.startswith(REFERENCE)
            results = compare(bench, groups, other, options.rounds, is_reference=is_reference)
        after = machine.calibrate(bench.directory / "lmdb")
    print(_told(after))
    busy = machine.busy(before, after)
    if options.json:
        facts |= {"calibration": [before._asdict(), after._asdict()]}
        facts |= {"busy": busy, "rows": [result.as_json() for result in results]}
        (ROOT / options.json).write_text(json.dumps(facts, indent=1) + "\n")
    if options.markdown:
        print(markdown(results))
    return _verdict(results, busy)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="How fast the agent is.")
    parser.add_argument("base", nargs="?", help="commit to compare with, in the same run")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with TEXT in their name")
    parser.add_argument("--quick", action="store_true", help="small journals and backlogs")
    parser.add_argument("--rounds", type=int, default=3, help="with a base; default 3")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all figures to FILE (from the repository's root)",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs too")
    return parser.parse_args()


def _told(calibration: machine.Calibration) -> str:
    return (
        f"`python -c pass`: {calibration.python_ms:.1f} ms; "
        f"LMDB alone, one commit per event: {calibration.commits:.0f}/s"
    )


def _verdict(results: list[Result], busy: list[str]) -> int:
    missed = [result for result in results if not result.is_ok]
    if missed and busy and not any(result.problem for result in missed):
        print(f"Nothing follows from the missed rows: {' and '.join(busy)}. Measure again.")
        return 0
    print(f"{len(results) - len(missed)} of {len(results)} rows ok")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
