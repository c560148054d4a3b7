"""Taking over from PagerDuty's older agents: the events in their queues, and their settings."""

from pathlib import Path

OUTQUEUE = Path("/var/lib/pdagent/outqueue")
"""The queue directory of the Python agent, which has no setting for it."""
