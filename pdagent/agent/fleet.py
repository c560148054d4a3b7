"""Connects an agent with the hosts that report to it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from pdagent.httpapi.agent import Agent
from store.log import Log


def fleet_tasks(agent: Agent, log: Log | None = None) -> list[Coroutine[Any, Any, None]]:
    """What has to run for `accept_secrets`, none for other agents; sets `agent.fleet`.

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
    return tasks
