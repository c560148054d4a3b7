"""Connects a relay with the hosts that report to it, and a host with its relays."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from pdagent.agent.outlet import user_agent
from pdagent.httpapi.agent import Agent

if TYPE_CHECKING:
    from store.log import Log


def fleet_tasks(agent: Agent, log: Log | None = None) -> list[Coroutine[Any, Any, None]]:
    """What has to run for `accept_secrets` and for `relays`; sets `agent.fleet`.

    The table of hosts is kept in `log` if there is one, otherwise in memory alone.
    """
    config, tasks = agent.config, []
    if config.accept_secrets:
        from pdagent.fleet.desk import FleetDesk
        from pdagent.fleet.keeping import FleetKeeper
        from pdagent.fleet.table import Fleet

        fleet = Fleet()
        agent.fleet = FleetDesk(fleet, config.accept_secrets, retention=config.retention)
        tasks.append(agent.fleet.forget_the_silent_for_ever())
        if log is not None:
            tasks.append(FleetKeeper(fleet, log).keep_for_ever())
    if agent.relays is not None:
        from pdagent.fleet.reporting import HostReporter, ReportPost, report_of

        make = partial(report_of, agent.system, agent.journal.agent_id, agent.version)
        post = ReportPost(secret=config.relay_secret, ca=config.relay_ca, user_agent=user_agent())
        tasks.append(HostReporter(agent.relays, config.relays, make, post).report_for_ever())
    return tasks
