"""What an agent has loaded that has nothing to do: each module takes memory as long as it runs."""

from __future__ import annotations

from pathlib import Path

from pdagent.demo.processes import free_port
from tests.agent_process import AgentProcess

# Libraries of the agent or of its libraries, loaded when they are needed, if ever.
UNWANTED = {
    *("chardet.detector", "charset_normalizer.api", "html", "http.server", "idna"),
    *("importlib.metadata", "multiprocessing", "pickle", "prometheus_client", "rich"),
    *("xml.etree.ElementTree", "zipfile"),
}


def loaded(agent: AgentProcess) -> set[str]:
    """The modules that the agent has loaded so far."""
    return {
        line.rpartition("|")[2].strip()
        for line in agent.log().splitlines()
        if line.startswith("import time:")
    }


def test_an_idle_agent_has_loaded_only_what_it_needs(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path, f"http://127.0.0.1:{free_port()}")
    agent.env["PYTHONPROFILEIMPORTTIME"] = "1"
    with agent:
        assert {"pdagent.agent.app", "requests", "uvicorn", "falcon", "lmdb"} <= loaded(agent)
        assert not loaded(agent) & UNWANTED
        assert agent.get("/metrics").status_code == 200
        agent.wait_for(lambda: "prometheus_client" in loaded(agent), "the library for metrics")
