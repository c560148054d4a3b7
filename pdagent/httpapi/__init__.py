"""The agent's local HTTP API: PagerDuty's own paths for tools, and the operators' calls."""
