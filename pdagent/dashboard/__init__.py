"""The agent's state for people: tables made with rich."""
