"""Options of the tests, the sandbox in PagerDuty's place, and the relay's engine.

And what holds for every test: nothing that it prints, or has printed, shows a credential.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.both_logs import open_log as open_log
from tests.credentials import CredentialShown, check_report
from tests.engine import engine as engine
from tests.engine import own_engine as own_engine
from tests.sandbox_process import SandboxProcess
from tests.system.full_run import FULL

# The same examples each time, on a busy machine too: a red run is about what was changed. With
# PDAGENT_FULL=1 there are new ones.
settings.register_profile(
    "pdagent", deadline=None, derandomize=not FULL, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pdagent")


def pytest_addoption(parser: pytest.Parser) -> None:
    simulation = parser.getgroup("simulation")
    simulation.addoption(
        "--seeds",
        type=int,
        default=1_000,
        metavar="N",
        help="simulate the seeds from 0 to N - 1 (1,000)",
    )
    simulation.addoption(
        "--seed",
        type=int,
        metavar="S",
        help="simulate this one seed only, and show all that happened if it fails",
    )


def pytest_configure() -> None:
    """Heed the signals that `nohup` and a shell's `&` have ignored, as the tests' processes must.

    What a process ignores, all that it starts ignores too.
    """
    for signum, handler in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
    ):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, handler)


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


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[SandboxProcess]:
    """One for all tests of a process, which `sandbox` sets back for each."""
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def sandbox(running_sandbox: SandboxProcess) -> SandboxProcess:
    """A PagerDuty stand-in, a process of its own, as it is when it has just begun."""
    running_sandbox.reset()
    return running_sandbox
