"""An agent that is no relay loads nothing of one."""

from __future__ import annotations

import subprocess
import sys

OF_RELAYS = (
    "pdagent.relay",
    "nats",
    "store.nats",
    "store.replicated",
    "store.log",
    "actors.core.lease",
)


def test_an_agent_without_an_engine_loads_no_module_of_relays() -> None:
    loaded = f"[name for name in sys.modules if name.startswith({OF_RELAYS})]"
    code = f"import pdagent.agent.app, sys; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
