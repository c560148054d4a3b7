"""Measures this checkout against the goals."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from math import isnan

from bench.agent import ROOT, BenchError
from bench.context import Bench
from bench.results import Result
from bench.rows import Group, Row

FAILURES = (BenchError, OSError, subprocess.SubprocessError)
"""What keeps a row from being measured, on its own."""


def measure(bench: Bench, groups: Iterable[tuple[Group, frozenset[Row]]]) -> list[Result]:
    """Measure and print all rows; a group with a missed row is measured once more."""
    results = []
    for group, rows in groups:
        found = _measured(bench, group, rows)
        for result in found:
            print(result.line(), flush=True)
        results += found
    return results


def _measured(bench: Bench, group: Group, rows: frozenset[Row]) -> list[Result]:
    results = [Result(row=row, figures=[]) for row in group.rows]
    for _ in range(2):
        try:
            figures = group.measure(bench, ROOT)
        except FAILURES as error:
            problem, figures = f"{error}", []
        else:
            problem = ""
        for result, figure in zip(results, figures, strict=False):
            result.figures += [] if isnan(figure) else [figure]
        for result in results:
            result.figure = result.row.best(result.figures) if result.figures else result.figure
            result.problem = problem if not result.figures else ""
        if all(result.is_ok for result in results if result.row in rows):
            break
    return [result for result in results if result.row in rows]
