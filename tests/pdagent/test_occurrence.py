"""Times of events: read, refined, and that of this process's start."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.occurrence import process_start, read, refined

LOADED = time.time()
REPOSITORY = Path(__file__).resolve().parents[2]
PRINT_START = "from pdagent.occurrence import process_start; print(repr(process_start()))"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1785578400", 1785578400.0),
        ("1785578400.123456", 1785578400.123456),
        ("2026-08-01T10:00:00Z", 1785578400.0),
        ("2026-08-01 12:00:00.5+02:00", 1785578400.5),
        ("2026-08-01T10:00:00", 1785578400.0),
        (" 1785578400\n", 1785578400.0),
    ],
)
def test_seconds_and_iso_8601_are_read(text: str, seconds: float) -> None:
    assert read(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "now", "0", "-1", "nan", "inf", "1e99", "1785578400000", "0001-01-01", "$TIMET$"]
)
def test_what_is_no_time_of_an_event_is_not_taken_for_one(text: str) -> None:
    assert read(text) is None


@given(st.text())
def test_any_text_is_read_or_not(text: str) -> None:
    assert read(text) is None or 1e9 <= read(text) < 1e11  # type: ignore[operator]


def test_processes_that_are_started_one_after_the_other_have_growing_times() -> None:
    before = time.time()
    command = [sys.executable, "-c", PRINT_START]
    times = [
        float(subprocess.check_output(command, env={"PYTHONPATH": str(REPOSITORY)}))
        for _ in range(3)
    ]
    assert times == sorted(times)
    # The kernel counts in hundredths of a second.
    assert before - 0.02 <= times[0] <= times[-1] <= time.time()


def test_a_process_that_runs_for_long_is_as_old_as_it_is() -> None:
    assert process_start() == pytest.approx(process_start(), abs=0.001)
    assert process_start() < LOADED


@pytest.mark.parametrize(
    ("start", "number", "refined_time"),
    [
        (100.25, None, 100.25),
        (99.0, None, 100.0),
        (105.0, None, 100.999),
        (100.25, 7, 100.000007),
        (100.25, 3_000_008, 100.000008),
    ],
)
def test_a_whole_second_gets_a_fraction(
    start: float, number: int | None, refined_time: float
) -> None:
    assert refined(100.0, start, number) == pytest.approx(refined_time)
    assert refined(100.5, start, number) == 100.5
