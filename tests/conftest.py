"""Options of the tests; pytest takes them from here whatever part of the tests is asked for."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    simulation = parser.getgroup("simulation")
    simulation.addoption(
        "--seeds",
        type=int,
        default=2_000,
        metavar="N",
        help="simulate the seeds from 0 to N - 1 (2,000)",
    )
    simulation.addoption(
        "--seed",
        type=int,
        metavar="S",
        help="simulate this one seed only, and show all that happened if it fails",
    )
