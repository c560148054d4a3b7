"""Routing keys are credentials: what people and logs get to see of them."""

from __future__ import annotations

import re

_SHORTEST_SHOWN = 12

# An integration key is 32 letters and digits. A longer run may hold one, so it is masked as well.
_MAY_BE_A_KEY = re.compile(r"[A-Za-z0-9]{32,}")


def mask(key: str) -> str:
    """`key` as it may be shown: its first and last four characters, `v4g5…bvj9`.

    Of a key shorter than 12 characters nothing is shown, only `…`: eight of them would be most.
    """
    if len(key) < _SHORTEST_SHOWN:
        return "…"
    return f"{key[:4]}…{key[-4:]}"


def without_keys(text: str) -> str:
    """`text` with each run of letters and digits that may be a routing key masked."""
    return _MAY_BE_A_KEY.sub(lambda found: mask(found[0]), text)
