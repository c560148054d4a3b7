"""A real agent that reports every second, and for which a host is missing after six.

python -m tests.pdagent.fleet.hasty_agent CONFIG
"""

from __future__ import annotations

import sys

from tests.agent_process import AgentProcess

_MODULE = "tests.pdagent.fleet.hasty_agent"
_INTERVAL, _MISSING_AFTER = 1.0, 6.0  # seconds


class HastyAgent(AgentProcess):
    """Everything of it is real; only these times are shorter."""

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
    from pdagent.fleet import reporting, table

    for name in ("_USUALLY", "_SOON", "_AFTER_A_FAILURE"):
        assert hasattr(reporting, name)
        setattr(reporting, name, (0.1, _INTERVAL))
    table.MISSING_AFTER = _MISSING_AFTER
    return run(load({}, {}, config_file=config_file).config, StopSignals())


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
