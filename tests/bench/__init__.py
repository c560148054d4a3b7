"""The bench: how fast the agent is and how much memory it needs, next to its goals."""
