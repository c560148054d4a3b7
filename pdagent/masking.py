"""Routing keys are credentials: what people and logs get to see of them."""

from __future__ import annotations

_SHORTEST_SHOWN = 12


def mask(key: str) -> str:
    """`key` as it may be shown: its first and last four characters, `v4g5…bvj9`.

    Of a key shorter than 12 characters nothing is shown, only `…`: eight of them would be most.
    """
    if len(key) < _SHORTEST_SHOWN:
        return "…"
    return f"{key[:4]}…{key[-4:]}"
