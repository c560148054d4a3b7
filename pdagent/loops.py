"""Delivery loops: each delivery names the agents that it has passed, and no agent takes its own."""

from __future__ import annotations

import re

HEADER = "Pd-Agent-Id"
"""Ids separated by commas: the agent that delivers, then those that delivered to it."""

MOST_AGENTS = 8
"""Agents that an event may pass on its way to PagerDuty."""

UNAVAILABLE = "service unavailable"
"""`status` of an agent's refusals that say nothing about the event, also with 401, 403 and 408."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def agents_in(header: str) -> tuple[str, ...]:
    """The ids in the value of `HEADER`, the latest first, `MOST_AGENTS` at most.

    What is no id is left out: anybody can send the header, and it is delivered with the event.
    """
    names = (name.strip() for name in header.split(",", MOST_AGENTS)[:MOST_AGENTS])
    return tuple(name for name in names if _ID.fullmatch(name))


def header_of(agent_id: str, passed: tuple[str, ...] = ()) -> str:
    """The header of an event that this agent delivers and that has `passed` others before."""
    return ",".join((agent_id, *passed))
