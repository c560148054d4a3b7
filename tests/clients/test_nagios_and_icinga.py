"""Real Nagios and Icinga 2 daemons that notify through the snippets of the documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agent_process import AgentProcess
from tests.clients.monitoring_daemons import Icinga, MonitoringDaemon, Nagios
from tests.sandbox_process import SandboxProcess
from tests.system.full_run import number

# As many commands as this start at the same time: PDAGENT_FULL=1 needs a machine of its own.
BURST = number("PDAGENT_BURST", normal=20, full=200)
PAIRS = number("PDAGENT_PAIRS", normal=8, full=60)
HOST = "event_source=host;host_name=db1"
OUTPUT = 'C:\\ isn\'t "well": $HOME & <b>, ends in \\'


def _daemon(kind: type[MonitoringDaemon], package: str) -> Any:
    missing = f"{kind.__name__} is not installed (Debian: {package})"
    return pytest.param(
        kind, id=kind.page, marks=pytest.mark.skipif(kind.program is None, reason=missing)
    )


@pytest.fixture(params=[_daemon(Nagios, "nagios4-core"), _daemon(Icinga, "icinga2-bin")])
def kind(request: pytest.FixtureRequest) -> type[MonitoringDaemon]:
    daemon: type[MonitoringDaemon] = request.param
    return daemon


def key_of(service: str) -> str:
    return f"event_source=service;host_name=db1;service_desc={service}"


class Incidents:
    """What has become of the incidents, as PagerDuty would show it."""

    def __init__(self, sandbox: SandboxProcess, daemon: MonitoringDaemon) -> None:
        self._sandbox = sandbox
        self._daemon = daemon

    def wait_for(self, status: str, *keys: str) -> None:
        """Wait until each key has had one incident, and it has this status."""
        wanted = {key: [status] for key in keys}

        def found() -> dict[str, list[str]]:
            states: dict[str, list[str]] = {}
            for alert in self._sandbox.alerts():
                if alert["dedup_key"] in wanted:
                    states.setdefault(alert["dedup_key"], []).append(alert["status"])
            return states

        try:
            self._sandbox.wait_for(lambda: found() == wanted, f"{status}: {keys}", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{found()}\n{self._daemon.log()[-6000:]}") from None


def test_every_incident_ends_in_the_right_state(
    kind: type[MonitoringDaemon], agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    services = ["Problem", "Acknowledged", "Recovered", "Downtime", "Flapping"]
    problem, acknowledged, recovered, downtime, flapping = map(key_of, services)
    with kind(agent, services) as daemon:
        incidents = Incidents(sandbox, daemon)
        for service in services[:4]:
            daemon.report(service, "CRITICAL", OUTPUT)
        # Flapping begins while there is a problem, so that only its end can resolve this.
        for _ in range(10):
            daemon.report("Flapping", "CRITICAL")
            daemon.report("Flapping", "WARNING")
        incidents.wait_for("open", problem, acknowledged, recovered, downtime, flapping)
        agent.wait_for(lambda: "flappingstart" in daemon.log().lower(), "it flaps")

        daemon.acknowledge("Acknowledged", "alice", "can't look before 9 \\")
        daemon.report("Recovered", "OK")
        daemon.begin_downtime("Downtime")
        agent.wait_for(lambda: "downtimestart" in daemon.log().lower(), "the downtime begins")
        daemon.report("Downtime", "OK")
        daemon.report("Flapping", "OK", times=25)
        incidents.wait_for("acknowledged", acknowledged)
        incidents.wait_for("resolved", recovered, flapping)
        incidents.wait_for("open", downtime)
        daemon.end_downtime()
        incidents.wait_for("resolved", downtime)

        daemon.report_host("DOWN", "no answer")
        incidents.wait_for("open", HOST)
        daemon.report_host("UP")
        incidents.wait_for("resolved", HOST)
        incidents.wait_for("open", problem)
    [event] = [e for e in sandbox.events() if e["dedup_key"] == problem]
    summary = event["body"]["payload"]["summary"]
    assert summary.startswith("Problem on db1 is CRITICAL: C:\\ isn")
    assert summary.endswith("ends in \\")


def test_many_services_that_fail_at_once_all_page(
    kind: type[MonitoringDaemon], agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    services = [f"Service {number}" for number in range(BURST)]
    before = agent.totals()["accepted"]
    with kind(agent, services) as daemon:
        for service in services:
            daemon.report(service, "CRITICAL")
        Incidents(sandbox, daemon).wait_for("open", *map(key_of, services))
        assert "timed out" not in daemon.log().lower()
    assert agent.totals()["accepted"] == before + BURST


def test_a_recovery_right_after_the_problem_leaves_no_incident_open(
    kind: type[MonitoringDaemon], agent: AgentProcess, sandbox: SandboxProcess
) -> None:
    services = [f"Service {number}" for number in range(PAIRS)]
    with kind(agent, services) as daemon:
        for service in services:
            daemon.report(service, "CRITICAL")
            daemon.report(service, "OK")
        # An incident has been opened by the problem, and closed by the recovery or what follows it.
        Incidents(sandbox, daemon).wait_for("resolved", *map(key_of, services))
