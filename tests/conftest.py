"""Options of the tests; pytest takes them from here whatever part of the tests is asked for.

And what holds for every test: nothing that it prints, or has printed, shows a credential.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.credentials import CredentialShown, check_report


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose captured output shows a credential of this or an earlier test."""
    report = yield
    if report.passed:
        try:
            for name, text in report.sections:
                if name.startswith("Captured"):
                    check_report(text)
        except CredentialShown as error:
            report.outcome, report.longrepr = "failed", str(error)
    return report
