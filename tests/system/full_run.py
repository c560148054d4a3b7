"""How much the long tests do: `PDAGENT_FULL=1` in the environment asks for all of it."""

from __future__ import annotations

import os

FULL = os.environ.get("PDAGENT_FULL") == "1"


def number(name: str, *, normal: int, full: int) -> int:
    """A test's size: the environment variable `name`, else what the kind of run asks for."""
    return int(os.environ.get(name, full if FULL else normal))
