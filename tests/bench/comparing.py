"""Measures this checkout and another commit in turn, with the same rows."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from statistics import median

from bench.agent import ROOT
from bench.context import Bench
from bench.measuring import FAILURES
from bench.results import Result
from bench.rows import LEAST_TIMES, Group, Row

_Pairs = list[tuple[Sequence[float], Sequence[float]]]


def checked_out(commit: str, directory: Path) -> Path:
    """The files of a commit of this repository."""
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="data")
    return directory


def compare(
    bench: Bench,
    groups: Iterable[tuple[Group, frozenset[Row]]],
    base: Path,
    rounds: int,
    *,
    is_reference: bool,
) -> list[Result]:
    """Measure and print all rows that can be compared; a group below its limit once more, longer.

    A round measures both checkouts, in changing order. A row's figure is the median over the rounds
    of how many times as good this checkout is as `base`.
    """
    results = []
    for group, rows in groups:
        compared = {row for row in rows if row.compared}
        if not compared:
            continue
        found = _compared(bench, group, base, rounds, is_reference=is_reference)
        if not all(result.is_ok for result in found if result.row in compared):
            found = _compared(bench, group, base, 2 * rounds, is_reference=is_reference)
        for result in found:
            if result.row in compared:
                print(result.line(), flush=True)
                results.append(result)
    return results


def _compared(
    bench: Bench, group: Group, base: Path, rounds: int, *, is_reference: bool
) -> list[Result]:
    pairs: _Pairs = []
    try:
        for number in range(rounds):
            order = (ROOT, base) if number % 2 else (base, ROOT)
            figures = {program: group.measure(bench, program) for program in order}
            pairs.append((figures[ROOT], figures[base]))
    except FAILURES as error:
        return [Result(row=row, problem=str(error)) for row in group.rows]
    return [
        _result(row, [(ours[place], others[place]) for ours, others in pairs], is_reference)
        for place, row in enumerate(group.rows)
    ]


def _result(row: Row, pairs: Sequence[tuple[float, float]], is_reference: bool) -> Result:
    known = [pair for pair in pairs if not any(map(isnan, pair))]
    least = row.times_reference if is_reference else None
    result = Result(
        row=row, figures=[ours for ours, _ in pairs], least=LEAST_TIMES if least is None else least
    )
    result.figure = median(result.figures)
    if any(map(isnan, result.figures)):
        result.problem = "it could not be measured"
    if known:
        result.base_figures = [other for _, other in known]
        result.base_figure = median(result.base_figures)
        result.times = median(row.times(ours, other) for ours, other in known)
    return result
