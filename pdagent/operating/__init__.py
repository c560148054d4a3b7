"""What operators ask of a running agent: which events there are, and what became of each."""

from __future__ import annotations

LONG_ATTEMPT = 5.0
"""Seconds after which an attempt counts as `sending`: PagerDuty answers within one second."""
