"""Routing keys are credentials: their form, and how they are masked in logs and tables."""

from __future__ import annotations

import re

_SHORTEST_SHOWN = 12

# PagerDuty refuses keys of 20 or 31 characters: https://github.com/envato/pagerduty/issues/70,
# https://github.com/grafana/grafana/issues/8979. v1 documents hexadecimal digits, but keys with
# other letters are in use.
_KEY = re.compile(r"[A-Za-z0-9]{32}")
# A longer run may contain a key, so it is masked as well.
_MAY_BE_A_KEY = re.compile(rf"{_KEY.pattern}[A-Za-z0-9]*")


def is_routing_key(text: str) -> bool:
    """Whether `text` has the form of an integration key: 32 letters and digits."""
    return _KEY.fullmatch(text) is not None


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
