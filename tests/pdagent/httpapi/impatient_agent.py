"""A real agent whose limits of time and number are met within a test's patience.

python -m tests.pdagent.httpapi.impatient_agent CONFIG
"""

from __future__ import annotations

import sys

from tests.agent_process import AgentProcess

_MODULE = "tests.pdagent.httpapi.impatient_agent"

HEAD_SECONDS = 1.0
BODY_SECONDS = 2.0
PAUSE_SECONDS = 3.0
STALL_SECONDS = 2.0
CONNECTIONS = 30


class ImpatientAgent(AgentProcess):
    """Everything of it is real; only the limits are smaller."""

    def command(self, *arguments: str) -> list[str]:
        """As the agent's, except for its server."""
        if arguments != ("server",):
            return super().command(*arguments)
        return [sys.executable, "-m", _MODULE, str(self.config)]


def run(config_file: str) -> int:
    """Run the agent as `pagerduty-agent server` does."""
    from pdagent.agent.app import run
    from pdagent.agent.stopping import StopSignals
    from pdagent.config.loading import load
    from pdagent.httpapi import server
    from pdagent.httpapi.connection.limits import Limits

    limits = Limits(
        connections=CONNECTIONS,
        head_seconds=HEAD_SECONDS,
        body_seconds=BODY_SECONDS,
        pause_seconds=PAUSE_SECONDS,
        stall_seconds=STALL_SECONDS,
    )
    server.limits_of_this_process = lambda _: limits  # type: ignore[assignment]
    return run(load({}, {}, config_file=config_file).config, StopSignals())


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
